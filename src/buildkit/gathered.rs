//! Turns the many small writes of an HTTP/2 connection into few large ones: [`Gathered`].
//!
//! h2 writes and flushes every frame by itself, 16 KiB at most, and each write wakes the peer.
//! Here a flush only asks for one more round of the connection's task, and what has been written
//! until then goes out at once (grpc-go's writer yields before it flushes for the same reason).
//! For HTTP/2 only: it relies on a task that reads each time it is polled.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are gathered; more go out without waiting for the round's end.
const LIMIT: usize = 128 << 10;

/// A flush that waits for the next round of the task that asked for it.
#[derive(Debug, Default)]
pub(super) struct Later {
    due: bool,
}

impl Later {
    /// Takes note of a flush; the task is polled once more.
    pub(super) fn ask(&mut self, cx: &Context<'_>) {
        if !self.due {
            self.due = true;
            cx.waker().wake_by_ref();
        }
    }

    /// Whether a flush waits. It does until [`done`](Self::done), however often it is tried.
    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    /// Notes that everything went out.
    pub(super) fn done(&mut self) {
        self.due = false;
    }
}

/// A byte stream whose writes are gathered.
#[derive(Debug)]
pub(super) struct Gathered<S> {
    inner: S,
    unsent: BytesMut,
    flush: Later,
}

impl<S> Gathered<S> {
    /// Gathers what is written to `inner`.
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            unsent: BytesMut::new(),
            flush: Later::default(),
        }
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Writes all that was gathered.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.unsent.advance(count),
            }
        }
        self.unsent.clear();
        self.flush.done();
        Pin::new(&mut self.inner).poll_flush(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flush.is_due()
            && let Poll::Ready(Err(error)) = self.poll_out(cx)
        {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = bufs.iter().map(|buf| buf.len()).sum();
        if self.unsent.len() + count > LIMIT {
            ready!(self.poll_out(cx))?;
        }
        bufs.iter()
            .for_each(|buf| self.unsent.extend_from_slice(buf));
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.is_empty() {
            return Pin::new(&mut self.inner).poll_flush(cx);
        }
        self.flush.ask(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Polls for a read once, as an HTTP/2 connection does in each of its rounds.
    async fn round<S: AsyncRead + Unpin>(stream: &mut S) -> Poll<io::Result<()>> {
        let mut bytes = [0; 8];
        poll_fn(|cx| {
            let mut buf = ReadBuf::new(&mut bytes);
            Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buf))
        })
        .await
    }

    #[tokio::test]
    async fn what_is_flushed_goes_out_in_the_next_round_in_one_piece() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut near = Gathered::new(near);
        for piece in ["ab", "cd", "ef"] {
            near.write_all(piece.as_bytes()).await.unwrap();
            near.flush().await.unwrap();
        }
        let mut seen = [0; 16];
        assert!(round(&mut far).await.is_pending());
        assert!(round(&mut near).await.is_pending());
        let count = far.read(&mut seen).await.unwrap();
        assert_eq!(&seen[..count], b"abcdef");
    }

    #[tokio::test]
    async fn a_flush_asks_for_a_round() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut near = Gathered::new(near);
        let write = async {
            near.write_all(b"ab").await.unwrap();
            near.flush().await.unwrap();
            // Nothing else wakes this task: nobody writes to it.
            near.read_u8().await
        };
        let read = async {
            let mut seen = [0; 2];
            far.read_exact(&mut seen).await.unwrap();
            drop(far);
            seen
        };
        let (end, seen) = tokio::join!(write, read);
        assert_eq!(&seen, b"ab");
        assert!(end.is_err());
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_waited_for() {
        let (near, mut far) = tokio::io::duplex(1024);
        let data: Vec<u8> = (0..LIMIT * 3)
            .map(|at| at as u8 ^ (at >> 8) as u8)
            .collect();
        let sent = data.clone();
        let writer = tokio::spawn(async move {
            let mut near = Gathered::new(near);
            near.write_all(&sent).await.unwrap();
            assert!(near.unsent.len() <= LIMIT.max(sent.len()));
            near.shutdown().await.unwrap();
        });
        let mut seen = Vec::new();
        far.read_to_end(&mut seen).await.unwrap();
        assert!(seen == data);
        writer.await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_an_error() {
        let (near, far) = tokio::io::duplex(1024);
        drop(far);
        let mut near = Gathered::new(near);
        near.write_all(b"ab").await.unwrap();
        near.flush().await.unwrap();
        let Poll::Ready(Err(error)) = round(&mut near).await else {
            panic!("no error");
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
