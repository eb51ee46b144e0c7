//! What a daemon's cache holds, and how it is freed.

mod prune;
mod record;

use std::time::Duration;

use mbuild_proto::control::DiskUsageRequest;

use super::Connection;
use super::ask::AskError;

pub use prune::{PruneSpec, prune};
pub use record::UsageRecord;

/// All entries come in one message, some 300 bytes each; a cache may well have 100,000.
const RESPONSE_LIMIT: usize = 64 * 1024 * 1024;
const NO_USAGE: &str = "does not tell what its cache holds";

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

/// Lists the entries of the daemon's cache that fit all of any text of `filters`; counting a
/// large cache may take a while.
///
/// # Errors
///
/// When the daemon is gone or refuses.
pub async fn list(
    connection: &Connection,
    filters: &[String],
) -> Result<Vec<UsageRecord>, AskError> {
    let request = DiskUsageRequest {
        filter: filters.to_vec(),
        ..DiskUsageRequest::default()
    };
    let work = async {
        let mut control = connection
            .control()
            .max_decoding_message_size(RESPONSE_LIMIT);
        Ok(control.disk_usage(request).await?.into_inner().record)
    };
    let records = connection.answer(NO_USAGE, work).await?;
    Ok(records.into_iter().map(UsageRecord::from_wire).collect())
}
