//! What a daemon has had to do: how many builds run now, and how often it gets one.
//!
//! Helps to choose among daemons. No answer is no failure.

use std::time::Duration;

use mbuild_proto::control::control_client::ControlClient;
use mbuild_proto::control::{BuildHistoryEventType, BuildHistoryRequest};

use tonic::transport::Channel;

use super::super::Connection;

/// How long the count may take: it helps to choose, and waiting for it does not.
const LIMIT: Duration = Duration::from_secs(3);

/// Counts the builds that run now; `None` where the daemon keeps no record, is gone or slow.
pub(in crate::buildkit) async fn running_builds(control: ControlClient<Channel>) -> Option<usize> {
    tokio::time::timeout(LIMIT, count(control)).await.ok()?
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
    let records = tokio::time::timeout(LIMIT, records(connection.control(), false))
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

/// What a daemon does, and when it last had something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// The builds that run now.
    pub running: usize,
    /// When the last build ended; `None` where none is on record.
    pub last_end: Option<jiff::Timestamp>,
}

/// Asks when the daemon was last used; `None` where it keeps no record, is gone or slow.
pub async fn activity(connection: &Connection) -> Option<Activity> {
    // The last ones on record may have begun after a build that still runs.
    let control = || connection.control();
    let both = async { tokio::join!(count(control()), records(control(), false)) };
    let (running, records) = tokio::time::timeout(LIMIT, both).await.ok()?;
    Some(Activity {
        running: running?,
        last_end: records?.iter().filter_map(|record| record.ended).max(),
    })
}

/// One build on record.
struct Record {
    running: bool,
    created: Option<jiff::Timestamp>,
    ended: Option<jiff::Timestamp>,
}

async fn count(control: ControlClient<Channel>) -> Option<usize> {
    let records = records(control, true).await?;
    Some(records.iter().filter(|record| record.running).count())
}

async fn records(mut control: ControlClient<Channel>, active_only: bool) -> Option<Vec<Record>> {
    let request = BuildHistoryRequest {
        active_only,
        // Otherwise the stream goes on with what comes, for ever.
        early_exit: true,
        limit: if active_only { 0 } else { RECENT },
        ..BuildHistoryRequest::default()
    };
    let events = control.listen_build_history(request).await;
    let mut events = events.ok()?.into_inner();
    let mut records = Vec::new();
    while let Some(event) = events.message().await.ok()? {
        let record = event.record.as_ref();
        records.push(Record {
            running: event.r#type() == BuildHistoryEventType::Started,
            created: record.and_then(|record| time(record.created_at.as_ref()?)),
            ended: record.and_then(|record| time(record.completed_at.as_ref()?)),
        });
    }
    Some(records)
}

fn time(at: &prost_types::Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::new(at.seconds, at.nanos).ok()
}
