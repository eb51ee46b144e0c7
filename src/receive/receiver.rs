//! [`Receiver`]: the receiving side of fsutil's protocol as a state machine without I/O.
//!
//! Entries come with a number each; the contents of regular files are asked for by number and
//! come in any order. It says what to do with each packet and keeps what is still to come.

use std::collections::HashMap;

use bytes::Bytes;

use super::entry::{Entry, Kind, Xattrs};
use super::error::{ReceiveError, shown};
use super::listing::Listing;
use super::waiting::Waiting;

/// Files asked for at once. Go's sender queues 128 and sends four at a time; with more than that
/// on their way a distant daemon does not run dry, and the requests still fit in one buffer.
pub(super) const MAX_REQUESTED: usize = 1024;

/// What a daemon sends.
#[derive(Debug)]
pub enum Packet {
    /// The next entry of the listing.
    Entry(Entry),
    /// The listing is complete.
    EndOfEntries,
    /// A piece of the file with this number; an empty one ends the file.
    Data(u32, Bytes),
    /// The answer to our own end of the transfer.
    Fin,
    /// The daemon gives up.
    Error(String),
    /// Something that only a receiver may send.
    Unexpected,
}

/// What a packet asks for.
#[derive(Debug)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Something is to be done on the disk, after all that was asked for before.
    Do(Job),
    /// The transfer is over.
    Done,
}

/// A piece of work on the disk.
#[derive(Debug)]
pub enum Job {
    /// Make this entry, which is no regular file with contents.
    Make(Entry, Kind),
    /// Append to the file of this number, which is to be made if it has a path here.
    Write(u32, Option<Box<[u8]>>, Bytes),
    /// A file is complete; it is to be made if it is empty.
    Close(Incoming),
}

/// A regular file whose contents are not complete yet.
#[derive(Debug)]
pub struct Incoming {
    /// Its number in the listing.
    pub id: u32,
    /// Permissions in the system's bits.
    pub permissions: u32,
    /// Its path. A copy: the packet's own bytes would keep a whole network buffer alive.
    pub path: Box<[u8]>,
    /// The size announced, in bytes.
    pub size: u64,
    /// Bytes received so far.
    pub received: u64,
    /// Time of the last change in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

/// One transfer, from the first entry to the end.
#[derive(Debug, Default)]
pub struct Receiver {
    listing: Listing,
    listed: bool,
    finished: bool,
    waiting: Waiting,
    /// Files that were asked for and are not complete.
    requested: HashMap<u32, Incoming>,
}

impl Receiver {
    /// Takes the next packet.
    ///
    /// # Errors
    ///
    /// Fails on entries that are refused, on contents of another length than announced, on
    /// packets out of place, and when the daemon reports a failure.
    pub fn accept(&mut self, packet: Packet) -> Result<Step, ReceiveError> {
        match packet {
            Packet::Entry(_) | Packet::EndOfEntries if self.listed => Err(ReceiveError::Protocol(
                "an entry after the end of the listing",
            )),
            Packet::Entry(entry) => self.entry(entry),
            Packet::EndOfEntries => {
                self.listed = true;
                Ok(Step::Nothing)
            }
            Packet::Data(id, bytes) if bytes.is_empty() => self.close(id),
            Packet::Data(id, bytes) => self.data(id, bytes),
            Packet::Fin if self.finished => Ok(Step::Done),
            Packet::Fin => Err(ReceiveError::Protocol(
                "an end before the files were complete",
            )),
            Packet::Error(text) => Err(ReceiveError::Sender(text)),
            Packet::Unexpected => Err(ReceiveError::Protocol(
                "a packet that a sender does not send",
            )),
        }
    }

    /// Returns the number of a file to ask for now; call until `None`.
    pub fn next_request(&mut self) -> Option<u32> {
        if self.requested.len() == MAX_REQUESTED {
            return None;
        }
        let file = self.waiting.pop()?;
        let id = file.id;
        self.requested.insert(id, file);
        Some(id)
    }

    /// Whether everything has come; true once, when the end is to be sent.
    pub fn finish(&mut self) -> bool {
        let left = self.waiting.len() + self.requested.len();
        let complete = self.listed && left == 0 && !self.finished;
        self.finished |= complete;
        complete
    }

    fn entry(&mut self, entry: Entry) -> Result<Step, ReceiveError> {
        let id = self.listing.count();
        match self.listing.accept(&entry)? {
            Kind::File => {
                self.waiting.push(incoming(id, &entry));
                Ok(Step::Nothing)
            }
            kind => Ok(Step::Do(Job::Make(entry, kind))),
        }
    }

    fn data(&mut self, id: u32, bytes: Bytes) -> Result<Step, ReceiveError> {
        let file = self.requested.get_mut(&id).ok_or(NOT_REQUESTED)?;
        let new = (file.received == 0).then(|| file.path.clone());
        file.received += bytes.len() as u64;
        if file.received > file.size {
            return Err(wrong_size(file));
        }
        Ok(Step::Do(Job::Write(id, new, bytes)))
    }

