//! A session that is open: its id, and the one way to end it.

use std::time::Duration;

use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::buildkit::session::{Services, Session};
use crate::buildkit::{Connection, OpenSessionError, Opening};

use super::error::{PrepareError, UnitError};

/// How long the end of a session is waited for; what is then left is dropped.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// A session served on a connection until it is closed or dropped.
pub(super) struct OpenSession {
    /// The session's id, for the Solves that use it.
    pub(super) id: String,
    /// What the daemon says to it; `None` once that is known.
    outcome: Mutex<Option<oneshot::Receiver<Result<(), OpenSessionError>>>>,
    close: CancellationToken,
    task: JoinHandle<()>,
}

impl OpenSession {
    /// Opens a session with these services. Solves that use it may be sent at once, and need
    /// not go on once it is [refused](Self::refused).
    pub(super) async fn open(
        connection: &Connection,
        shared_key: &str,
        services: Services,
    ) -> Result<Self, UnitError> {
        let mut session = Session::new(shared_key, services).map_err(PrepareError::Random)?;
        session.round_trip = Some(connection.round_trip());
        let open = session.opening();
        let Opening { stream, outcome } = connection.open_session(&open).await?;
        let liveness = connection.line().liveness.clone();
        let close = CancellationToken::new();
        let closed = close.clone();
        let task = tokio::spawn(async move {
            let end = session.serve(stream, liveness, closed).await;
            tracing::debug!(?end, "session ended");
        });
        Ok(OpenSession {
            id: open.id,
            outcome: Mutex::new(Some(outcome)),
            close,
            task,
        })
    }

    /// Completes when the daemon does not take the session. One caller is told, others wait.
    pub(super) async fn refused(&self) -> OpenSessionError {
        let mut outcome = self.outcome.lock().await;
        if let Some(answer) = outcome.as_mut() {
            let answer = answer.await;
            *outcome = None;
            if let Ok(Err(error)) = answer {
                return error;
            }
        }
        std::future::pending().await
    }

    /// Ends the session; call it only when no Solve uses it any more.
    pub(super) async fn close(mut self) {
        self.close.cancel();
        if timeout(CLOSE_LIMIT, &mut self.task).await.is_err() {
            tracing::debug!(id = self.id, "session did not end in time");
        }
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.task.abort();
    }
}
