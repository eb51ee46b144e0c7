//! What a daemon has on record of how it built a unit: the metadata file may tell it.
//!
//! Daemons record this whether or not the image is attested. What cannot be had is left out: the
//! build has succeeded.

use std::time::Duration;

use tokio::time::timeout;

use crate::buildkit::Connection;
use crate::buildkit::history::{Blob, BuildRecord, Listing, list, read_blob};

/// The key in a unit's output under which it is kept, as JSON.
pub const PROVENANCE: &str = "buildx.build.provenance";

/// How long it may take: it is a small blob of a daemon that has just answered.
const LIMIT: Duration = Duration::from_secs(10);

/// Reads the provenance on record of a build that has just ended; `None` where there is none.
pub(super) async fn recorded(connection: &Connection, reference: &str) -> Option<String> {
    let read = timeout(LIMIT, read(connection, reference)).await;
    let found = read.ok().flatten();
    if found.is_none() {
        tracing::debug!(reference, "no provenance on record");
    }
    found
}

async fn read(connection: &Connection, reference: &str) -> Option<String> {
    let listing = Listing {
        reference: reference.to_owned(),
        ..Listing::default()
    };
    let records = list(connection, &listing).await.ok()?;
    let record = records
        .into_iter()
        .find(|record| record.reference == reference)?;
    let digest = provenance(&record)?.digest.parse().ok()?;
    let bytes = read_blob(connection, &digest).await.ok()??;
    String::from_utf8(bytes).ok()
}

fn provenance(record: &BuildRecord) -> Option<&Blob> {
    let results = record.results.values().chain(&record.result);
    results
        .flat_map(|result| &result.attestations)
        .find(|blob| {
            let kind = blob.annotations.get("in-toto.io/predicate-type");
            kind.is_some_and(|kind| kind.starts_with("https://slsa.dev/provenance/"))
        })
}
