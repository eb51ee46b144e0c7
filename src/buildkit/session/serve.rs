//! The HTTP/2 server of a session: [`Session::serve`], from the first byte to an orderly end.
//!
//! One future owns the stream and every task that serves a call; when it ends, or is dropped,
//! they end. It never sends GOAWAY: a daemon opens no second connection, so that would end the
//! session while builds still need it.

use std::ops::RangeInclusive;
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
/// What a daemon may send ahead on one call: an exporter's output. It fills, and memory with it,
/// where the disk is slower than the daemon.
const STREAM_WINDOW: RangeInclusive<u64> = 2 << 20..=16 << 20;
/// Bytes that a window is to let through in a second. h2 gives half a window back at a time, so
/// this is twice what a line of 1 Gbit/s carries.
const WINDOW_RATE: u64 = 256 << 20;
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

        let window = stream_window(self.round_trip);
        let connection = server(tasks.clone(), window).serve_connection(
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

fn server(tasks: Tasks, window: u32) -> http2::Builder<Tasks> {
    let mut server = http2::Builder::new(tasks);
    server
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(window)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_CALLS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_PENDING_RESETS);
    server
}

/// As large as the way to the daemon needs; the largest where nobody knows it.
fn stream_window(round_trip: Option<Duration>) -> u32 {
    let micros = round_trip.map_or(u128::MAX, |time| time.as_micros());
    let bytes = u64::try_from(micros).map_or(u64::MAX, |micros| {
        micros.saturating_mul(WINDOW_RATE) / 1_000_000
    });
    let bytes = bytes.clamp(*STREAM_WINDOW.start(), *STREAM_WINDOW.end());
    u32::try_from(bytes).unwrap_or(u32::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farther_the_daemon_the_larger_its_window() {
        fn check(round_trip: Option<Duration>, mebibytes: f64) {
            let window = f64::from(stream_window(round_trip)) / f64::from(1 << 20);
            assert!(
                (window - mebibytes).abs() < 0.01,
                "{round_trip:?}: {window}"
            );
        }
        check(Some(Duration::ZERO), 2.0);
        check(Some(Duration::from_millis(5)), 2.0);
        check(Some(Duration::from_millis(50)), 12.8);
        check(Some(Duration::from_secs(1)), 16.0);
        check(Some(Duration::MAX), 16.0);
        check(None, 16.0);
    }
}
