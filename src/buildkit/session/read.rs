//! Reads the bytes of files that were asked for, some at a time: [`read_some`].
//!
//! Blocks, so it belongs on threads that may. A file is sent with exactly the size it was
//! listed with. One that has grown since is cut there: the list is what the transfer promised,
//! and a log that is being appended to is no reason to fail. One that is shorter, or gone, is
//! an error: daemons accept what comes as the file, truncated or empty (seen on BuildKit 0.25
//! and 0.32), and the build would succeed with it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use bytes::Bytes;
use mbuild_proto::fsutil::Packet;

use super::packet;
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
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// To be sent in this order.
    pub(super) packets: Vec<Packet>,
    /// How many files the packets end.
    pub(super) ended: usize,
    /// The file to go on with.
    pub(super) open: Option<Open>,
    /// What there was no room for.
    pub(super) unread: Vec<Wanted>,
}

/// Reads on in `open`, then in the wanted files, until enough is read or all of it is.
pub(super) fn read_some(
    tree: &ContextTree,
    mut open: Option<Open>,
    wanted: Vec<Wanted>,
) -> Result<Batch, ReadError> {
    let mut batch = Batch::default();
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
            let chunk = file.read_chunk(tree, room)?;
            room -= chunk.len();
            batch.packets.push(packet::data(file.id, chunk));
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
    fn end(&mut self, id: u32) {
        self.packets.push(packet::data(id, Bytes::new()));
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

    /// Reads a whole packet's worth, or all that is left, within `room`.
    fn read_chunk(&mut self, tree: &ContextTree, room: usize) -> Result<Bytes, ReadError> {
        let wanted = usize::try_from(self.left())
            .unwrap_or(CHUNK)
            .min(CHUNK)
            .min(room);
        let mut chunk = Vec::with_capacity(wanted);
        let read = (&self.file).take(wanted as u64).read_to_end(&mut chunk);
        self.offset += chunk.len() as u64;
        let (offset, size) = (self.offset, self.listed.size);
        match read {
            Err(source) => Err(ReadError::Read {
                path: path(tree, self.listed),
                offset,
                source,
            }),
            Ok(_) if chunk.len() < wanted => Err(ReadError::Shorter {
                path: path(tree, self.listed),
                read: offset,
                size,
            }),
            Ok(_) => Ok(chunk.into()),
        }
    }
}

/// The path of a file as the user knows it.
fn path(tree: &ContextTree, listed: Listed) -> PathBuf {
    tree.root()
        .join(OsStr::from_bytes(&tree.path_of(listed.handle)))
}
