//! Asking a daemon for its records, and changing them.

use jiff::Timestamp;
use mbuild_proto::control::{
    BuildHistoryEventType, BuildHistoryRequest, UpdateBuildHistoryRequest,
};

use super::super::Connection;
use super::super::ask::AskError;
use super::super::status::skew;
use super::record::BuildRecord;

const NO_HISTORY: &str = "keeps no records of builds; BuildKit does since 0.11";
/// How many records of one daemon are read at most: it keeps all of the last two days, and a
/// busy one in a pool may have thousands. Daemons before 0.20 send them all.
const MOST: i32 = 1000;

/// Which records are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The one with this reference; empty means all.
    pub reference: String,
    /// What records have to be like, in the daemon's words, each of the texts a line of CSV;
    /// daemons before 0.20 take no notice.
    pub filters: Vec<String>,
}

/// Lists records, those of running builds included, in no order.
///
/// # Errors
///
/// When the daemon is gone, keeps none, or refuses.
pub async fn list(
    connection: &Connection,
    listing: &Listing,
) -> Result<Vec<BuildRecord>, AskError> {
    let request = BuildHistoryRequest {
        r#ref: listing.reference.clone(),
        // Otherwise the stream goes on with what comes, for ever.
        early_exit: true,
        filter: listing.filters.clone(),
        limit: MOST,
        ..BuildHistoryRequest::default()
    };
    let work = async {
        let answer = connection.control().listen_build_history(request).await?;
        let skew = skew(answer.metadata(), Timestamp::now());
        let mut events = answer.into_inner();
        let mut records: Vec<BuildRecord> = Vec::new();
        while let Some(event) = events.message().await? {
            let is_gone = event.r#type() == BuildHistoryEventType::Deleted;
            let Some(record) = event.record.filter(|_| !is_gone) else {
                continue;
            };
            let record = BuildRecord::from_wire(record, skew);
            // One that ended while it was told of comes twice, the later time with its end.
            records.retain(|known| known.reference != record.reference);
            records.push(record);
        }
        Ok(records)
    };
    connection.answer(NO_HISTORY, work).await
}

/// Deletes the record of this reference, and waits until its trace is written.
///
/// # Errors
///
/// When the daemon is gone, keeps no records, or refuses.
pub async fn forget(connection: &Connection, reference: &str) -> Result<(), AskError> {
    let request = UpdateBuildHistoryRequest {
        r#ref: reference.to_owned(),
        delete: true,
        ..UpdateBuildHistoryRequest::default()
    };
    update(connection, request).await
}

/// Lets the daemon write a build's trace now; a daemon before v0.15 would un-pin the record
/// instead, so its records are to be left alone.
///
/// # Errors
///
/// As [`forget`].
pub async fn finalize(connection: &Connection, reference: &str) -> Result<(), AskError> {
    let request = UpdateBuildHistoryRequest {
        r#ref: reference.to_owned(),
        finalize: true,
        ..UpdateBuildHistoryRequest::default()
    };
    update(connection, request).await
}

async fn update(
    connection: &Connection,
    request: UpdateBuildHistoryRequest,
) -> Result<(), AskError> {
    let work = async {
        let mut control = connection.control();
        control.update_build_history(request).await?;
        Ok(())
    };
    connection.answer(NO_HISTORY, work).await
}
