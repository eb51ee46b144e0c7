//! [`Transfer`]: one tree, packet by packet, from the daemon to the disk.
//!
//! Blocks on the disk, so it belongs on a thread of its own, which takes packets and works in
//! turn. What to send back is returned.

use std::sync::Arc;

use super::backlog::Backlog;
use super::error::ReceiveError;
use super::receiver::{Job, Packet, Receiver, Step};
use super::sink::TreeSink;
use super::writer::TreeWriter;

/// Pieces of work done at once, and bytes: then it is looked what came meanwhile. Eight small
/// files take less time than a daemon needs to list a hundred.
const SOME_JOBS: usize = 16;
const SOME_BYTES: usize = 256 << 10;

/// A packet to send to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Asks for the contents of the file with this number.
    Request(u32),
    /// Everything was received.
    Fin,
}

/// Whether a transfer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More packets are to come.
    More,
    /// The daemon has confirmed the end; nothing more is read.
    Done,
}

/// One stream into a [`TreeSink`].
#[derive(Debug)]
pub struct Transfer {
    receiver: Receiver,
    backlog: Backlog,
    writer: TreeWriter,
}

impl Transfer {
    /// The most replies that may be on their way at a time: the requests for files, and the end.
    pub const MAX_REPLIES: usize = super::receiver::MAX_REQUESTED + 1;

    /// Starts a stream; the sink counts as incomplete until it ends well.
    pub fn new(sink: Arc<TreeSink>) -> Self {
        Self {
            receiver: Receiver::default(),
            backlog: Backlog::default(),
            writer: TreeWriter::new(sink),
        }
    }

    /// Takes a packet. What it asks of the disk waits until [`Transfer::work`].
    ///
    /// # Errors
    ///
    /// Any error ends the transfer: tell the daemon, and drop it.
    pub fn accept(&mut self, packet: Packet) -> Result<Progress, ReceiveError> {
        match self.receiver.accept(packet)? {
            Step::Nothing => {}
            Step::Do(job) => self.backlog.push(job),
            Step::Done => return Ok(Progress::Done),
        }
        Ok(Progress::More)
    }

    /// Does some of what is to be done, and adds what is to be sent to `replies`. To be called
    /// after packets were taken, and as long as there is work.
    ///
    /// # Errors
    ///
    /// Any error ends the transfer: tell the daemon, and drop it.
    pub fn work(&mut self, replies: &mut Vec<Reply>) -> Result<(), ReceiveError> {
        let mut bytes = 0;
        for _ in 0..SOME_JOBS {
            let Some((job, size)) = self.backlog.pop() else {
                break;
            };
            match job {
                Job::Make(entry, kind) => self.writer.make(&entry, kind)?,
                Job::Write(id, new, bytes) => self.writer.write(id, new, bytes)?,
                Job::Close(file) => self.writer.close(&file)?,
            }
            bytes += size;
            if bytes >= SOME_BYTES {
                break;
            }
        }
        self.writer.flush()?;
        while self.backlog.may_ask()
            && let Some(id) = self.receiver.next_request()
        {
            replies.push(Reply::Request(id));
        }
        if self.backlog.is_empty() && self.receiver.finish() {
            self.writer.finish()?;
            replies.push(Reply::Fin);
        }
        Ok(())
    }