    fn close(&mut self, id: u32) -> Result<Step, ReceiveError> {
        let file = self.requested.remove(&id).ok_or(NOT_REQUESTED)?;
        if file.received != file.size {
            return Err(wrong_size(&file));
        }
        Ok(Step::Do(Job::Close(file)))
    }
}

const NOT_REQUESTED: ReceiveError = ReceiveError::Protocol("contents that were not asked for");

fn wrong_size(file: &Incoming) -> ReceiveError {
    ReceiveError::WrongSize {
        path: shown(&file.path),
        received: file.received,
        announced: file.size,
    }
}

fn incoming(id: u32, entry: &Entry) -> Incoming {
    Incoming {
        id,
        permissions: entry.permissions(),
        path: entry.path[..].into(),
        // The listing has refused negative sizes.
        size: entry.size.unsigned_abs(),
        received: 0,
        mtime_ns: entry.mtime_ns,
        xattrs: entry.keep_xattrs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &'static str, size: i64) -> Packet {
        Packet::Entry(Entry {
            path: path.into(),
            mode: 0o644,
            size,
            ..Entry::default()
        })
    }

    fn data(id: u32, bytes: &'static str) -> Packet {
        Packet::Data(id, bytes.into())
    }

    /// Feeds packets, asking for every file at once; returns the last step or the error.
    fn feed(packets: Vec<Packet>) -> Result<String, String> {
        let mut receiver = Receiver::default();
        let mut last = String::new();
        for packet in packets {
            let step = receiver.accept(packet).map_err(|error| error.to_string())?;
            last = match step {
                Step::Nothing => "nothing".to_owned(),
                Step::Do(Job::Make(entry, kind)) => format!("make {} {kind:?}", shown(&entry.path)),
                Step::Do(Job::Write(_, Some(path), bytes)) => {
                    format!("new {} {}", shown(&path), bytes.len())
                }
                Step::Do(Job::Write(id, None, bytes)) => format!("write {id} {}", bytes.len()),
                Step::Do(Job::Close(file)) => format!("close {}", shown(&file.path)),
                Step::Done => "done".to_owned(),
            };
            while receiver.next_request().is_some() {}
            if receiver.finish() {
                last.push_str(", fin");
            }
        }
        Ok(last)
    }

    fn check(packets: Vec<Packet>, expect: Result<&str, &str>) {
        assert_eq!(feed(packets).as_deref().map_err(String::as_str), expect);
    }

    #[test]
    fn files_come_in_any_order_and_interleaved() {
        check(vec![Packet::EndOfEntries], Ok("nothing, fin"));
        check(vec![Packet::EndOfEntries, Packet::Fin], Ok("done"));
        check(
            vec![file("a", 0), data(0, ""), Packet::EndOfEntries],
            Ok("nothing, fin"),
        );
        let listed = || vec![file("a", 3), file("b", 1), Packet::EndOfEntries];
        let with = |more: Vec<Packet>| listed().into_iter().chain(more).collect();
        check(with(vec![data(1, "x"), data(0, "ab")]), Ok("new a 2"));
        check(
            with(vec![data(0, "ab"), data(1, "x"), data(1, ""), data(0, "c")]),
            Ok("write 0 1"),
        );
        check(
            with(vec![data(0, "abc"), data(0, ""), data(1, "x"), data(1, "")]),
            Ok("close b, fin"),
        );
    }

    #[test]
    fn other_lengths_than_announced_are_errors() {
        let short = "the daemon sent 1 bytes of a and announced 2";
        check(vec![file("a", 2), data(0, "x"), data(0, "")], Err(short));
        let long = "the daemon sent 3 bytes of a and announced 2";
        check(vec![file("a", 2), data(0, "xyz")], Err(long));
        let none = "the daemon sent 0 bytes of a and announced 2";
        check(vec![file("a", 2), data(0, "")], Err(none));
    }

    #[test]
    fn packets_out_of_place_are_errors() {
        let broke = |what: &str| format!("the daemon broke the transfer's rules: {what}");
        let unasked = broke("contents that were not asked for");
        check(vec![data(0, "x")], Err(&unasked));
        check(vec![file("a", 1), data(1, "x")], Err(&unasked));
        check(vec![file("a", 0), data(0, ""), data(0, "")], Err(&unasked));
        let early = broke("an end before the files were complete");
        check(vec![Packet::Fin], Err(&early));
        check(
            vec![file("a", 1), Packet::EndOfEntries, Packet::Fin],
            Err(&early),
        );
        let late = broke("an entry after the end of the listing");
        check(vec![Packet::EndOfEntries, Packet::EndOfEntries], Err(&late));
        check(vec![Packet::EndOfEntries, file("a", 1)], Err(&late));
        let failed = "the daemon could not send its output: no space";
        check(vec![Packet::Error("no space".into())], Err(failed));
    }

    #[test]
    fn requests_are_limited_and_go_on_as_files_are_complete() {
        let mut receiver = Receiver::default();
        for number in 0..2000 {
            let path = format!("{number:05}").into();
            receiver
                .accept(Packet::Entry(Entry {
                    path,
                    ..Entry::default()
                }))
                .unwrap();
        }
        let first: Vec<u32> = std::iter::from_fn(|| receiver.next_request()).collect();
        assert_eq!(first, (0..1024).collect::<Vec<_>>());
        assert!(receiver.accept(Packet::Data(1024, Bytes::new())).is_err());
        receiver.accept(Packet::Data(77, Bytes::new())).unwrap();
        assert_eq!(receiver.next_request(), Some(1024));
        assert_eq!(receiver.next_request(), None);
    }
}
