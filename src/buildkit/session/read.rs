//! Reads the bytes of files that were asked for, some at a time: [`read_some`].
//!
//! Blocks, so it belongs on threads that may. A file is sent with exactly the size it was
//! listed with. One that has grown since is cut there: the list is what the transfer promised,
//! and a log that is being appended to is no reason to fail. One that is shorter, or gone, is
//! an error: daemons accept what comes as the file, truncated or empty (seen on BuildKit 0.25
//! and 0.32), and the build would succeed with it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::buffers::Buffers;
use super::fill::fill;
use super::packet;
use super::wire::Messages;
use crate::tree::{ContextTree, Handle};

/// Bytes in one packet, at most; daemons before 0.14 accept 4 MiB, Go sends 32 KiB.
const CHUNK: usize = 256 << 10;
/// Bytes read in one go, before what was read is passed on.
const GO: usize = 512 << 10;

/// Why a file that was listed cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// It is gone, is something else now, or may not be read.
    #[error("{} was listed but cannot be opened", path.display())]
    Open {
        /// The path, the root's included.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system failed to read on.
    #[error("{} cannot be read at byte {offset}", path.display())]
    Read {
        /// The path, the root's included.
        path: PathBuf,
        /// How much had been read.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// It has become shorter since it was listed.
    #[error("{} changed while it was being sent: {read} of {size} bytes are left", path.display())]
    Shorter {
        /// The path, the root's included.
        path: PathBuf,
        /// How much there was to read.
        read: u64,
        /// How much was listed.
        size: u64,
    },
}

/// What is remembered of a file in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    /// The file in its tree.
    pub(super) handle: Handle,
    /// The size that was sent.
    pub(super) size: u64,
}

/// A file that was asked for under a number.
pub(super) type Wanted = (u32, Listed);

/// A file of which some was read.
#[derive(Debug)]
pub(super) struct Open {
    id: u32,
    listed: Listed,
    file: File,
    offset: u64,
}

/// What one go has read.
#[derive(Debug)]
pub(super) struct Batch {
    /// To be sent.
    pub(super) messages: Messages,
    /// How many files the messages end.
    pub(super) ended: usize,
    /// The file to go on with.
    pub(super) open: Option<Open>,
    /// What there was no room for.
    pub(super) unread: Vec<Wanted>,
}

/// Reads on in `open`, then in the wanted files, until enough is read or all of it is.
pub(super) fn read_some(
    tree: &ContextTree,
    buffers: &Arc<Buffers>,
    mut open: Option<Open>,
    wanted: Vec<Wanted>,
) -> Result<Batch, ReadError> {
    let mut batch = Batch::new(buffers);
    let mut wanted = wanted.into_iter();
    let mut room = GO;
    while room > 0 {
        let mut file = match open.take() {
            Some(file) => file,
            None => match wanted.next() {
                // Nothing to read: a socket is listed as an empty file, and cannot be opened.
                Some((id, Listed { size: 0, .. })) => {
                    batch.end(id);
                    continue;
                }
                Some(wanted) => Open::new(tree, wanted)?,
                None => break,
            },
        };
        while room > 0 && file.left() > 0 {
            room -= file.read_chunk(tree, room, &mut batch.messages)?;
        }
        if file.left() > 0 {
            batch.open = Some(file);
        } else {
            batch.end(file.id);
        }
    }
    batch.unread = wanted.collect();
    Ok(batch)
}

impl Batch {
    fn new(buffers: &Arc<Buffers>) -> Self {
        Self {
            messages: Messages::new(buffers),
            ended: 0,
            open: None,
            unread: Vec::new(),
        }
    }

    fn end(&mut self, id: u32) {
        self.messages.put(&packet::data(id));
        self.ended += 1;
    }
}

impl Open {
    fn new(tree: &ContextTree, (id, listed): Wanted) -> Result<Self, ReadError> {
        let file = tree
            .open_file(listed.handle)
            .map_err(|source| ReadError::Open {
                path: path(tree, listed),
                source,
            })?;
        Ok(Self {
            id,
            listed,
            file,
            offset: 0,
        })
    }

    fn left(&self) -> u64 {
        self.listed.size - self.offset
    }

