//! The dialogue in which a daemon writes a blob: each of its messages is answered before the
//! next one, and the last is a commit.
//!
//! A call that breaks off leaves its bytes to be gone on with.

use std::sync::Arc;

use futures_util::StreamExt;
use mbuild_proto::content::{
    Status as WriteStatus, WriteAction, WriteContentRequest, WriteContentResponse,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Status, Streaming};

use super::dir::DirStore;
use super::ingest::IngestStatus;
use super::writer::Writer;
use super::{digest, wire};
use crate::digest::Digest;

/// Reads and writes on a thread of its own, so that what is buffered is what HTTP/2's windows
/// let through. No time limit here: the session notices a dead daemon, which ends the stream.
pub(super) fn serve(
    store: Arc<DirStore>,
    mut requests: Streaming<WriteContentRequest>,
) -> BoxStream<WriteContentResponse> {
    let runtime = Handle::current();
    let (answers, answered) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        let next = || runtime.block_on(requests.next()).transpose();
        let answer = |answer| match answers.blocking_send(Ok(answer)) {
            Ok(()) => Ok(()),
            Err(_) => Err(Status::cancelled("the daemon gave up")),
        };
        if let Err(status) = dialogue(&store, next, answer) {
            // Fails only if the call is over, and then nobody asks.
            let _ = answers.blocking_send(Err(status));
        }
    });
    Box::pin(ReceiverStream::new(answered))
}

fn dialogue(
    store: &Arc<DirStore>,
    mut next: impl FnMut() -> Result<Option<WriteContentRequest>, Status>,
    mut answer: impl FnMut(WriteContentResponse) -> Result<(), Status>,
) -> Result<(), Status> {
    let Some(first) = next()? else {
        return Err(Status::invalid_argument("a write without a message"));
    };
    if first.r#ref.is_empty() {
        return Err(Status::invalid_argument("a write without a name"));
    }
    let (total, expected) = announced(&first)?;
    let mut writer = store.begin(&first.r#ref, total, expected)?;
    let mut message = Some(first);
    while let Some(request) = message {
        check_same(&writer, &request)?;
        let reply = act(&mut writer, &request)?;
        let committed = reply.action() == WriteAction::Commit;
        if committed {
            // The name is free again before the daemon can use it for another blob.
            drop(writer);
            return answer(reply);
        }
        answer(reply)?;
        message = next()?;
    }
    Ok(())
}

fn act(writer: &mut Writer, request: &WriteContentRequest) -> Result<WriteContentResponse, Status> {
    let action = WriteAction::try_from(request.action)
        .map_err(|_| Status::invalid_argument(format!("no such action: {}", request.action)))?;
    let done = match action {
        WriteAction::Stat => writer.digest(),
        WriteAction::Write => {
            writer.write(request.offset, &request.data)?;
            writer.digest()
        }
        WriteAction::Commit => {
            // Some clients name no offset here; the size is checked in any case.
            if !request.data.is_empty() || request.offset != 0 {
                writer.write(request.offset, &request.data)?;
            }
            let (total, expected) = announced(request)?;
            Some(writer.commit(total, expected)?)
        }
    };
    let status = WriteStatus::from(writer.status.clone());
    Ok(WriteContentResponse {
        action: action.into(),
        started_at: status.started_at,
        updated_at: status.updated_at,
        offset: status.offset,
        total: status.total,
        digest: done.map(|digest| digest.to_string()).unwrap_or_default(),
    })
}

/// One call writes one blob.
fn check_same(writer: &Writer, request: &WriteContentRequest) -> Result<(), Status> {
    let (total, expected) = announced(request)?;
    let status = &writer.status;
    let other = |what: &str| Status::invalid_argument(format!("{}: {what}", status.name));
    if !request.r#ref.is_empty() && request.r#ref != status.name {
        return Err(other("another write in the same call"));
    }
    if total.is_some() && status.total.is_some() && total != status.total {
        return Err(other("another size than before"));
    }
    if expected.is_some() && status.expected.is_some() && expected != status.expected {
        return Err(other("another digest than before"));
    }
    Ok(())
}

fn announced(request: &WriteContentRequest) -> Result<(Option<u64>, Option<Digest>), Status> {
    let total = u64::try_from(request.total).ok().filter(|total| *total > 0);
    let expected = match request.expected.as_str() {
        "" => None,
        text => Some(digest(text)?),
    };
    Ok((total, expected))
}

impl From<IngestStatus> for WriteStatus {
    fn from(status: IngestStatus) -> Self {
        Self {
            started_at: Some(status.started.into()),
            updated_at: Some(status.updated.into()),
            r#ref: status.name,
            offset: wire(status.offset),
            total: status.total.map(wire).unwrap_or_default(),
            expected: status
                .expected
                .map(|digest| digest.to_string())
                .unwrap_or_default(),
        }
    }
}
