//! Serves `moby.filesync.v1.FileSend`: takes what exporters send to the client.
//!
//! [`FileSinks`] says where each exporter's bytes go; the exporter's kind decides which of two
//! message types its stream carries. Paths, order and sizes are [`crate::receive`]'s concern.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use mbuild_proto::filesync::BytesMessage;
use mbuild_proto::filesync::file_send_server::{FileSend, FileSendServer};
use mbuild_proto::fsutil;
use mbuild_proto::fsutil::packet::PacketType;
use prost::Message;
use tokio::sync::mpsc;
use tonic::codegen::BoxStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status, Streaming};

use super::batches::{Batches, batches};
use super::received::packet;
use super::status::failure;
use super::{MAX_MESSAGE, Services};
use crate::receive::{FileSink, Progress, ReceiveError, Reply, Transfer, TreeSink};

/// Names the exporter by its position in the Solve; daemons before 0.13 don't send it.
const EXPORTER_ID: &str = "buildkit-attachable-exporter-id";

/// Where an exporter's bytes go.
#[derive(Debug, Clone)]
pub enum Sink {
    /// A tree, for the exporter `local`. Several streams may come, one per platform.
    Tree(Arc<TreeSink>),
    /// One file, for `tar`, `oci` and `docker`.
    File(Arc<FileSink>),
}

/// The sinks of a session, by the exporter's position in the Solve.
#[derive(Debug, Clone, Default)]
pub struct FileSinks {
    /// The sinks; an exporter without one is refused.
    pub sinks: BTreeMap<u32, Sink>,
    /// Bytes received for all of them, for progress: messages as they are on the wire.
    pub received: Arc<AtomicU64>,
}

impl Services {
    /// Takes what exporters send.
    #[must_use]
    pub fn file_send(self, sinks: FileSinks) -> Self {
        let server = FileSendServer::new(FileReceiver { sinks });
        self.add(&["DiffCopy"], server.max_decoding_message_size(MAX_MESSAGE))
    }
}

struct FileReceiver {
    sinks: FileSinks,
}

type Answers = mpsc::Sender<Result<Bytes, Status>>;

#[tonic::async_trait]
impl FileSend for FileReceiver {
    type DiffCopyStream = BoxStream<Bytes>;

    /// A thread of the call's own decodes and writes, a batch at a time, so that what is buffered
    /// is a few batches and what HTTP/2's windows let through. No time limit here: a daemon may
    /// pause for a long step, and the session notices a dead one, which ends this stream.
    async fn diff_copy(
        &self,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let id = exporter_id(request.metadata())?;
        let sink = self.sinks.sinks.get(&id).cloned();
        let sink = sink.ok_or_else(|| {
            Status::not_found(format!("no output was asked for from exporter {id}"))
        })?;
        if let Sink::File(file) = &sink
            && !file.take()
        {
            return Err(Status::already_exists(format!(
                "exporter {id} has sent its file before"
            )));
        }
        let input = batches(request.into_inner(), Arc::clone(&self.sinks.received));
        // Room for all replies there can be: the thread never waits for the daemon to take one,
        // since the daemon may itself be waiting for us to take its data.
        let (answers, answered) = mpsc::channel(Transfer::MAX_REPLIES + 2);
        tokio::task::spawn_blocking(move || {
            let result = match sink {
                Sink::Tree(tree) => receive_tree(input, tree, &answers),
                Sink::File(file) => receive_file(input, &file),
            };
            if let Err(status) = result {
                // Fails only if the call is over, and then nobody asks.
                let _ = answers.try_send(Err(status));
            }
        });
        Ok(Response::new(Box::pin(
            tokio_stream::wrappers::ReceiverStream::new(answered),
        )))
    }
}