    /// Reads a whole packet's worth, or all that is left, within `room`; tells how much.
    fn read_chunk(
        &mut self,
        tree: &ContextTree,
        room: usize,
        messages: &mut Messages,
    ) -> Result<usize, ReadError> {
        let wanted = usize::try_from(self.left())
            .unwrap_or(CHUNK)
            .min(CHUNK)
            .min(room);
        let bytes = messages.put_contents(self.id, wanted);
        let (read, end) = fill(&self.file, bytes, self.offset);
        self.offset += read as u64;
        let (offset, size) = (self.offset, self.listed.size);
        match end {
            Err(source) => Err(ReadError::Read {
                path: path(tree, self.listed),
                offset,
                source,
            }),
            Ok(()) if read < wanted => Err(ReadError::Shorter {
                path: path(tree, self.listed),
                read: offset,
                size,
            }),
            Ok(()) => Ok(read),
        }
    }
}

/// The path of a file as the user knows it.
fn path(tree: &ContextTree, listed: Listed) -> PathBuf {
    tree.root()
        .join(OsStr::from_bytes(&tree.path_of(listed.handle)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::super::wire::read_back;
    use super::*;
    use crate::tree::Filter;

    /// A tree of files of these sizes, in order, and what asking for all of them gives.
    fn tree(sizes: &[usize]) -> (tempfile::TempDir, Arc<ContextTree>, Vec<Wanted>) {
        let dir = tempfile::tempdir().unwrap();
        for (number, size) in sizes.iter().enumerate() {
            fs::write(
                dir.path().join(format!("{number:03}")),
                vec![number as u8; *size],
            )
            .unwrap();
        }
        let tree = ContextTree::open(dir.path()).unwrap();
        let mut view = tree.view(&Filter::default()).unwrap();
        let mut wanted = Vec::new();
        while let Some(entry) = view.next_entry().unwrap() {
            let size = entry.stat.size as u64;
            wanted.push((
                wanted.len() as u32,
                Listed {
                    handle: entry.handle,
                    size,
                },
            ));
        }
        (dir, tree, wanted)
    }

    fn read_all(
        tree: &ContextTree,
        open: Option<Open>,
        wanted: Vec<Wanted>,
    ) -> Result<Batch, ReadError> {
        read_some(tree, &Arc::default(), open, wanted)
    }

    /// The number and the length of each packet.
    fn shape(batch: &Batch) -> Vec<(u32, usize)> {
        read_back(batch.messages.bytes.as_ref())
            .iter()
            .map(|packet| (packet.id, packet.data.len()))
            .collect()
    }

    #[test]
    fn small_files_are_read_in_one_go() {
        let (_dir, tree, wanted) = tree(&[3, 0, 5]);
        let batch = read_all(&tree, None, wanted).unwrap();
        assert_eq!(shape(&batch), [(0, 3), (0, 0), (1, 0), (2, 5), (2, 0)]);
        assert_eq!(
            (batch.ended, batch.unread.len(), batch.open.is_none()),
            (3, 0, true)
        );
        let packets = read_back(batch.messages.bytes.as_ref());
        assert_eq!(packets[3].data, [2; 5].as_slice());
    }

    #[test]
    fn a_large_file_is_gone_on_with_and_others_wait() {
        let (_dir, tree, wanted) = tree(&[GO + CHUNK / 2, 1]);
        let first = read_all(&tree, None, wanted.clone()).unwrap();
        assert_eq!(shape(&first), [(0, CHUNK), (0, CHUNK)]);
        assert_eq!((first.ended, &first.unread[..]), (0, &wanted[1..]));
        let second = read_all(&tree, first.open, first.unread).unwrap();
        assert_eq!(shape(&second), [(0, CHUNK / 2), (0, 0), (1, 1), (1, 0)]);
        assert_eq!((second.ended, second.open.is_none()), (2, true));
    }

    #[test]
    fn a_go_that_ends_with_a_file_leaves_none_open() {
        let (_dir, tree, wanted) = tree(&[GO, 1]);
        let batch = read_all(&tree, None, wanted).unwrap();
        assert_eq!(shape(&batch), [(0, CHUNK), (0, CHUNK), (0, 0)]);
        assert_eq!(
            (batch.ended, batch.unread.len(), batch.open.is_none()),
            (1, 1, true)
        );
    }

    #[test]
    fn a_file_that_is_cut_while_it_is_read_is_an_error() {
        let (dir, tree, wanted) = tree(&[GO + 100]);
        let first = read_all(&tree, None, wanted).unwrap();
        let path = dir.path().join("000");
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(GO as u64 + 60)
            .unwrap();
        let error = read_all(&tree, first.open, first.unread).unwrap_err();
        let expect = format!(
            "{} changed while it was being sent: {} of {} bytes are left",
            path.display(),
            GO + 60,
            GO + 100
        );
        assert_eq!(error.to_string(), expect);
    }
}