    /// Whether there is work.
    pub fn has_work(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether there is so much work that no more packets should be taken.
    pub fn is_full(&self) -> bool {
        !self.backlog.may_read()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;

    use bytes::Bytes;
    use tempfile::TempDir;

    use super::*;
    use crate::receive::{Entry, TreeState};

    fn sink() -> (TempDir, Arc<TreeSink>) {
        let temp = tempfile::tempdir().unwrap();
        let root = fs::File::open(temp.path()).unwrap();
        let sink = TreeSink::new(root.into(), temp.path());
        (temp, Arc::new(sink))
    }

    fn entry(path: &'static str, mode: u32) -> Entry {
        let mtime_ns = 1_500_000_000_123_456_789;
        Entry {
            path: path.into(),
            mode,
            mtime_ns,
            ..Entry::default()
        }
    }

    fn dir(path: &'static str) -> Entry {
        entry(path, 0x8000_01ed)
    }

    /// Sends a tree whose regular files contain their own path.
    fn send(sink: &Arc<TreeSink>, entries: Vec<Entry>) -> Result<(), ReceiveError> {
        let mut transfer = Transfer::new(Arc::clone(sink));
        let mut replies = Vec::new();
        let mut accept = |packet, replies: &mut Vec<Reply>| {
            let progress = transfer.accept(packet);
            transfer.work(replies).and(progress)
        };
        let paths: Vec<Bytes> = entries.iter().map(|entry| entry.path.clone()).collect();
        for mut entry in entries {
            if entry.mode & 0x8f28_0000 == 0 {
                entry.size = entry.path.len() as i64;
            }
            accept(Packet::Entry(entry), &mut replies)?;
        }
        accept(Packet::EndOfEntries, &mut replies)?;
        while !replies.is_empty() {
            for reply in std::mem::take(&mut replies) {
                let Reply::Request(id) = reply else {
                    let end = accept(Packet::Fin, &mut replies)?;
                    assert_eq!(end, Progress::Done);
                    return Ok(());
                };
                let contents = paths[id as usize].clone();
                accept(Packet::Data(id, contents), &mut replies)?;
                accept(Packet::Data(id, Bytes::new()), &mut replies)?;
            }
        }
        panic!("no end was sent");
    }

    #[test]
    fn what_came_is_there_after_the_work() {
        let (temp, sink) = sink();
        let mut transfer = Transfer::new(sink);
        let mut replies = Vec::new();
        let mut accept = |packets: Vec<Packet>| {
            transfer.work(&mut replies).unwrap();
            for packet in packets {
                transfer.accept(packet).unwrap();
            }
            while transfer.has_work() {
                transfer.work(&mut replies).unwrap();
            }
        };
        let file = |path, size| {
            Packet::Entry(Entry {
                size,
                ..entry(path, 0o444)
            })
        };
        let data = |id, bytes: &'static str| Packet::Data(id, bytes.into());
        let read = |path| fs::read_to_string(temp.path().join(path)).unwrap();
        accept(vec![file("a", 6), file("b", 4), file("c", 2)]);
        accept(vec![data(0, "ab")]);
        assert_eq!(read("a"), "ab");
        // Interleaved, in the order in which it came to each file.
        accept(vec![
            data(1, "12"),
            data(0, "c"),
            data(1, "34"),
            data(0, "d"),
        ]);
        assert_eq!((read("a"), read("b")), ("abcd".into(), "1234".into()));
        accept(vec![data(2, "x"), data(0, "ef"), data(2, "y"), data(2, "")]);
        accept(vec![data(1, ""), data(0, "")]);
        assert_eq!((read("a"), read("c")), ("abcdef".into(), "xy".into()));
        assert_eq!(metadata(temp.path().join("b")).len(), 4);
    }

    #[test]
    fn files_that_are_open_at_once_have_a_limit() {
        let (_temp, sink) = sink();
        let mut transfer = Transfer::new(sink);
        let mut send = |packet| {
            transfer.accept(packet)?;
            transfer.work(&mut Vec::new())
        };
        for number in 0..65 {
            let entry = Entry {
                path: format!("{number:02}").into(),
                size: 2,
                ..Entry::default()
            };
            send(Packet::Entry(entry)).unwrap();
        }
        for id in 0..64 {
            send(Packet::Data(id, "x".into())).unwrap();
        }
        let error = send(Packet::Data(64, "x".into())).unwrap_err();
        let expect = "the daemon sent too much: the contents of more than 64 files at once";
        assert_eq!(error.to_string(), expect);
    }

    #[test]
    fn a_listing_is_read_on_while_files_wait_to_be_written() {
        let (temp, sink) = sink();
        let mut transfer = Transfer::new(sink);
        let mut replies = Vec::new();
        let list = |transfer: &mut Transfer, numbers: std::ops::Range<u32>| {
            for number in numbers {
                let entry = Entry {
                    path: format!("{number:05}").into(),
                    size: 8000,
                    ..Entry::default()
                };
                transfer.accept(Packet::Entry(entry)).unwrap();
            }
        };
        list(&mut transfer, 0..1000);
        transfer.work(&mut replies).unwrap();
        assert_eq!(replies.len(), 1000);
        let contents = Bytes::from(vec![b'x'; 8000]);
        for id in 0..1000 {
            assert_eq!(transfer.is_full(), id > 507, "{id}");
            transfer.accept(Packet::Data(id, contents.clone())).unwrap();
            transfer.accept(Packet::Data(id, Bytes::new())).unwrap();
        }
        // It was told to wait; the listing would be taken, but asks for nothing.
        list(&mut transfer, 1000..2000);
        transfer.work(&mut replies).unwrap();
        assert_eq!(replies.len(), 1000);
        while transfer.has_work() {
            transfer.work(&mut replies).unwrap();
        }
        assert_eq!(replies.len(), 2000);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1000);
    }

    fn metadata(path: impl AsRef<Path>) -> fs::Metadata {
        fs::symlink_metadata(path).unwrap()
    }

    #[test]
    fn a_tree_is_written_with_modes_and_times() {
        let (temp, sink) = sink();
        assert_eq!(sink.state(), TreeState::Missing);
        let link = Entry {
            linkname: "/etc".into(),
            ..entry("link", 0x0800_01ff)
        };
        let hard = Entry {
            linkname: "d/file".into(),
            ..entry("hard", 0o640)
        };
        let pipe = entry("pipe", 0x0200_0180);
        let entries = vec![
            dir("d"),
            entry("d/file", 0o640),
            hard,
            link,
            pipe,
            entry("su", 0x0080_01ed),
        ];
        send(&sink, entries).unwrap();
        assert_eq!(sink.state(), TreeState::Complete);
        let root = temp.path();
        assert_eq!(fs::read(root.join("d/file")).unwrap(), b"d/file");
        let file = metadata(root.join("d/file"));
        assert_eq!(file.permissions().mode() & 0o7777, 0o640);
        assert_eq!(
            (file.mtime(), file.mtime_nsec()),
            (1_500_000_000, 123_456_789)
        );
        assert_eq!(metadata(root.join("hard")).ino(), file.ino());
        assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("/etc"));
        assert_eq!(metadata(root.join("link")).mtime(), 1_500_000_000);
        assert_eq!(
            metadata(root.join("su")).permissions().mode() & 0o7777,
            0o4755
        );
        assert_eq!(metadata(root.join("pipe")).permissions().mode(), 0o010_600);
        let directories = sink.directories();
        assert_eq!(directories.len(), 1);
        assert_eq!(directories[0].permissions, 0o755);
    }

