//! A byte stream over one of the API server's WebSockets: [`PodStream`], and the task that
//! carries its bytes.
//!
//! Reading, writing and watching go on side by side, so that neither direction waits for the
//! other, whatever the buffers' sizes. What the channels mean is a [`Channels`]'s affair.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::pulse::{Pulse, Rhythm};

/// The channel that leads into the pod, in exec and port-forward alike.
const INTO_POD: u8 = 0;
/// What closes that channel and no other, with the subprotocol `v5.channel.k8s.io`.
const CLOSE_INTO_POD: &[u8] = &[255, INTO_POD];
/// How many messages may wait for the reader; the API server's have 32 KiB at most.
const UNREAD_MESSAGES: usize = 32;
/// How long the peer may take to close after its last word, and to say why it takes no more.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long what was written before a drop may take to be sent.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the channels of a WebSocket mean.
pub(super) trait Channels: Send + 'static {
    /// Takes a frame; gives back what of it belongs to the stream.
    fn take(&mut self, channel: u8, payload: Bytes) -> Option<Bytes>;

    /// Whether the last word was said, so that only the closing is to come.
    fn is_over(&self) -> bool;

    /// Says what the end means: a plain end of the stream, or an error.
    fn verdict(&mut self, end: End) -> io::Result<()>;
}

/// How a WebSocket ended.
#[derive(Debug)]
pub(super) enum End {
    /// The peer closed it, with a word or without.
    Closed(Option<String>),
    /// The connection broke.
    Broken(String),
    /// The peer does not answer any more.
    Silent(Duration),
}

/// Sizes and times; tests have other ones.
#[derive(Debug, Clone)]
pub(super) struct Tuning {
    /// The most that one frame into the pod carries.
    pub(super) frame: usize,
    /// How much may wait to be sent.
    pub(super) unsent: usize,
    /// When to ask whether the peer is there.
    pub(super) rhythm: Rhythm,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            frame: 128 * 1024,
            unsent: 512 * 1024,
            rhythm: Rhythm::default(),
        }
    }
}

/// A byte stream into a pod. Dropping it sends what was written and ends everything.
#[derive(Debug)]
pub(super) struct PodStream {
    // Dropped first: the end of `outbound` without this one's is a half-close.
    inbound: mpsc::Receiver<io::Result<Bytes>>,
    outbound: DuplexStream,
    /// What came and is not read yet.
    unread: Bytes,
}

impl PodStream {
    /// Starts to carry bytes. With `half_close` the peer knows how to end one direction;
    /// without, shutting down ends both.
    pub(super) fn start<S>(
        socket: WebSocketStream<S>,
        channels: impl Channels,
        half_close: bool,
        tuning: Tuning,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (outbound, unsent) = tokio::io::duplex(tuning.unsent);
        let (sender, inbound) = mpsc::channel(UNREAD_MESSAGES);
        tokio::spawn(carry(socket, channels, half_close, tuning, unsent, sender));
        Self {
            inbound,
            outbound,
            unread: Bytes::new(),
        }
    }
}

impl AsyncRead for PodStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.inbound.poll_recv(cx)) {
                Some(Ok(bytes)) => self.unread = bytes,
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PodStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.outbound).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.outbound).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.outbound.is_write_vectored()
    }

    /// Does nothing: what is written is on its way already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.outbound).poll_shutdown(cx)
    }
}

type Inbound = mpsc::Sender<io::Result<Bytes>>;

/// Carries bytes until either side ends, then says how it ended.
async fn carry<S>(
    socket: WebSocketStream<S>,
    mut channels: impl Channels,
    half_close: bool,
    tuning: Tuning,
    unsent: DuplexStream,
    inbound: Inbound,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let end = {
        let (sink, source) = socket.split();
        let pulse = Pulse::default();
        let ping = Notify::new();
        let out = Out {
            sink,
            pulse: &pulse,
            ping: &ping,
            inbound: &inbound,
        };
        let mut reading = std::pin::pin!(read(source, &inbound, &mut channels, &pulse));
        let mut writing = std::pin::pin!(out.write(unsent, half_close, tuning.frame));
        tokio::select! {
            end = &mut reading => Some(end),
            outcome = &mut writing => match outcome {
                Ok(()) => None,
                Err(error) => Some(
                    tokio::time::timeout(LAST_WORDS, reading)
                        .await
                        .unwrap_or_else(|_| End::Broken(error.to_string())),
                ),
            },
            silence = pulse.lost(&tuning.rhythm, || ping.notify_one()) => Some(End::Silent(silence)),
            () = inbound.closed() => {
                let _ = tokio::time::timeout(FAREWELL, writing).await;
                None
            }
        }
        // The socket is dropped here: who still writes learns it before the reason is read.
    };
    if let Some(Err(error)) = end.map(|end| channels.verdict(end)) {
        // Fails only when nobody is left to read it.
        let _ = inbound.send(Err(error)).await;
    }
}

