//! Builds that a daemon has on record: how many run now, and how often it gets one.
//!
//! Helps to choose among daemons. No answer is no failure.

use std::time::Duration;

use mbuild_proto::control::{BuildHistoryEventType, BuildHistoryRequest};

use super::Connection;

/// How long the count may take: it helps to choose, and waiting for it does not.
const LIMIT: Duration = Duration::from_secs(3);

/// Counts the builds that run now; `None` where the daemon keeps no record, is gone or slow.
pub async fn running_builds(connection: &Connection) -> Option<usize> {
    tokio::time::timeout(LIMIT, count(connection)).await.ok()?
}

/// How many of the last builds are asked for; a daemon keeps 50 by default.
const RECENT: i32 = 50;

/// What a daemon has had to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// The builds that run now.
    pub running: usize,
    /// Builds a second, over the last ones on record; `None` with fewer than two of them.
    pub rate: Option<f64>,
}

/// Asks what the daemon does and did; `None` where it keeps no record, is gone or slow.
pub async fn load(connection: &Connection) -> Option<Load> {
    let records = tokio::time::timeout(LIMIT, records(connection, false))
        .await
        .ok()??;
    let running = records.iter().filter(|record| record.running).count();
    let oldest = records.iter().filter_map(|record| record.created).min();
    let rate = oldest.filter(|_| records.len() > 1).and_then(|oldest| {
        let age = jiff::Timestamp::now().duration_since(oldest).as_secs_f64();
        (age > 0.0).then(|| records.len() as f64 / age)
    });
    Some(Load { running, rate })
}

/// One build on record.
struct Record {
    running: bool,
    created: Option<jiff::Timestamp>,
}

async fn count(connection: &Connection) -> Option<usize> {
    let records = records(connection, true).await?;
    Some(records.iter().filter(|record| record.running).count())
}

async fn records(connection: &Connection, active_only: bool) -> Option<Vec<Record>> {
    let request = BuildHistoryRequest {
        active_only,
        // Otherwise the stream goes on with what comes, for ever.
        early_exit: true,
        limit: if active_only { 0 } else { RECENT },
        ..BuildHistoryRequest::default()
    };
    let mut events = connection
        .control()
        .listen_build_history(request)
        .await
        .ok()?
        .into_inner();
    let mut records = Vec::new();
    while let Some(event) = events.message().await.ok()? {
        let created = event.record.as_ref().and_then(|record| record.created_at);
        records.push(Record {
            running: event.r#type() == BuildHistoryEventType::Started,
            created: created.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok()),
        });
    }
    Some(records)
}
