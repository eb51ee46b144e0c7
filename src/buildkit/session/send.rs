//! Sends a directory tree over one call: [`send`], which does what [`Sender`] allows.
//!
//! One task reads requests all the time, hands out work that blocks in small pieces, and passes
//! results on as fast as the daemon takes them. What waits to be sent is bounded; of a file
//! that was asked for only its number waits. Dropping the result ends the task.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt};
use mbuild_proto::fsutil::{self, Packet};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use super::packet::{self, Asked, ProtocolError, Sender};
use super::read::{Batch, Listed, Open, ReadError, Wanted, read_some};
use super::status::failure;
use crate::tree::{ContextTree, Entry, TreeError, View};

/// Pieces of work, done or under way, that are not yet passed on; each holds up to half a
/// megabyte. Three keep one reading while another is sent.
const AHEAD: usize = 3;
/// Entries listed in one piece of work. As few as files are read in one: a daemon compares the
/// list while it writes files, and waits with one when it gets too much of the other.
const LIST: usize = 64;
/// Small files read in one piece of work, at most.
const FILES: usize = 64;

/// Sends what a view lists, and the files the receiver asks for.
///
/// `sent` is increased by the bytes of file contents as they are passed on. The stream ends
/// after the receiver has said that it has all, or with the status of what went wrong.
pub(super) fn send<R>(view: View, requests: R, sent: Arc<AtomicU64>) -> Packets
where
    R: Stream<Item = Result<Packet, Status>> + Send + Unpin + 'static,
{
    let (out, batches) = mpsc::channel(1);
    let transfer = Transfer::new(view, sent);
    let task = AbortOnDropHandle::new(tokio::spawn(transfer.run(requests, out)));
    Packets {
        batches,
        current: Vec::new().into_iter(),
        task: Some(task),
    }
}

/// The packets of a transfer; dropping it ends the transfer.
#[derive(Debug)]
pub(super) struct Packets {
    batches: mpsc::Receiver<Vec<Packet>>,
    current: std::vec::IntoIter<Packet>,
    task: Option<AbortOnDropHandle<Result<(), Status>>>,
}

impl Stream for Packets {
    type Item = Result<Packet, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(packet) = self.current.next() {
                return Poll::Ready(Some(Ok(packet)));
            }
            if let Some(batch) = ready!(self.batches.poll_recv(cx)) {
                self.current = batch.into_iter();
                continue;
            }
            let Some(task) = &mut self.task else {
                return Poll::Ready(None);
            };
            let result = ready!(Pin::new(task).poll(cx));
            self.task = None;
            let result = result.unwrap_or_else(|lost| Err(Status::internal(lost.to_string())));
            return Poll::Ready(result.err().map(Err));
        }
    }
}

/// A transfer and all that is under way in it.
struct Transfer {
    sender: Sender<Listed>,
    /// Where the list goes on; `None` while that is being looked up, and after its end.
    list: Option<View>,
    /// Whether the piece of work that was handed out last was one of the list.
    listed_last: bool,
    tree: Arc<ContextTree>,
    asked: VecDeque<Wanted>,
    opened: Vec<Open>,
    work: JoinSet<Result<Piece, Status>>,
    done: VecDeque<Vec<Packet>>,
    sent: Arc<AtomicU64>,
}

/// A finished piece of work.
enum Piece {
    Listed {
        packets: Vec<Packet>,
        entries: Vec<Option<Listed>>,
        rest: Option<View>,
    },
    Read(Batch),
}

impl Transfer {
    fn new(view: View, sent: Arc<AtomicU64>) -> Self {
        Self {
            sender: Sender::default(),
            tree: Arc::clone(view.tree()),
            list: Some(view),
            listed_last: false,
            asked: VecDeque::new(),
            opened: Vec::new(),
            work: JoinSet::new(),
            done: VecDeque::new(),
            sent,
        }
    }

    async fn run<R>(mut self, mut requests: R, out: mpsc::Sender<Vec<Packet>>) -> Result<(), Status>
    where
        R: Stream<Item = Result<Packet, Status>> + Unpin,
    {
        while !self.is_over() {
            self.start_work();
            tokio::select! {
                request = requests.next(), if !self.sender.is_ending() => self.take(request)?,
                Some(piece) = self.work.join_next() => self.finish(piece)?,
                room = out.reserve(), if !self.done.is_empty() => {
                    let (Ok(room), Some(packets)) = (room, self.done.pop_front()) else {
                        // Nobody reads any more: the call is over.
                        return Ok(());
                    };
                    self.sent.fetch_add(contents(&packets), Ordering::Relaxed);
                    room.send(packets);
                }
            }
        }
        // The daemon waits for the end of the call after this, so it is the last thing done.
        drop(out.send(vec![packet::fin()]).await);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.sender.is_over() && self.done.is_empty()
    }

