//! Builds that a daemon has on record.
//!
//! So far only how many run now, which helps to choose among daemons.

use std::time::Duration;

use mbuild_proto::control::{BuildHistoryEventType, BuildHistoryRequest};

use super::Connection;

/// How long the count may take: it helps to choose, and waiting for it does not.
const LIMIT: Duration = Duration::from_secs(3);

/// Counts the builds that run now; `None` where the daemon keeps no record, is gone or slow.
pub async fn running_builds(connection: &Connection) -> Option<usize> {
    tokio::time::timeout(LIMIT, count(connection)).await.ok()?
}

async fn count(connection: &Connection) -> Option<usize> {
    let request = BuildHistoryRequest {
        active_only: true,
        // Otherwise the stream goes on with what comes, for ever.
        early_exit: true,
        ..BuildHistoryRequest::default()
    };
    let mut events = connection
        .control()
        .listen_build_history(request)
        .await
        .ok()?
        .into_inner();
    let mut running = 0;
    while let Some(event) = events.message().await.ok()? {
        running += usize::from(event.r#type() == BuildHistoryEventType::Started);
    }
    Some(running)
}
