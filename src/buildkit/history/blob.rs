//! Blobs that records name: read from the daemon, and checked.

use mbuild_proto::content::ReadContentRequest;
use tonic::Code;

use super::super::Connection;
use super::super::ask::AskError;
use crate::digest::Digest;

const NO_CONTENT: &str = "gives no blobs of its records";
/// The largest blob that is read: a build's whole output is cut by daemons far below this.
pub const BLOB_LIMIT: usize = 256 * 1024 * 1024;

/// Reads a blob; `None` where the daemon no longer has it.
///
/// # Errors
///
/// When the daemon is gone, refuses, or sends other bytes.
pub async fn read_blob(
    connection: &Connection,
    digest: &Digest,
) -> Result<Option<Vec<u8>>, AskError> {
    let request = ReadContentRequest {
        digest: digest.to_string(),
        ..ReadContentRequest::default()
    };
    let work = async {
        let mut chunks = match connection.content().read(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if is_absent(&status) => return Ok(None),
            Err(status) => return Err(status),
        };
        let mut bytes = Vec::new();
        loop {
            match chunks.message().await {
                Ok(Some(chunk)) if bytes.len() + chunk.data.len() <= BLOB_LIMIT => {
                    bytes.extend_from_slice(&chunk.data);
                }
                Ok(Some(_)) => return Err(tonic::Status::out_of_range("the blob is too large")),
                Ok(None) => return Ok(Some(bytes)),
                Err(status) if bytes.is_empty() && is_absent(&status) => return Ok(None),
                Err(status) => return Err(status),
            }
        }
    };
    let bytes = connection.answer(NO_CONTENT, work).await?;
    match bytes {
        Some(bytes) if Digest::of(&bytes) != *digest => Err(AskError::Corrupt {
            endpoint: connection.endpoint().to_owned(),
            digest: digest.to_string(),
        }),
        bytes => Ok(bytes),
    }
}

/// The daemon's store wraps what it does not have; not every version keeps the code.
fn is_absent(status: &tonic::Status) -> bool {
    status.code() == Code::NotFound || status.message().contains("not found")
}
