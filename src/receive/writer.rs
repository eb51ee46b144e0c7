//! [`TreeWriter`]: puts the entries of one stream into a [`TreeSink`].
//!
//! Everything is made anew and exclusively, so nothing that is there already is ever written
//! through. Owners stay the invoking user's, as with buildx.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Dev, FileType, Mode, OFlags, chmodat, linkat, makedev, mkdirat, mknodat, openat,
    symlinkat, utimensat,
};
use rustix::io::Errno;

use super::attributes::timestamps;
use super::beneath::open_beneath;
use super::entry::{Entry, Kind};
use super::error::{ReceiveError, WriteError, shown};
use super::listing::parent;
use super::open::OpenFile;
use super::receiver::Incoming;
use super::sink::{Directory, TreeSink};

/// Files whose contents may arrive interleaved. Go's sender sends four at a time.
const MAX_OPEN: usize = 64;

/// What one stream has under way.
#[derive(Debug)]
pub(super) struct TreeWriter {
    sink: Arc<TreeSink>,
    /// The directory used last, since neighbours come together.
    parent: Option<(Box<[u8]>, OwnedFd)>,
    open: HashMap<u32, OpenFile>,
    /// Made at the end, when the files they name are all there.
    links: Vec<HardLink>,
    directories: Vec<Directory>,
}

#[derive(Debug)]
struct HardLink {
    path: Box<[u8]>,
    target: Box<[u8]>,
}

impl TreeWriter {
    pub(super) fn new(sink: Arc<TreeSink>) -> Self {
        sink.stream_started();
        Self {
            sink,
            parent: None,
            open: HashMap::new(),
            links: Vec::new(),
            directories: Vec::new(),
        }
    }

    /// Makes anything but a regular file with contents.
    pub(super) fn make(&mut self, entry: &Entry, kind: Kind) -> Result<(), WriteError> {
        self.check_open(&entry.path)?;
        match kind {
            Kind::Directory => self.directory(entry),
            Kind::Symlink => self.symlink(entry),
            Kind::HardLink => {
                self.links.push(HardLink {
                    path: entry.path[..].into(),
                    target: entry.linkname[..].into(),
                });
                Ok(())
            }
            Kind::Fifo => self.node(entry, FileType::Fifo),
            Kind::CharDevice => self.node(entry, FileType::CharacterDevice),
            Kind::BlockDevice => self.node(entry, FileType::BlockDevice),
            // The receiver turns these into writes.
            Kind::File => Ok(()),
        }
    }

    /// Appends to a file, which is made if it has a path here. The bytes are held back until
    /// the file is closed or [`TreeWriter::flush`].
    pub(super) fn write(
        &mut self,
        id: u32,
        new: Option<Box<[u8]>>,
        bytes: Bytes,
    ) -> Result<(), ReceiveError> {
        if let Some(path) = new {
            self.check_open(&path)?;
            if self.open.len() == MAX_OPEN {
                return Err(ReceiveError::TooMuch(
                    "the contents of more than 64 files at once",
                ));
            }
            let created = self.create(path)?;
            self.open.insert(id, created);
        }
        if let Some(open) = self.open.get_mut(&id) {
            open.hold(bytes);
        }
        Ok(())
    }

