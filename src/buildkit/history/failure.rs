//! Why a build on record failed, in detail.

use super::super::Connection;
use super::super::ask::AskError;
use super::super::error_details::{self, ErrorDetails};
use super::blob::read_blob;
use super::record::BuildRecord;
use crate::digest::Digest;

/// Reads what a failed build's daemon kept of its error: the step, and the place in the
/// Dockerfile. Nothing is known of it where the daemon is older than v0.15.
///
/// # Errors
///
/// When the daemon is gone, or refuses.
pub async fn failure(
    connection: &Connection,
    record: &BuildRecord,
) -> Result<ErrorDetails, AskError> {
    let digest = record.external_error.as_ref();
    let Some(digest) = digest.and_then(|blob| Digest::parse(&blob.digest).ok()) else {
        return Ok(ErrorDetails::default());
    };
    let status = read_blob(connection, &digest).await?;
    Ok(error_details::decode(&status.unwrap_or_default()))
}
