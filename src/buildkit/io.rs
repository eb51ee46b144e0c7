//! Byte streams to a daemon, and what is known of one while it is used.
//!
//! [`Watched`] wraps a stream and keeps a [`Line`]: when the peer was last heard, how much
//! was moved, how the stream began and how it ended. It does not judge; who waits does.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How many of the first inbound bytes are kept: enough to tell HTTP/1 or TLS from HTTP/2.
const OPENING: usize = 8;

/// A byte stream that can cross tasks.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Some byte stream; what it runs over no longer matters.
pub type ByteStream = Box<dyn Io>;

/// When a peer was last heard; clones share one value.
#[derive(Debug, Clone)]
pub struct Liveness {
    shared: Arc<LivenessShared>,
}

#[derive(Debug)]
struct LivenessShared {
    born: Instant,
    /// Milliseconds from `born` to the last sign of life.
    last: AtomicU64,
    signs: AtomicU64,
}

impl Liveness {
    /// Starts with a sign of life now.
    pub fn new() -> Self {
        let born = Instant::now();
        Self {
            shared: Arc::new(LivenessShared {
                born,
                last: AtomicU64::new(0),
                signs: AtomicU64::new(0),
            }),
        }
    }

    /// Notes a sign of life.
    pub fn touch(&self) {
        self.shared.last.store(self.age(), Ordering::Relaxed);
        self.shared.signs.fetch_add(1, Ordering::Relaxed);
    }

    /// How many signs of life there were.
    pub fn signs(&self) -> u64 {
        self.shared.signs.load(Ordering::Relaxed)
    }

    /// Tells how long ago the last sign of life was, in steps of a millisecond.
    pub fn idle(&self) -> Duration {
        let last = self.shared.last.load(Ordering::Relaxed);
        Duration::from_millis(self.age().saturating_sub(last))
    }

    fn age(&self) -> u64 {
        u64::try_from(self.shared.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Self::new()
    }
}

/// What is known of one stream; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// When the daemon was last heard.
    pub liveness: Liveness,
    traffic: Arc<Traffic>,
    record: Arc<Record>,
}

#[derive(Debug, Default)]
struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

#[derive(Debug, Default)]
struct Record {
    opening: Mutex<Vec<u8>>,
    end: Mutex<Option<String>>,
}

impl Line {
    /// A further stream to the same daemon: life and traffic count together, beginning and
    /// end are its own.
    pub fn sibling(&self) -> Self {
        Self {
            record: Arc::default(),
            ..self.clone()
        }
    }

    /// Bytes written to the daemon so far.
    pub fn sent(&self) -> u64 {
        self.traffic.sent.load(Ordering::Relaxed)
    }

    /// Bytes read from the daemon so far.
    pub fn received(&self) -> u64 {
        self.traffic.received.load(Ordering::Relaxed)
    }

    /// The first bytes the daemon sent, at most eight.
    pub fn opening(&self) -> Vec<u8> {
        lock(&self.record.opening).clone()
    }

    /// Why the stream ended, in words; `None` while it is open.
    ///
    /// The first reason stays: what follows is a consequence.
    pub fn end(&self) -> Option<String> {
        lock(&self.record.end).clone()
    }

    fn note_end(&self, reason: impl FnOnce() -> String) {
        let mut end = lock(&self.record.end);
        if end.is_none() {
            *end = Some(reason());
        }
    }

    fn note_received(&self, bytes: &[u8]) {
        self.liveness.touch();
        self.traffic
            .received
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    fn note_opening(&self, bytes: &[u8]) -> bool {
        let mut opening = lock(&self.record.opening);
        let room = OPENING - opening.len().min(OPENING);
        opening.extend(bytes.iter().take(room));
        opening.len() < OPENING
    }
}

/// A lock whose holder panicked still guards sound data here: single assignments only.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream whose traffic is noted on a [`Line`].
#[derive(Debug)]
pub struct Watched<S> {
    inner: S,
    line: Line,
    /// Whether the first bytes are still to come.
    opening: bool,
}

impl<S> Watched<S> {
    /// Wraps `inner`; what happens on it is noted on `line`.
    pub fn new(inner: S, line: Line) -> Self {
        Self {
            inner,
            line,
            opening: true,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining();
        let outcome = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        match &outcome {
            Ok(()) if buf.filled().len() > before => {
                let bytes = &buf.filled()[before..];
                self.line.note_received(bytes);
                if self.opening {
                    self.opening = self.line.note_opening(bytes);
                }
            }
            Ok(()) if room > 0 => self
                .line
                .note_end(|| "the daemon closed the connection".into()),
            Ok(()) => {}
            Err(error) => self.line.note_end(|| describe(error)),
        }
        Poll::Ready(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.inner).poll_write(cx, buf));
        self.note_write(&outcome);
        Poll::Ready(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs));
        self.note_write(&outcome);
        Poll::Ready(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S> Watched<S> {
    fn note_write(&self, outcome: &io::Result<usize>) {
        match outcome {
            Ok(count) => {
                self.line
                    .traffic
                    .sent
                    .fetch_add(*count as u64, Ordering::Relaxed);
            }
            Err(error) => self.line.note_end(|| describe(error)),
        }
    }
}

/// One line for an error and its causes, each said once.
pub(crate) fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_line_counts_and_remembers_how_the_stream_began() {
        let (near, mut far) = tokio::io::duplex(64);
        let line = Line::default();
        let mut near = Watched::new(near, line.clone());
        near.write_all(b"question").await.unwrap();
        far.write_all(b"HTTP/1.1 400 Bad").await.unwrap();
        let mut answer = [0; 16];
        near.read_exact(&mut answer[..4]).await.unwrap();
        near.read_exact(&mut answer[4..]).await.unwrap();
        assert_eq!((line.sent(), line.received()), (8, 16));
        assert_eq!(line.opening(), b"HTTP/1.1");
        assert_eq!(line.end(), None);
        drop(far);
        assert_eq!(near.read(&mut answer).await.unwrap(), 0);
        assert_eq!(
            line.end().as_deref(),
            Some("the daemon closed the connection")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_measured_from_the_last_byte() {
        let (near, mut far) = tokio::io::duplex(64);
        let line = Line::default();
        let mut near = Watched::new(near, line.clone());
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(line.liveness.idle(), Duration::from_secs(7));
        far.write_all(b"x").await.unwrap();
        near.read_u8().await.unwrap();
        assert_eq!(line.liveness.idle(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(line.liveness.idle(), Duration::from_secs(2));
    }
}
