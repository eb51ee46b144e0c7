//! Carries bytes between a socket's channels and a pod.

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::metered::Metered;
use super::socket::Socket;

/// How many bytes of the pod go into one frame: what a kubelet reads at once.
const CHUNK: usize = 32 * 1024;

/// The channel that closes others, in `v5.channel.k8s.io`.
const CLOSE: u8 = 255;

pub(super) type Sink = SplitSink<Socket, Message>;

/// Which channels carry a pod's bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) to_pod: u8,
    pub(super) from_pod: u8,
    /// Whether the client can end its direction alone.
    pub(super) half_close: bool,
}

/// Sends one frame on a channel.
pub(super) async fn send(sink: &mut Sink, channel: u8, bytes: &[u8]) -> Option<()> {
    let frame: Bytes = [&[channel], bytes].concat().into();
    sink.send(Message::Binary(frame)).await.ok()
}

/// Ends the socket in order: a client takes a close without a code for a failure.
pub(super) async fn close(sink: &mut Sink) {
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    let _ = sink.send(Message::Close(Some(frame))).await;
    let _ = sink.close().await;
}

/// Carries bytes both ways until the pod has no more, or the client is gone.
pub(super) async fn carry(
    sink: &mut Sink,
    source: &mut SplitStream<Socket>,
    far: Metered,
    plan: Plan,
) {
    let (mut from, mut to) = tokio::io::split(far);
    let inward = async {
        while let Some(Ok(message)) = source.next().await {
            let Message::Binary(frame) = message else {
                continue;
            };
            let done = match frame.split_first() {
                Some((channel, bytes)) if *channel == plan.to_pod => to.write_all(bytes).await,
                Some((&CLOSE, [closed])) if plan.half_close && *closed == plan.to_pod => {
                    to.shutdown().await
                }
                _ => Ok(()),
            };
            if done.is_err() {
                // The pod says itself that it is at its end.
                std::future::pending::<()>().await;
            }
        }
    };
    let outward = async {
        let mut frame = vec![plan.from_pod; CHUNK + 1];
        while let Ok(read @ 1..) = from.read(&mut frame[1..]).await {
            let frame = Bytes::copy_from_slice(&frame[..=read]);
            if sink.send(Message::Binary(frame)).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
}