    /// Hands out as much as may wait to be sent, the list and the files in turn.
    fn start_work(&mut self) {
        while self.work.len() + self.done.len() < AHEAD {
            let files = !self.opened.is_empty() || !self.asked.is_empty();
            let files_turn = files && self.listed_last;
            self.listed_last = false;
            if !files_turn && let Some(view) = self.list.take() {
                self.listed_last = true;
                self.work.spawn_blocking(move || list_some(view));
                continue;
            }
            let open = self.opened.pop();
            if open.is_none() && self.asked.is_empty() {
                return;
            }
            let wanted: Vec<_> = self.asked.drain(..self.asked.len().min(FILES)).collect();
            let tree = Arc::clone(&self.tree);
            self.work.spawn_blocking(move || {
                read_some(&tree, open, wanted)
                    .map(Piece::Read)
                    .map_err(|error| unsent(&error))
            });
        }
    }

    fn take(&mut self, request: Option<Result<Packet, Status>>) -> Result<(), Status> {
        let asked = match request {
            Some(packet) => self.sender.receive(packet?),
            None => Err(ProtocolError::Gone),
        };
        match asked.map_err(|error| failure(Code::InvalidArgument, "", &error))? {
            Asked::File(id, listed) => self.asked.push_back((id, listed)),
            Asked::End => {}
        }
        Ok(())
    }

    fn finish(
        &mut self,
        piece: Result<Result<Piece, Status>, tokio::task::JoinError>,
    ) -> Result<(), Status> {
        match piece.map_err(|lost| failure(Code::Internal, "", &lost))?? {
            Piece::Listed {
                packets,
                entries,
                rest,
            } => {
                entries
                    .into_iter()
                    .for_each(|entry| self.sender.list(entry));
                if rest.is_none() {
                    self.sender.end_list();
                }
                self.list = rest;
                self.done.push_back(packets);
            }
            Piece::Read(batch) => {
                self.sender.sent(batch.ended);
                self.opened.extend(batch.open);
                batch
                    .unread
                    .into_iter()
                    .rev()
                    .for_each(|wanted| self.asked.push_front(wanted));
                self.done.push_back(batch.packets);
            }
        }
        Ok(())
    }
}

/// Lists on, until enough is listed or all of it is.
fn list_some(mut view: View) -> Result<Piece, Status> {
    let (mut packets, mut entries) = (Vec::with_capacity(LIST), Vec::with_capacity(LIST));
    while packets.len() < LIST {
        let Some(entry) = view.next_entry().map_err(|error| unlisted(&error))? else {
            packets.push(packet::end_of_list());
            return Ok(Piece::Listed {
                packets,
                entries,
                rest: None,
            });
        };
        let size = u64::try_from(entry.stat.size).unwrap_or_default();
        entries.push(entry.stat.is_requestable().then_some(Listed {
            handle: entry.handle,
            size,
        }));
        packets.push(packet::stat(wire_stat(entry)));
    }
    Ok(Piece::Listed {
        packets,
        entries,
        rest: Some(view),
    })
}

/// What is sent of an entry. Its owner is root, whoever runs the build: daemons compute cache
/// keys from owners.
fn wire_stat(entry: Entry<'_>) -> fsutil::Stat {
    let stat = entry.stat;
    fsutil::Stat {
        path: entry.path.to_vec().into(),
        mode: stat.mode,
        uid: 0,
        gid: 0,
        size: stat.size,
        mod_time: stat.mtime_ns,
        linkname: stat.linkname.into(),
        devmajor: stat.devmajor,
        devminor: stat.devminor,
        xattrs: stat
            .xattrs
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
    }
}

/// The bytes of file contents in packets.
fn contents(packets: &[Packet]) -> u64 {
    packets.iter().map(|packet| packet.data.len() as u64).sum()
}

/// The status of a tree that cannot be listed.
pub(super) fn unlisted(error: &TreeError) -> Status {
    let code = match error {
        TreeError::Exclude(_) | TreeError::Include(_) => Code::InvalidArgument,
        _ => Code::FailedPrecondition,
    };
    failure(code, "", error)
}

fn unsent(error: &ReadError) -> Status {
    failure(Code::FailedPrecondition, "", error)
}
