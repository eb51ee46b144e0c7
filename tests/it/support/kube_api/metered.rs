//! Streams into pods, counted and stopped on command: [`Metered`] and [`Control`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use mbuild::buildkit::io::ByteStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::fault::Act;

/// What went through one kind of stream.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) streams: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// Ends streams in the ways in which they end in life. Children end with their parents.
#[derive(Debug, Clone, Default)]
pub(super) struct Control {
    /// The connection breaks.
    pub(super) cut: CancellationToken,
    /// Nothing comes through any more.
    pub(super) stall: CancellationToken,
    /// The process at the other end is killed.
    pub(super) killed: CancellationToken,
    /// Shared by children for as long as they are there.
    alive: Arc<()>,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Cut,
    Killed,
}

impl Control {
    pub(super) fn child(&self) -> Self {
        Self {
            cut: self.cut.child_token(),
            stall: self.stall.child_token(),
            killed: self.killed.child_token(),
            alive: Arc::clone(&self.alive),
        }
    }

    /// How many children there are.
    pub(super) fn children(&self) -> usize {
        Arc::strong_count(&self.alive) - 1
    }

    /// Does a stream's work until it is done, or stopped.
    pub(super) async fn govern(&self, work: impl Future<Output = ()>) -> End {
        tokio::pin!(work);
        tokio::select! {
            () = &mut work => End::Done,
            () = self.cut.cancelled() => End::Cut,
            () = self.killed.cancelled() => End::Killed,
            () = self.stall.cancelled() => {
                self.cut.cancelled().await;
                End::Cut
            }
        }
    }
}

/// A stream whose bytes are counted.
pub(super) struct Metered {
    inner: ByteStream,
    traffic: Arc<Traffic>,
    own: u64,
    /// What happens after so many bytes.
    limit: Option<(u64, CancellationToken)>,
}

impl Metered {
    pub(super) fn new(
        inner: ByteStream,
        traffic: &Arc<Traffic>,
        act: Option<&Act>,
        control: &Control,
    ) -> Self {
        traffic.streams.fetch_add(1, Ordering::Relaxed);
        let limit = match act {
            Some(Act::CutAfter(bytes)) => Some((*bytes, control.cut.clone())),
            Some(Act::StallAfter(bytes)) => Some((*bytes, control.stall.clone())),
            _ => None,
        };
        let mut metered = Self {
            inner,
            traffic: Arc::clone(traffic),
            own: 0,
            limit,
        };
        metered.count(0);
        metered
    }

    fn count(&mut self, bytes: usize) {
        self.own += bytes as u64;
        self.traffic
            .bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some((limit, token)) = &self.limit
            && self.own >= *limit
        {
            token.cancel();
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.count(buffer.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.count(*written);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
