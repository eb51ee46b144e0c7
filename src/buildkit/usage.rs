//! How much a daemon's cache holds.

use std::time::Duration;

use mbuild_proto::control::DiskUsageRequest;

use super::Connection;

/// How long the answer may take; a large cache is counted slowly.
const LIMIT: Duration = Duration::from_secs(4);

/// Adds up the daemon's cache, in bytes; `None` where it does not say in time.
pub async fn total(connection: &Connection) -> Option<u64> {
    let mut control = connection.control();
    let usage = control.disk_usage(DiskUsageRequest::default());
    let usage = tokio::time::timeout(LIMIT, usage).await.ok()?.ok()?;
    let records = usage.into_inner().record;
    Some(
        records
            .iter()
            .map(|record| u64::try_from(record.size).unwrap_or(0))
            .sum(),
    )
}
