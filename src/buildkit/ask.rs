//! Questions beside a build whose answer may take long: asked for as long as the daemon lives.
//!
//! A large cache is counted, and pruned, for minutes; a daemon that is gone must not be waited
//! for. So it is asked something easy now and then; [`AskError`] says why there is no answer.

use std::time::Duration;

use mbuild_proto::control::ListWorkersRequest;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use super::connection::Connection;

/// How often a daemon that works on an answer is asked for a sign of life.
const BEAT: Duration = Duration::from_secs(5);
/// How long that may take; as long as a silent daemon is waited for in a build.
const PATIENCE: Duration = super::connection::SILENCE_LIMIT;

/// Why a daemon gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The connection broke.
    #[error("lost the daemon at {endpoint}: {reason}")]
    Lost {
        /// Where to.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// No sign of life came.
    #[error("no sign of life of {endpoint} for {} s", PATIENCE.as_secs())]
    Silent {
        /// Where to.
        endpoint: String,
    },
    /// It cannot do this.
    #[error("{endpoint} {lack}")]
    Lacks {
        /// Where to.
        endpoint: String,
        /// What it lacks, as a predicate.
        lack: &'static str,
    },
    /// It does not want to.
    #[error("{endpoint} refuses: {reason}")]
    Refused {
        /// Where to.
        endpoint: String,
        /// What it answered.
        reason: String,
    },
    /// What it sent is not what its digest says.
    #[error("{endpoint} sent other bytes than those of {digest}")]
    Corrupt {
        /// Where to.
        endpoint: String,
        /// The digest that was asked for.
        digest: String,
    },
}

impl AskError {
    /// Whether the daemon or the way to it was lost.
    pub fn is_infrastructure(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Silent { .. })
    }
}

impl Connection {
    /// Waits for an answer, for as long as the daemon shows that it lives. `lack` is what is said
    /// of one that does not know the question.
    pub(super) async fn answer<T>(
        &self,
        lack: &'static str,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, AskError> {
        tokio::select! {
            biased;
            answer = work => answer.map_err(|status| self.ask_error(&status, lack)),
            death = self.death() => Err(death),
        }
    }

    /// Waits as [`answer`](Self::answer) does, for what reports its failure by itself.
    ///
    /// # Errors
    ///
    /// When the daemon shows no sign of life.
    pub async fn while_alive<T>(&self, work: impl Future<Output = T>) -> Result<T, AskError> {
        tokio::select! {
            biased;
            outcome = work => Ok(outcome),
            death = self.death() => Err(death),
        }
    }

    /// Completes when the daemon shows no sign of life.
    async fn death(&self) -> AskError {
        loop {
            sleep(BEAT).await;
            let mut control = self.control();
            let sign = control.list_workers(ListWorkersRequest::default());
            let endpoint = self.endpoint().to_owned();
            match timeout(PATIENCE, sign).await {
                Ok(Ok(_)) => {}
                Ok(Err(status)) => {
                    // Any answer of its own is a sign of life.
                    if let Some(reason) = self.loss(&status) {
                        return AskError::Lost { endpoint, reason };
                    }
                }
                Err(_) => return AskError::Silent { endpoint },
            }
        }
    }

    pub(super) fn ask_error(&self, status: &Status, lack: &'static str) -> AskError {
        let endpoint = self.endpoint().to_owned();
        match (self.loss(status), status.code()) {
            (Some(reason), _) => AskError::Lost { endpoint, reason },
            (None, Code::Unimplemented) => AskError::Lacks { endpoint, lack },
            (None, _) => AskError::Refused {
                endpoint,
                reason: status.message().to_owned(),
            },
        }
    }
}