    /// Writes all that is held back.
    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        if let Some(open) = self.open.values().next() {
            self.check_open(open.path())?;
        }
        self.open.values_mut().try_for_each(OpenFile::flush)
    }

    /// Gives a complete file its attributes, making it first if it is empty.
    pub(super) fn close(&mut self, file: &Incoming) -> Result<(), WriteError> {
        self.check_open(&file.path)?;
        let open = match self.open.remove(&file.id) {
            Some(open) => open,
            None => self.create(file.path.clone())?,
        };
        open.finish(file.permissions, file.mtime_ns, &file.xattrs)
    }

    /// Makes the hard links and hands the directories over; the stream is complete.
    pub(super) fn finish(&mut self) -> Result<(), WriteError> {
        for HardLink { path, target } in mem::take(&mut self.links) {
            self.check_open(&path)?;
            self.hard_link(&path, &target)
                .map_err(|error| WriteError::new("create the hard link", &path, error))?;
        }
        self.sink.stream_complete(mem::take(&mut self.directories));
        Ok(())
    }

    fn check_open(&self, path: &[u8]) -> Result<(), WriteError> {
        if self.sink.is_closed() {
            let stopped = io::Error::other("the output was given up");
            return Err(WriteError::new("write", path, stopped));
        }
        Ok(())
    }

    fn create(&mut self, path: Box<[u8]>) -> Result<OpenFile, WriteError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let created = self.in_parent(&path, |parent, name| openat(parent, name, flags, mode));
        match created {
            Ok(file) => Ok(OpenFile::new(file.into(), path)),
            Err(error) => Err(WriteError::new("create", &path, error)),
        }
    }

    fn directory(&mut self, entry: &Entry) -> Result<(), WriteError> {
        let path = &entry.path[..];
        self.in_parent(path, |parent, name| {
            match mkdirat(parent, name, Mode::RWXU) {
                // Another stream into the same tree may have made it.
                Err(Errno::EXIST) => {
                    let flags =
                        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    openat(parent, name, flags, Mode::empty()).map(drop)
                }
                made => made,
            }
        })
        .map_err(|error| WriteError::new("create the directory", path, error))?;
        self.directories.push(Directory {
            path: path.into(),
            permissions: entry.permissions(),
            mtime_ns: entry.mtime_ns,
            xattrs: entry.keep_xattrs(),
        });
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry) -> Result<(), WriteError> {
        let times = timestamps(entry.mtime_ns);
        self.in_parent(&entry.path, |parent, name| {
            symlinkat(&entry.linkname[..], parent, name)?;
            utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        })
        .map_err(|error| WriteError::new("create the symbolic link", &entry.path, error))
    }

    fn node(&mut self, entry: &Entry, kind: FileType) -> Result<(), WriteError> {
        let times = timestamps(entry.mtime_ns);
        let mode = Mode::from_raw_mode(entry.permissions());
        let device = device(entry);
        let made = self.in_parent(&entry.path, |parent, name| {
            mknodat(parent, name, kind, mode, device)?;
            // Once more: making it was subject to the umask.
            chmodat(parent, name, mode, AtFlags::empty())?;
            utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        });
        match made {
            Err(Errno::PERM) => {
                let path = shown(&entry.path);
                self.sink
                    .warn(format!("left out {path}: only root can create devices"));
                Ok(())
            }
            made => made.map_err(|error| WriteError::new("create the device", &entry.path, error)),
        }
    }

    fn hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Errno> {
        let above = open_directory(self.sink.root(), parent(target))?;
        self.in_parent(path, |parent, name| {
            linkat(&above, name_of(target), parent, name, AtFlags::empty())
        })
    }

    /// Calls with the directory that `path` lies in, and its last name.
    fn in_parent<T>(
        &mut self,
        path: &[u8],
        call: impl FnOnce(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let above = parent(path);
        let cached = self.parent.take().filter(|(known, _)| **known == *above);
        let (known, fd) = match cached {
            Some(cached) => cached,
            None => (above.into(), open_directory(self.sink.root(), above)?),
        };
        let called = call(fd.as_fd(), name_of(path));
        self.parent = Some((known, fd));
        called
    }
}

fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    open_beneath(root, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
}

fn name_of(path: &[u8]) -> &[u8] {
    match parent(path) {
        b"" => path,
        parent => &path[parent.len() + 1..],
    }
}

fn device(entry: &Entry) -> Dev {
    // The listing has refused numbers that don't fit.
    let number = |number: i64| u32::try_from(number).unwrap_or_default();
    makedev(number(entry.devmajor), number(entry.devminor))
}
