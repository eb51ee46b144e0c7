//! A session's byte stream inside `Control.Session`: [`SessionPipe`] over two message streams.
//!
//! Borders of messages mean nothing. Nothing is buffered beyond one message each way plus a
//! short queue, since answers to health checks share it with file contents.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use mbuild_proto::control::BytesMessage;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_util::sync::PollSender;
use tonic::Status;

use super::gathered::Later;

/// Small writes are gathered up to this size, or until the round after a flush.
const GATHER: usize = 128 * 1024;
/// The most that one message carries; the daemon takes 16 MiB, older ones 4 MiB.
const MAX_CHUNK: usize = 1024 * 1024;
/// Messages between the pipe and the connection.
const QUEUE: usize = 4;

/// What a client says when it opens a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOpen {
    /// The session's id: letters and digits, used once.
    pub id: String,
    /// Part of the cache key of transferred directories; may be empty.
    pub shared_key: String,
    /// The methods served: `/package.Service/Method`.
    pub methods: Vec<String>,
}

impl SessionOpen {
    /// The headers that open a session, by gRPC and by a Docker engine's upgrade alike.
    pub fn headers(&self) -> Vec<(&'static str, &str)> {
        let mut headers = vec![
            ("x-docker-expose-session-uuid", self.id.as_str()),
            (
                "x-docker-expose-session-sharedkey",
                self.shared_key.as_str(),
            ),
        ];
        let methods = self.methods.iter();
        headers
            .extend(methods.map(|method| ("x-docker-expose-session-grpc-method", method.as_str())));
        headers
    }
}

/// The outbound half before the call is answered: its receiver is the call's request.
pub(super) fn outbound() -> (PollSender<BytesMessage>, mpsc::Receiver<BytesMessage>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (PollSender::new(sender), receiver)
}

/// A byte stream over messages.
#[derive(Debug)]
pub(super) struct SessionPipe<R> {
    inbound: R,
    /// What is left of the last message.
    unread: Bytes,
    outbound: PollSender<BytesMessage>,
    unsent: BytesMut,
    flush: Later,
}

impl<R> SessionPipe<R> {
    /// Joins the halves of a call; what comes in may be the answer that is still under way.
    pub(super) fn new(inbound: R, outbound: PollSender<BytesMessage>) -> Self {
        Self {
            inbound,
            unread: Bytes::new(),
            outbound,
            unsent: BytesMut::new(),
            flush: Later::default(),
        }
    }

    /// Hands what was gathered to the connection.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unsent.is_empty() {
            ready!(self.outbound.poll_reserve(cx)).map_err(closed)?;
            let data = self.unsent.split().freeze();
            self.outbound
                .send_item(BytesMessage { data })
                .map_err(closed)?;
        }
        self.flush.done();
        Poll::Ready(Ok(()))
    }
}

fn closed<E>(_: E) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the session's call has ended")
}

impl<R> AsyncRead for SessionPipe<R>
where
    R: Stream<Item = Result<BytesMessage, Status>> + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flush.is_due()
            && let Poll::Ready(Err(error)) = self.poll_send(cx)
        {
            return Poll::Ready(Err(error));
        }
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.inbound).poll_next(cx)) {
                Some(Ok(message)) => self.unread = message.data,
                Some(Err(status)) => return Poll::Ready(Err(io::Error::other(status))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<R: Unpin> AsyncWrite for SessionPipe<R> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unsent.len() >= GATHER {
            ready!(self.poll_send(cx))?;
        }
        let count = buf.len().min(MAX_CHUNK - self.unsent.len());
        self.unsent.extend_from_slice(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    /// See [`gathered`](super::gathered): the session's server flushes after every frame.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unsent.is_empty() {
            self.flush.ask(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Half-closes the call; what the daemon still sends can be read.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        self.outbound.close();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::wrappers::ReceiverStream;

    type Inbound = mpsc::Sender<Result<BytesMessage, Status>>;
    type Pipe = SessionPipe<ReceiverStream<Result<BytesMessage, Status>>>;

    fn pipe() -> (Pipe, Inbound, mpsc::Receiver<BytesMessage>) {
        let (sender, receiver) = mpsc::channel(16);
        let (out, sent) = outbound();
        (
            SessionPipe::new(ReceiverStream::new(receiver), out),
            sender,
            sent,
        )
    }

    fn message(data: &'static [u8]) -> BytesMessage {
        BytesMessage { data: data.into() }
    }

    #[tokio::test]
    async fn messages_are_one_stream_and_empty_ones_do_not_end_it() {
        let (mut pipe, inbound, _sent) = pipe();
        for data in [&b"ab"[..], b"", b"cdef"] {
            inbound.send(Ok(message(data))).await.unwrap();
        }
        drop(inbound);
        let mut first = [0; 3];
        pipe.read_exact(&mut first).await.unwrap();
        let mut rest = String::new();
        pipe.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&first[..], rest.as_str()), (&b"abc"[..], "def"));
    }

    #[tokio::test]
    async fn small_writes_are_gathered_until_the_round_after_a_flush() {
        let (mut pipe, _inbound, mut sent) = pipe();
        pipe.write_all(b"ab").await.unwrap();
        pipe.write_all(b"cd").await.unwrap();
        assert!(sent.try_recv().is_err());
        pipe.flush().await.unwrap();
        // The next round of whoever reads and writes it.
        assert!(pipe.read_u8().now_or_never().is_none());
        assert_eq!(sent.recv().await.unwrap().data, "abcd");
    }

    #[tokio::test]
    async fn no_message_is_larger_than_a_chunk() {
        let (mut pipe, _inbound, mut sent) = pipe();
        let data = vec![7; 3 * MAX_CHUNK + 5];
        let total = data.len();
        let writer = tokio::spawn(async move {
            pipe.write_all(&data).await.unwrap();
            pipe.shutdown().await.unwrap();
            pipe
        });
        let mut seen = 0;
        while let Some(message) = sent.recv().await {
            assert!(message.data.len() <= MAX_CHUNK);
            seen += message.data.len();
        }
        assert_eq!(seen, total);
        writer.await.unwrap();
    }

    #[tokio::test]
    async fn a_half_closed_pipe_can_still_be_read() {
        let (mut pipe, inbound, mut sent) = pipe();
        pipe.shutdown().await.unwrap();
        assert!(sent.recv().await.is_none());
        inbound.send(Ok(message(b"x"))).await.unwrap();
        assert_eq!(pipe.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_failed_call_is_an_error_both_ways() {
        let (mut pipe, inbound, sent) = pipe();
        inbound
            .send(Err(Status::unavailable("gone")))
            .await
            .unwrap();
        assert!(
            pipe.read_u8()
                .await
                .unwrap_err()
                .to_string()
                .contains("gone")
        );
        drop(sent);
        pipe.write_all(b"x").await.unwrap();
        assert_eq!(
            pipe.shutdown().await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[test]
    fn each_method_is_a_header_of_its_own() {
        let open = SessionOpen {
            id: "i".into(),
            shared_key: String::new(),
            methods: vec!["/a.B/C".into(), "/a.B/D".into()],
        };
        let methods = open
            .headers()
            .into_iter()
            .filter(|(name, _)| name.ends_with("method"));
        assert_eq!(
            methods.map(|(_, value)| value).collect::<Vec<_>>(),
            ["/a.B/C", "/a.B/D"]
        );
    }
}