/// Takes what came and works in turn: it waits for the daemon only where nothing is to be done,
/// and the daemon waits where there is too much of it.
fn receive_tree(mut input: Batches, tree: Arc<TreeSink>, answers: &Answers) -> Result<(), Status> {
    let mut transfer = Transfer::new(Arc::clone(&tree));
    let mut replies = Vec::new();
    loop {
        let came = match transfer.has_work() {
            false => Some(input.next()),
            true if transfer.is_full() => None,
            true => input.ready(),
        };
        let came = came.transpose()?;
        let progress = proceed(came, &mut transfer, &mut replies);
        for reply in replies.drain(..) {
            let bytes = match reply {
                Reply::Request(id) => encode(PacketType::Req, id, Bytes::new()),
                Reply::Fin => encode(PacketType::Fin, 0, Bytes::new()),
            };
            if answers.try_send(Ok(bytes)).is_err() {
                return Err(Status::cancelled(
                    "the daemon gave up, or sent what it was not asked",
                ));
            }
        }
        match progress {
            // The daemon resets the stream right after its own end, so nothing more is read.
            Ok(Progress::Done) => return Ok(()),
            Ok(Progress::More) => {}
            Err(error) => {
                let status = refusal(&error);
                let text = status.message().to_owned();
                let _ = answers.try_send(Ok(encode(PacketType::Err, 0, text.clone().into())));
                if matches!(error, ReceiveError::Write(_)) {
                    tree.fail(text);
                }
                return Err(status);
            }
        }
    }
}

/// Takes what came together, if anything did, and does some of the work.
fn proceed(
    came: Option<Vec<Bytes>>,
    transfer: &mut Transfer,
    replies: &mut Vec<Reply>,
) -> Result<Progress, ReceiveError> {
    if let Some(messages) = came {
        if messages.is_empty() {
            return Err(ReceiveError::Cut);
        }
        for message in messages {
            if transfer.accept(packet(message)?)? == Progress::Done {
                return Ok(Progress::Done);
            }
        }
    }
    transfer.work(replies)?;
    Ok(Progress::More)
}

fn receive_file(mut input: Batches, file: &FileSink) -> Result<(), Status> {
    let failed = |error: std::io::Error| {
        let context = format!("cannot write {}", file.path().display());
        let status = failure(Code::Unknown, &context, &error);
        file.fail(status.message().to_owned());
        status
    };
    loop {
        let messages = input.next()?;
        if messages.is_empty() {
            return file.finish().map_err(failed);
        }
        let mut pieces = Vec::with_capacity(messages.len());
        for message in messages {
            let message = BytesMessage::decode(message)
                .map_err(|_| Status::invalid_argument("a message that is no piece of a file"))?;
            pieces.push(message.data);
        }
        file.append(&pieces).map_err(failed)?;
    }
}

fn exporter_id(metadata: &MetadataMap) -> Result<u32, Status> {
    let Some(id) = metadata.get(EXPORTER_ID) else {
        return Ok(0);
    };
    let id = id.to_str().ok().and_then(|id| id.parse().ok());
    id.ok_or_else(|| Status::invalid_argument(format!("{EXPORTER_ID} is not a number")))
}

fn encode(kind: PacketType, id: u32, data: Bytes) -> Bytes {
    let packet = fsutil::Packet {
        r#type: kind.into(),
        id,
        data,
        stat: None,
    };
    packet.encode_to_vec().into()
}

/// The daemon reports the text as the exporter's failure.
fn refusal(error: &ReceiveError) -> Status {
    let code = match error {
        ReceiveError::Write(_) => Code::Unknown,
        _ => Code::InvalidArgument,
    };
    failure(code, "", error)
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataValue;

    use super::*;

    #[test]
    fn the_exporter_is_the_first_unless_it_is_named() {
        fn check(id: Option<&'static str>, expect: Option<u32>) {
            let mut metadata = MetadataMap::new();
            if let Some(id) = id {
                metadata.insert(EXPORTER_ID, MetadataValue::from_static(id));
            }
            assert_eq!(exporter_id(&metadata).ok(), expect, "{id:?}");
        }
        check(None, Some(0));
        check(Some("0"), Some(0));
        check(Some("3"), Some(3));
        check(Some("x"), None);
        check(Some("-1"), None);
    }

    #[test]
    fn a_failure_names_its_causes() {
        let full = std::io::Error::from_raw_os_error(28);
        let error = crate::receive::WriteError::new("write", b"a/b", full);
        let status = refusal(&error.into());
        assert_eq!(
            status.message(),
            "cannot write a/b: No space left on device (os error 28)"
        );
    }
}