    #[test]
    fn two_streams_share_directories_but_no_files() {
        let (temp, sink) = sink();
        send(&sink, vec![dir("d"), entry("d/one", 0o644)]).unwrap();
        send(&sink, vec![dir("d"), entry("d/two", 0o644)]).unwrap();
        assert!(temp.path().join("d/one").exists() && temp.path().join("d/two").exists());
        assert_eq!(sink.directories().len(), 1);
        let error = send(&sink, vec![dir("d"), entry("d/two", 0o644)]).unwrap_err();
        assert_eq!(error.to_string(), "cannot create d/two");
        assert_eq!(sink.state(), TreeState::Incomplete);
    }

    #[test]
    fn a_link_of_one_stream_is_no_directory_of_another() {
        let (temp, sink) = sink();
        let outside = tempfile::tempdir().unwrap();
        let target = Bytes::from(outside.path().to_str().unwrap().to_owned());
        let link = Entry {
            linkname: target,
            ..entry("d", 0x0800_01ff)
        };
        send(&sink, vec![link]).unwrap();
        let error = send(&sink, vec![dir("d"), entry("d/file", 0o644)]).unwrap_err();
        assert_eq!(error.to_string(), "cannot create the directory d");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(metadata(temp.path().join("d")).is_symlink());
    }

    #[test]
    fn a_closed_sink_takes_nothing_more() {
        let (temp, sink) = sink();
        sink.close();
        assert!(send(&sink, vec![dir("d")]).is_err());
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
