//! What a build does while it runs: the status stream, as events.
//!
//! Reads as fast as the daemon sends and hands on at once; who displays must not make it
//! wait. The rule for the stream's end lives here.

mod reader;

use std::time::Duration;

use jiff::Timestamp;
use mbuild_proto::control::{StatusRequest, StatusResponse};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use reader::Reader;
pub(super) use reader::skew;

use super::connection::Connection;
use crate::event::StatusUpdate;

/// How long the daemon may be silent once the build is over. It ends the stream itself; this
/// is for one that does not.
const END_GRACE: Duration = Duration::from_secs(5);
/// The same for a build of which nothing was ever heard: it failed before it became a job,
/// and the daemon would wait 6 s for it to become one.
const UNBORN_GRACE: Duration = Duration::from_secs(1);
/// Why a build could not be followed to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// The connection broke.
    #[error("lost the daemon at {endpoint}: {reason}")]
    Lost {
        /// Where to.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// The daemon knows no such build, or ended the stream with an error.
    #[error("{endpoint} does not report progress: {reason}")]
    Refused {
        /// Where to.
        endpoint: String,
        /// What it answered.
        reason: String,
    },
}

impl Connection {
    /// Reports what the build called `reference` does, until the daemon has no more to say.
    ///
    /// `report` is called for each batch and must return at once. `solved` is cancelled by
    /// the caller when the build's own call has returned; from then on the daemon may be
    /// silent for 5 s at most. Ends on its own in any case.
    ///
    /// # Errors
    ///
    /// When the stream breaks. If the build failed, its own error is the one that counts.
    pub async fn follow(
        &self,
        reference: &str,
        solved: CancellationToken,
        report: impl FnMut(StatusUpdate) + Send,
    ) -> Result<(), FollowError> {
        let endpoint = self.endpoint().to_owned();
        self.follow_stream(reference, solved, report)
            .await
            .map_err(|status| match self.loss(&status) {
                Some(reason) => FollowError::Lost { endpoint, reason },
                None => FollowError::Refused {
                    endpoint,
                    reason: status.message().to_owned(),
                },
            })
    }

    async fn follow_stream(
        &self,
        reference: &str,
        solved: CancellationToken,
        mut report: impl FnMut(StatusUpdate) + Send,
    ) -> Result<(), Status> {
        let mut client = self.control();
        let request = StatusRequest {
            r#ref: reference.to_owned(),
        };
        let Some(response) = until(&solved, UNBORN_GRACE, client.status(request)).await else {
            return Ok(());
        };
        let (headers, mut stream, _) = response?.into_parts();
        let mut reader = Reader::new(skew(&headers, Timestamp::now()));
        let mut grace = UNBORN_GRACE;
        while let Some(next) = until(&solved, grace, next(&mut stream)).await {
            match next? {
                Some(message) => report(reader.update(message)),
                None => break,
            }
            grace = END_GRACE;
        }
        Ok(())
    }
}

async fn next(stream: &mut Streaming<StatusResponse>) -> Result<Option<StatusResponse>, Status> {
    stream.message().await
}

/// Waits without a limit until `solved`, and for `grace` after that; `None` is too late.
async fn until<T>(
    solved: &CancellationToken,
    grace: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let late = async {
        solved.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        biased;
        outcome = work => Some(outcome),
        () = late => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_waited_for_long_once_the_build_is_over() {
        let solved = CancellationToken::new();
        let start = tokio::time::Instant::now();
        let end = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            solved.cancel();
        };
        let wait = until(&solved, END_GRACE, std::future::pending::<()>());
        let (outcome, ()) = tokio::join!(wait, end);
        assert_eq!(outcome, None);
        assert_eq!(start.elapsed(), Duration::from_secs(65));
    }
}
