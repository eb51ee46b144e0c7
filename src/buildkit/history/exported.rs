//! What each exporter of a build left, of which the build's answer has the last one's only.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mbuild_proto::control::{BuildHistoryRequest, Descriptor};

use super::super::Connection;

/// How long the record of one build may take; the build's result depends on it.
const RECORD_LIMIT: Duration = Duration::from_secs(10);

/// What each exporter of a finished build left, as the keys that it alone would have answered,
/// by its position; `None` where the daemon keeps no record of it, is gone or slow.
pub async fn exported(
    connection: &Connection,
    reference: &str,
) -> Option<BTreeMap<usize, BTreeMap<String, String>>> {
    let request = BuildHistoryRequest {
        r#ref: reference.to_owned(),
        early_exit: true,
        ..BuildHistoryRequest::default()
    };
    let find = async {
        let answer = connection.control().listen_build_history(request).await;
        let mut events = answer.ok()?.into_inner();
        let mut found = None;
        while let Some(event) = events.message().await.ok()? {
            let record = event.record.filter(|record| record.r#ref == reference);
            found = record.and_then(|record| record.result).or(found);
        }
        let results = found?.results;
        let keys = results.into_iter().filter_map(|(position, descriptor)| {
            Some((usize::try_from(position).ok()?, exported_keys(&descriptor)))
        });
        Some(keys.collect())
    };
    tokio::time::timeout(RECORD_LIMIT, find).await.ok()?
}

fn exported_keys(descriptor: &Descriptor) -> BTreeMap<String, String> {
    let mut json = serde_json::json!({
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    });
    if !descriptor.annotations.is_empty() {
        json["annotations"] = serde_json::json!(descriptor.annotations);
    }
    let json = STANDARD.encode(json.to_string());
    BTreeMap::from([
        (
            "containerimage.digest".to_owned(),
            descriptor.digest.clone(),
        ),
        ("containerimage.descriptor".to_owned(), json),
    ])
}
