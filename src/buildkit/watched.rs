//! A stream that keeps its [`Line`]: [`Watched`].
//!
//! A failed write is held back until the reading side has told why the peer went: who gets
//! the error reads no more, and a broken pipe explains nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::io::Line;
use crate::causes::causes;

/// How long a peer that takes no more may take to say why.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What an end without words means.
const CLOSED: &str = "the daemon closed the connection";

/// A stream whose traffic is noted on a [`Line`].
#[derive(Debug)]
pub struct Watched<S> {
    inner: S,
    line: Line,
    /// Whether the first bytes are still to come.
    opening: bool,
    broken: Option<Broken>,
}

/// A write that failed, and until when the peer may say why.
#[derive(Debug)]
struct Broken {
    error: io::Error,
    until: Pin<Box<Sleep>>,
}

impl<S> Watched<S> {
    /// Wraps `inner`; what happens on it is noted on `line`.
    pub fn new(inner: S, line: Line) -> Self {
        Self {
            inner,
            line,
            opening: true,
            broken: None,
        }
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// Reads, notes what comes, and how it ends.
    fn poll_noted(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        if let Err(error) = ready!(Pin::new(&mut self.inner).poll_read(cx, buf)) {
            self.line.note_end(|| causes(&error));
            return Poll::Ready(Err(error));
        }
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            self.line.note_received(bytes.len());
            if self.opening {
                self.opening = self.line.note_opening(bytes);
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    /// Notes how a write went; one that failed waits for the reason.
    fn poll_settled<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match outcome {
            Ok(value) => Poll::Ready(Ok(value)),
            Err(error) => {
                self.broken = Some(Broken {
                    error,
                    until: Box::pin(tokio::time::sleep(LAST_WORDS)),
                });
                self.poll_broken(cx).map(Err)
            }
        }
    }

    /// Reads the peer's last words, if a write failed; the error is that write's.
    fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut bytes = [0; 1024];
        loop {
            match self.poll_noted(cx, &mut ReadBuf::new(&mut bytes)) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => break,
                Poll::Pending => {
                    if let Some(broken) = &mut self.broken {
                        ready!(broken.until.as_mut().poll(cx));
                    }
                    break;
                }
            }
        }
        let error = self.broken.take().map(|broken| broken.error);
        let error = error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
        self.line.note_end(|| match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => CLOSED.to_owned(),
            _ => causes(&error),
        });
        Poll::Ready(error)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        let count = ready!(self.poll_noted(cx, buf))?;
        if count == 0 && room > 0 {
            self.line.note_end(|| CLOSED.to_owned());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_sent(cx, |inner, cx| inner.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_sent(cx, |inner, cx| inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    /// Does something on the writing side, unless it is broken already.
    fn poll_out<T>(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.broken.is_some() {
            return self.poll_broken(cx).map(Err);
        }
        let outcome = ready!(act(Pin::new(&mut self.inner), cx));
        self.poll_settled(cx, outcome)
    }

    fn poll_sent(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.poll_out(cx, write))?;
        self.line.note_sent(count);
        Poll::Ready(Ok(count))
    }
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

    #[tokio::test]
    async fn a_failed_write_brings_out_the_peers_last_words() {
        let (near, mut far) = tokio::net::UnixStream::pair().unwrap();
        far.write_all(b"HTTP/1.1 400 Bad Request").await.unwrap();
        drop(far);
        let line = Line::default();
        let mut near = Watched::new(near, line.clone());
        near.write_all(b"PRI").await.unwrap_err();
        assert_eq!(line.opening(), b"HTTP/1.1");
        let end = line.end();
        assert_eq!(end.as_deref(), Some("the daemon closed the connection"));
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
