//! Waiting until the other end speaks: [`ready`].
//!
//! A gRPC server sends its SETTINGS at once, before it has read anything, so its first bytes
//! prove that all hops on the way are there. What they are is judged by who reads them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::buildkit::io::{ByteStream, Io};

/// How much is read ahead at most.
const FIRST: usize = 1024;

/// Waits for the first bytes and gives them back to the stream; `None` when there are none
/// within `limit`.
///
/// # Errors
///
/// When the stream ends or fails first.
pub(super) async fn ready(mut stream: impl Io, limit: Duration) -> io::Result<Option<ByteStream>> {
    let mut first = BytesMut::with_capacity(FIRST);
    match tokio::time::timeout(limit, stream.read_buf(&mut first)).await {
        Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(Ok(_)) => Ok(Some(Box::new(Primed {
            first: first.freeze(),
            stream,
        }))),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// A stream some of whose bytes were read ahead.
struct Primed<S> {
    first: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Primed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..count]);
        self.first.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Primed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    const LIMIT: Duration = Duration::from_secs(3);

    #[tokio::test]
    async fn first_bytes_are_read_again() {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(b"settings").await.unwrap();
        let mut near = ready(near, LIMIT).await.unwrap().unwrap();
        far.write_all(b" and more").await.unwrap();
        near.write_all(b"hello").await.unwrap();
        drop(near.shutdown().await);
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "hello");
        drop(far);
        let mut text = String::new();
        near.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "settings and more");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_an_end_are_not_ready() {
        let (near, far) = tokio::io::duplex(64);
        assert!(ready(near, LIMIT).await.unwrap().is_none());
        drop(far);
        let (near, _) = tokio::io::duplex(64);
        let Err(error) = ready(near, LIMIT).await else {
            panic!("nobody is there")
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