/// Takes messages apart until there are no more.
async fn read(
    mut source: impl Stream<Item = Result<Message, WsError>> + Unpin,
    inbound: &Inbound,
    channels: &mut impl Channels,
    pulse: &Pulse,
) -> End {
    loop {
        let message = if channels.is_over() {
            match tokio::time::timeout(LAST_WORDS, source.next()).await {
                Ok(message) => message,
                Err(_) => return End::Closed(None),
            }
        } else {
            source.next().await
        };
        pulse.heard();
        let mut payload = match message {
            Some(Ok(Message::Binary(payload))) if !payload.is_empty() => payload,
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map(|frame| frame.reason.as_str().to_owned());
                return End::Closed(reason.filter(|reason| !reason.is_empty()));
            }
            Some(Ok(_)) => continue,
            Some(Err(WsError::Protocol(_) | WsError::AlreadyClosed)) | None => {
                return End::Closed(None);
            }
            Some(Err(error)) => return End::Broken(crate::causes::causes(&error)),
        };
        let channel = payload.get_u8();
        let Some(bytes) = channels.take(channel, payload) else {
            continue;
        };
        if !bytes.is_empty() {
            pulse.busy(true);
            // When nobody is left to read, the writing side ends this.
            let _ = inbound.send(Ok(bytes)).await;
            pulse.busy(false);
        }
    }
}

/// The direction into the pod.
struct Out<'a, K> {
    sink: K,
    pulse: &'a Pulse,
    ping: &'a Notify,
    inbound: &'a Inbound,
}

impl<K: Sink<Message, Error = WsError> + Unpin> Out<'_, K> {
    /// Sends what is written, in frames as large as what has gathered meanwhile; done when
    /// the stream was dropped.
    async fn write(
        mut self,
        mut unsent: DuplexStream,
        half_close: bool,
        limit: usize,
    ) -> Result<(), WsError> {
        let mut frame = BytesMut::new();
        loop {
            if frame.is_empty() {
                frame.reserve(1 + limit);
                frame.put_u8(INTO_POD);
            }
            let count = tokio::select! {
                biased;
                count = gather(&mut unsent, &mut frame, limit) => count,
                // Nothing waits: now is the time to flush.
                () = std::future::ready(()) => {
                    self.sink.flush().await?;
                    self.pulse.sent();
                    tokio::select! {
                        count = gather(&mut unsent, &mut frame, limit) => count,
                        () = self.ping.notified() => {
                            self.sink.feed(Message::Ping(Bytes::new())).await?;
                            continue;
                        }
                    }
                }
            };
            if count? == 0 {
                return self.close(half_close).await;
            }
            self.sink
                .feed(Message::Binary(frame.split().freeze()))
                .await?;
            self.pulse.sent();
        }
    }

    /// Ends the direction into the pod, and all once the stream is dropped.
    async fn close(&mut self, half_close: bool) -> Result<(), WsError> {
        if half_close && !self.inbound.is_closed() {
            let close = Bytes::from_static(CLOSE_INTO_POD);
            self.sink.send(Message::Binary(close)).await?;
            loop {
                tokio::select! {
                    () = self.inbound.closed() => break,
                    () = self.ping.notified() => {
                        self.sink.send(Message::Ping(Bytes::new())).await?;
                    }
                }
            }
        }
        self.sink.send(Message::Close(None)).await?;
        let _ = tokio::time::timeout(LAST_WORDS, self.inbound.closed()).await;
        Ok(())
    }
}

/// Reads what has gathered.
async fn gather(
    unsent: &mut DuplexStream,
    frame: &mut BytesMut,
    limit: usize,
) -> io::Result<usize> {
    unsent.read_buf(&mut frame.limit(limit)).await
}

#[cfg(test)]
mod tests;
