//! Sends a directory tree over one call: [`send`], which does what [`Sender`] allows.
//!
//! One task reads requests all the time, hands out work that blocks in small pieces, and passes
//! results on as fast as the daemon takes them. What waits to be sent is bounded; of a file
//! that was asked for only its number waits. Dropping the result ends the task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use mbuild_proto::fsutil::Packet;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use super::buffers::Buffers;
use super::list::{List, list_some};
use super::outgoing::Outgoing;
use super::packet::{self, Asked, ProtocolError, Sender};
use super::read::{Batch, Listed, Open, ReadError, Wanted, read_some};
use super::status::failure;
use super::wire::Messages;
use crate::tree::{ContextTree, View};

/// Pieces of work, done or under way, that are not yet passed on; each holds up to half a
/// megabyte. Three keep one reading while another is sent.
const AHEAD: usize = 3;
/// Entries listed in one piece of work while files are asked for. As few as files are read in
/// one: a daemon compares the list while it writes files, and waits with one when it gets too much
/// of the other.
const LIST: usize = 64;
/// Entries listed in one piece of work at most, when nobody asks for files.
const LONG_LIST: usize = 1024;
/// Small files read in one piece of work, at most.
const FILES: usize = 64;

/// Sends what a view lists, and the files the receiver asks for.
///
/// `sent` is increased by the bytes of file contents as they are passed on. The body ends
/// after the receiver has said that it has all, or with the status of what went wrong; it holds
/// `slot` until then.
pub(super) fn send<R>(
    view: View,
    requests: R,
    sent: Arc<AtomicU64>,
    slot: Option<OwnedSemaphorePermit>,
) -> Outgoing
where
    R: Stream<Item = Result<Packet, Status>> + Send + Unpin + 'static,
{
    let (out, batches) = mpsc::channel(1);
    let transfer = Transfer::new(view, sent);
    let task = AbortOnDropHandle::new(tokio::spawn(transfer.run(requests, out)));
    Outgoing::new(batches, task, slot)
}

/// A transfer and all that is under way in it.
struct Transfer {
    sender: Sender<Listed>,
    /// Where the list goes on; `None` while that is being looked up, and after its end.
    list: Option<View>,
    /// Entries in the next piece of the list.
    list_length: usize,
    /// Whether the piece of work that was handed out last was one of the list.
    listed_last: bool,
    /// Pieces of work under way that read files.
    reading: usize,
    tree: Arc<ContextTree>,
    buffers: Arc<Buffers>,
    asked: VecDeque<Wanted>,
    opened: Vec<Open>,
    work: JoinSet<Result<Piece, Status>>,
    done: VecDeque<Messages>,
    sent: Arc<AtomicU64>,
}

/// A finished piece of work.
enum Piece {
    Listed(List),
    Read(Batch),
}

impl Transfer {
    fn new(view: View, sent: Arc<AtomicU64>) -> Self {
        Self {
            sender: Sender::default(),
            tree: Arc::clone(view.tree()),
            buffers: Arc::default(),
            list: Some(view),
            list_length: LIST,
            listed_last: false,
            reading: 0,
            asked: VecDeque::new(),
            opened: Vec::new(),
            work: JoinSet::new(),
            done: VecDeque::new(),
            sent,
        }
    }

    async fn run<R>(mut self, mut requests: R, out: mpsc::Sender<Bytes>) -> Result<(), Status>
    where
        R: Stream<Item = Result<Packet, Status>> + Unpin,
    {
        while !self.is_over() {
            self.start_work();
            tokio::select! {
                request = requests.next(), if !self.sender.is_ending() => self.take(request)?,
                Some(piece) = self.work.join_next() => self.finish(piece)?,
                room = out.reserve(), if !self.done.is_empty() => {
                    let (Ok(room), Some(messages)) = (room, self.done.pop_front()) else {
                        // Nobody reads any more: the call is over.
                        return Ok(());
                    };
                    self.sent.fetch_add(messages.contents, Ordering::Relaxed);
                    room.send(Bytes::from_owner(messages.bytes));
                }
            }
        }
        // The daemon waits for the end of the call after this, so it is the last thing done.
        let mut fin = Messages::new(&self.buffers);
        fin.put(&packet::fin());
        drop(out.send(Bytes::from_owner(fin.bytes)).await);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.sender.is_over() && self.done.is_empty()
    }

    /// Hands out as much as may wait to be sent, the list and the files in turn.
    fn start_work(&mut self) {
        while self.work.len() + self.done.len() < AHEAD {
            let files_turn = self.may_read() && self.listed_last;
            self.listed_last = false;
            if !files_turn && let Some(view) = self.list.take() {
                self.listed_last = true;
                let length = self.list_length;
                self.list_length = (length * 2).min(LONG_LIST);
                let buffers = Arc::clone(&self.buffers);
                self.work
                    .spawn_blocking(move || list_some(view, &buffers, length).map(Piece::Listed));
                continue;
            }
            if !self.may_read() {
                return;
            }
            self.reading += 1;
            self.list_length = LIST;
            let open = self.opened.pop();
            let wanted: Vec<_> = self.asked.drain(..self.asked.len().min(FILES)).collect();
            let (tree, buffers) = (Arc::clone(&self.tree), Arc::clone(&self.buffers));
            self.work.spawn_blocking(move || {
                read_some(&tree, &buffers, open, wanted)
                    .map(Piece::Read)
                    .map_err(|error| unsent(&error))
            });
        }
    }

    /// Whether there is enough for another piece of work that reads: daemons ask for one file at a
    /// time, and those that come while others are read are read together.
    fn may_read(&self) -> bool {
        let enough = !self.opened.is_empty() || self.asked.len() >= FILES;
        enough || (self.reading == 0 && !self.asked.is_empty())
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

    fn finish(&mut self, piece: Result<Result<Piece, Status>, JoinError>) -> Result<(), Status> {
        match piece.map_err(|lost| failure(Code::Internal, "", &lost))?? {
            Piece::Listed(List {
                messages,
                entries,
                rest,
            }) => {
                entries
                    .into_iter()
                    .for_each(|entry| self.sender.list(entry));
                if rest.is_none() {
                    self.sender.end_list();
                }
                self.list = rest;
                self.done.push_back(messages);
            }
            Piece::Read(batch) => {
                self.reading -= 1;
                self.sender.sent(batch.ended);
                self.opened.extend(batch.open);
                batch
                    .unread
                    .into_iter()
                    .rev()
                    .for_each(|wanted| self.asked.push_front(wanted));
                self.done.push_back(batch.messages);
            }
        }
        Ok(())
    }
}

fn unsent(error: &ReadError) -> Status {
    failure(Code::FailedPrecondition, "", error)
}
