//! The HTTP/2 server of a session: [`Session::serve`], from the first byte to an orderly end.
//!
//! One future owns the stream and every task that serves a call; when it ends, or is dropped,
//! they end. It never sends GOAWAY: a daemon opens no second connection, so that would end the
//! session while builds still need it.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mbuild_proto::health::health_server::HealthServer;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::health::Health;
use super::{Services, Session};
use crate::buildkit::io::{Io, Liveness};

/// Header lists of this size pass: ignore files and lists of paths travel in headers. hyper's
/// own 16 KiB would make the daemon refuse to ask for a context (hyperium/hyper#3686).
const MAX_HEADER_LIST: u32 = 16 << 20;
/// What a daemon may send ahead on one call: an exporter's output. h2 gives half a window back at
/// a time, so a line of 1 Gbit/s and 50 ms, which holds 6.25 MB, needs twice that: with 8 MiB it
/// is used to 80 %.
const STREAM_WINDOW: u32 = 16 << 20;
/// What it may send ahead on all calls; half of this is also h2's allowance for small frames
/// that wait to be read, and a thousand file requests are a thousand of them.
const CONNECTION_WINDOW: u32 = 32 << 20;
/// Go's own server allows 250 calls at once; no daemon comes near either.
const MAX_CALLS: u32 = 1000;
/// Daemons cancel calls freely (each blob they have read enough of), which h2 would take for an
/// attack after 20.
const MAX_PENDING_RESETS: usize = 1 << 16;
/// How long the stream may take to take the end of our side.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// How long cancelled calls may take to go away; they only need to be polled once more.
const TASK_GRACE: Duration = Duration::from_secs(1);

/// How a session ended.
#[derive(Debug)]
pub enum SessionEnd {
    /// The daemon closed the stream.
    PeerClosed,
    /// We closed the stream.
    Closed,
    /// We wanted to close the stream, and it did not take that in time.
    Abandoned,
    /// The stream broke, or the daemon did not speak HTTP/2.
    Failed(hyper::Error),
}

impl Session {
    /// Serves the session on a stream until the daemon closes it, or `close` is cancelled.
    ///
    /// Cancel `close` only when every Solve and Status that use the session are over: the calls
    /// that run are cut off. Dropping the future cuts the stream as well. `liveness` is touched at
    /// each of the daemon's health checks.
    pub async fn serve(
        self,
        mut pipe: impl Io,
        liveness: Liveness,
        close: CancellationToken,
    ) -> SessionEnd {
        let health = HealthServer::new(Health { liveness });
        let services = Arc::new(self.services.add(&[], health));
        let tasks = Tasks::default();
        let _cancel_tasks = tasks.cancel.clone().drop_guard();

        let connection = server(tasks.clone()).serve_connection(
            TokioIo::new(&mut pipe),
            service_fn(move |request| {
                let services: Arc<Services> = Arc::clone(&services);
                async move { services.call(request).await }
            }),
        );
        let ended = tokio::select! {
            result = connection => Some(result),
            () = close.cancelled() => None,
        };
        tasks.stop().await;
        match ended {
            Some(Ok(())) => SessionEnd::PeerClosed,
            Some(Err(error)) => SessionEnd::Failed(error),
            None => close_orderly(pipe).await,
        }
    }
}

fn server(tasks: Tasks) -> http2::Builder<Tasks> {
    let mut server = http2::Builder::new(tasks);
    server
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_CALLS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_PENDING_RESETS);
    server
}

/// Closes our side. That the daemon closes its own is not waited for: on a long way this would
/// cost a round trip, and there is nothing that it could still say.
async fn close_orderly(mut pipe: impl Io) -> SessionEnd {
    match timeout(CLOSE_GRACE, pipe.shutdown()).await {
        // An error here means that the stream is gone, which is what was wanted.
        Ok(_) => SessionEnd::Closed,
        Err(_) => SessionEnd::Abandoned,
    }
}

/// The tasks that serve calls, all ended together.
#[derive(Clone, Default)]
struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl Tasks {
    async fn stop(&self) {
        self.cancel.cancel();
        self.tracker.close();
        if timeout(TASK_GRACE, self.tracker.wait()).await.is_err() {
            tracing::warn!(
                left = self.tracker.len(),
                "session calls did not end in time"
            );
        }
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, call: F) {
        let cancel = self.cancel.clone();
        self.tracker.spawn(async move {
            cancel.run_until_cancelled_owned(call).await;
        });
    }
}
