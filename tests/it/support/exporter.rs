//! Plays a daemon's exporters: sends trees and files to a session, honestly or not.

use bytes::Bytes;
use mbuild_proto::filesync::BytesMessage;
use mbuild_proto::filesync::file_send_client::FileSendClient;
use mbuild_proto::fsutil::packet::PacketType;
use mbuild_proto::fsutil::{Packet, Stat};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::session_caller::LIMIT;

/// An entry of a tree, with the bytes of a regular file.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) stat: Stat,
    pub(crate) data: Bytes,
}

const MTIME: i64 = 1_600_000_000_000_000_000;

fn sent(path: &str, mode: u32, linkname: &str, data: &str) -> Sent {
    Sent {
        stat: Stat {
            path: Bytes::copy_from_slice(path.as_bytes()),
            mode,
            size: data.len() as i64,
            mod_time: MTIME,
            linkname: Bytes::copy_from_slice(linkname.as_bytes()),
            ..Stat::default()
        },
        data: Bytes::copy_from_slice(data.as_bytes()),
    }
}

pub(crate) fn dir(path: &str) -> Sent {
    sent(path, 0x8000_01ed, "", "")
}

pub(crate) fn file(path: &str, data: &str) -> Sent {
    sent(path, 0o644, "", data)
}

pub(crate) fn symlink(path: &str, target: &str) -> Sent {
    sent(path, 0x0800_01ff, target, "")
}

pub(crate) fn hard_link(path: &str, first: &str) -> Sent {
    sent(path, 0o644, first, "")
}

/// What an exporter does with files that it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// Leaves out the last byte.
    Short,
    /// Adds a byte.
    Long,
    /// Says that it failed.
    Error,
    /// Goes away after the first byte.
    Cut,
}

/// One call, by hand.
pub(crate) struct Export {
    messages: Option<mpsc::Sender<Bytes>>,
    answers: Streaming<Bytes>,
}

impl Export {
    /// Opens a call for the exporter with this number.
    pub(crate) async fn open(channel: &Channel, exporter: &str) -> Result<Self, Status> {
        let (messages, stream) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(stream));
        let id = exporter.parse().unwrap();
        request
            .metadata_mut()
            .insert("buildkit-attachable-exporter-id", id);
        let answers = FileSendClient::new(channel.clone())
            .diff_copy(request)
            .await?;
        Ok(Self {
            messages: Some(messages),
            answers: answers.into_inner(),
        })
    }

    /// Sends a message; one after the other side has gone is lost.
    pub(crate) async fn send(&self, message: impl Message) {
        if let Some(messages) = &self.messages {
            let _ = messages.send(message.encode_to_vec().into()).await;
        }
    }

    pub(crate) async fn packet(&self, kind: PacketType, id: u32, data: Bytes) {
        self.send(Packet {
            r#type: kind.into(),
            id,
            data,
            stat: None,
        })
        .await;
    }

    /// The next answer; panics when there is none in time.
    pub(crate) async fn answer(&mut self) -> Result<Option<Packet>, Status> {
        let answer = tokio::time::timeout(LIMIT, self.answers.message()).await;
        let answer = answer.expect("no answer")?;
        Ok(answer.map(|bytes| Packet::decode(bytes).unwrap()))
    }

    /// Ends the sending side.
    pub(crate) fn hang_up(&mut self) {
        self.messages = None;
    }

    /// How the call ends; panics when more packets come.
    pub(crate) async fn end(&mut self) -> Result<(), Status> {
        let answer = self.answer().await?;
        assert_eq!(answer, None);
        Ok(())
    }
}

/// Sends a tree as daemons do, all files at the same time.
pub(crate) async fn send_tree(
    channel: &Channel,
    exporter: &str,
    entries: Vec<Sent>,
    manner: Manner,
) -> Result<(), Status> {
    let mut call = Export::open(channel, exporter).await?;
    let lister = call.messages.clone().unwrap();
    let stats: Vec<Stat> = entries.iter().map(|sent| sent.stat.clone()).collect();
    let listing = tokio::spawn(async move {
        for stat in stats.into_iter().map(Some).chain([None]) {
            let packet = Packet {
                stat,
                ..Packet::default()
            };
            if lister.send(packet.encode_to_vec().into()).await.is_err() {
                return;
            }
        }
    });
    while let Some(answer) = call.answer().await? {
        match answer.r#type() {
            PacketType::Req => {
                let data = entries[answer.id as usize].data.clone();
                send_file(&mut call, answer.id, data, manner).await;
            }
            PacketType::Fin => call.packet(PacketType::Fin, 0, Bytes::new()).await,
            PacketType::Err => {}
            other => panic!("{other:?} from a receiver"),
        }
        if manner == Manner::Cut && call.messages.is_none() {
            listing.abort();
        }
    }
    Ok(())
}

async fn send_file(call: &mut Export, id: u32, data: Bytes, manner: Manner) {
    let mut data = data.to_vec();
    match manner {
        Manner::Honest => {}
        Manner::Short => drop(data.pop()),
        Manner::Long => data.push(b'x'),
        Manner::Error => {
            call.packet(PacketType::Err, 0, "disk on fire".into()).await;
            return;
        }
        Manner::Cut => {
            call.packet(PacketType::Data, id, data[..1].to_vec().into())
                .await;
            call.hang_up();
            return;
        }
    }
    for chunk in data.chunks(32 << 10) {
        call.packet(PacketType::Data, id, chunk.to_vec().into())
            .await;
    }
    call.packet(PacketType::Data, id, Bytes::new()).await;
}

/// Sends a file in pieces of this size.
pub(crate) async fn send_file_output(
    channel: &Channel,
    exporter: &str,
    bytes: &[u8],
    piece: usize,
) -> Result<(), Status> {
    let mut call = Export::open(channel, exporter).await?;
    for chunk in bytes.chunks(piece) {
        call.send(BytesMessage {
            data: chunk.to_vec().into(),
        })
        .await;
    }
    call.hang_up();
    call.end().await
}
