//! The tree itself: directories read on first need, kept, and shared by all views.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use tempfile::TempDir;

use super::beneath::open_beneath;
use super::error::TreeError;
use super::listing::{Contents, Handle, Listing};
use super::read::read_directory;
use super::selection::Filter;
use super::staged::stage;
use super::view::View;

/// Tells which names are passed over.
pub type Hidden = fn(&[u8]) -> bool;

/// The directory that a walk opened last.
///
/// What it contains is opened from there: by whole paths a deep tree would take time
/// proportional to the square of its depth.
pub(super) type Nearest = Option<(Handle, OwnedFd)>;

/// A directory whose entries are remembered as they were when first read.
///
/// Safe to share: several threads may list it at once, and no directory is read twice.
#[derive(Debug)]
pub struct ContextTree {
    path: PathBuf,
    /// The same without symlinks, and absolute.
    location: PathBuf,
    root: OwnedFd,
    top: OnceLock<Contents>,
    /// In order of their first handles, hence parents before children. Listings refer to
    /// each other by number, so that a deep tree is dropped without recursion.
    listings: RwLock<Vec<Arc<Listing>>>,
    /// Whether a name is passed over wherever it stands.
    hidden: Hidden,
    /// Whether reading may not leave access times alone.
    marked: AtomicBool,
    dockerfile: OfDockerfile,
}

/// What a tree has to do with a Dockerfile.
#[derive(Debug, Default)]
enum OfDockerfile {
    #[default]
    Nothing,
    /// It has one, for a context whose root is this.
    Holds(PathBuf),
    /// It is a copy of what a daemon asked for; the directory goes with it.
    Copy { _dir: TempDir },
}

impl ContextTree {
    /// Opens the tree below `path`, which may be a symlink to a directory. Nothing is read yet.
    pub fn open(path: impl AsRef<Path>) -> Result<Arc<Self>, TreeError> {
        Self::open_without(path, |_| false)
    }

    /// Opens the tree as [`open`](Self::open) does; entries with a `hidden` name, and what is
    /// below them, are not there for any view. For what the program itself puts beside a
    /// context's files while it builds.
    pub fn open_without(path: impl AsRef<Path>, hidden: Hidden) -> Result<Arc<Self>, TreeError> {
        Self::open_as(path, hidden, OfDockerfile::Nothing)
    }

    /// Opens the tree that has the Dockerfile for a context in the directory `context`. A
    /// daemon that asks for the Dockerfile and the ignore file of its own gets the context's
    /// as that, if there is no other.
    pub fn open_for_dockerfile(
        path: impl AsRef<Path>,
        hidden: Hidden,
        context: impl Into<PathBuf>,
    ) -> Result<Arc<Self>, TreeError> {
        Self::open_as(path, hidden, OfDockerfile::Holds(context.into()))
    }

    fn open_as(
        path: impl AsRef<Path>,
        hidden: Hidden,
        dockerfile: OfDockerfile,
    ) -> Result<Arc<Self>, TreeError> {
        let path = path.as_ref().to_path_buf();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = match openat(CWD, &path, flags, Mode::empty()) {
            Ok(root) => root,
            Err(Errno::NOTDIR) if path.exists() => return Err(TreeError::NotADirectory { path }),
            Err(errno) => {
                return Err(TreeError::Root {
                    path,
                    source: errno.into(),
                });
            }
        };
        let (top, listings) = (OnceLock::new(), RwLock::new(Vec::new()));
        let location = path.canonicalize().unwrap_or_else(|_| path.clone());
        Ok(Arc::new(Self {
            path,
            location,
            root,
            top,
            listings,
            hidden,
            marked: AtomicBool::new(false),
            dockerfile,
        }))
    }

    /// The root as it was given.
    pub fn root(&self) -> &Path {
        &self.path
    }

    /// Starts listing what a filter lets through.
    ///
    /// Followed paths are resolved at once; all else is read as the view is iterated.
    pub fn view(self: &Arc<Self>, filter: &Filter) -> Result<View, TreeError> {
        if let OfDockerfile::Holds(context) = &self.dockerfile
            && let Some(dir) = stage(self.root.as_fd(), filter, context)
        {
            let path = dir.path().to_owned();
            let copy = Self::open_as(path, self.hidden, OfDockerfile::Copy { _dir: dir })?;
            return View::new(copy, filter);
        }
        View::new(Arc::clone(self), filter)
    }

    /// Opens a regular file for reading, never through a symlink.
    ///
    /// The file may have changed since it was listed: the reader has to compare its length
    /// with the size that was sent.
    pub fn open_file(&self, handle: Handle) -> io::Result<File> {
        // A pipe that took the file's place must not block the sender.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.open_unmarked(&self.path_of(handle), flags)?;
        let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
        if kind != FileType::RegularFile {
            return Err(io::Error::other("it is no longer a regular file"));
        }
        Ok(file.into())
    }

    /// Opens a file so that reading it does not change its access time, where that is allowed.
    ///
    /// The first read after a change writes that time even under `relatime`, once for each file of
    /// a fresh checkout, and waits for the disk while the daemon's own writes fill its journal.
    fn open_unmarked(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        if !self.marked.load(Ordering::Relaxed) {
            match open_beneath(self.root.as_fd(), path, flags | OFlags::NOATIME) {
                // Only a file's owner may ask for it, and one stranger's file has many neighbours.
                Err(Errno::PERM) => self.marked.store(true, Ordering::Relaxed),
                opened => return opened,
            }
        }
        open_beneath(self.root.as_fd(), path, flags)
    }

    /// Returns an entry's path below the root.
    pub fn path_of(&self, handle: Handle) -> Vec<u8> {
        let mut names = Vec::new();
        let mut next = Some(handle);
        while let Some(handle) = next {
            let listing = self.listing_with(handle);
            names.push(listing.name(listing.index(handle)).to_vec());
            next = listing.parent();
        }
        names.reverse();
        names.join(&b'/')
    }

    /// Returns the root's entries.
    pub(super) fn top(&self) -> Result<Arc<Listing>, TreeError> {
        let contents = *self.top.get_or_init(|| {
            let opened = open_beneath(self.root.as_fd(), b"", directory_flags());
            opened.map_or_else(without_listing, |directory| {
                self.read(&directory, None, b"")
            })
        });
        let listing = self
            .resolve(contents)
            .and_then(|found| found.ok_or(Errno::NOENT));
        listing.map_err(|errno| self.unreadable(b"", errno))
    }

    /// Returns the entries of a directory in a listing, `None` if it is none or has vanished.
    ///
    /// `path` is the directory's own. If it has to be read, it stays open as `nearest`.
    pub(super) fn descend(
        &self,
        listing: &Listing,
        index: usize,
        path: &[u8],
        nearest: &mut Nearest,
    ) -> Result<Option<Arc<Listing>>, Errno> {
        let Some(subdir) = listing.subdir(index) else {
            return Ok(None);
        };
        let contents = *subdir.get_or_init(|| {
            let opened = match nearest {
                Some((owner, above)) if Some(*owner) == listing.parent() => {
                    open_beneath(above.as_fd(), listing.name(index), directory_flags())
                }
                _ => open_beneath(self.root.as_fd(), path, directory_flags()),
            };
            opened.map_or_else(without_listing, |directory| {
                let owner = listing.handle(index);
                let contents = self.read(&directory, Some(owner), path);
                *nearest = Some((owner, directory));
                contents
            })
        });
        self.resolve(contents)
    }

    /// The error of an entry that should have been sent.
    pub(super) fn unreadable(&self, path: &[u8], errno: Errno) -> TreeError {
        let path = match path {
            b"" => self.path.clone(),
            _ => self.path.join(OsStr::from_bytes(path)),
        };
        TreeError::Unreadable {
            path,
            source: errno.into(),
        }
    }

    fn resolve(&self, contents: Contents) -> Result<Option<Arc<Listing>>, Errno> {
        match contents {
            Contents::Failed(errno) => Err(errno),
            Contents::Vanished => Ok(None),
            Contents::Listed(number) => {
                let listings = self.listings.read().unwrap_or_else(PoisonError::into_inner);
                Ok(listings.get(number).cloned())
            }
        }
    }

    fn read(&self, directory: &OwnedFd, owner: Option<Handle>, path: &[u8]) -> Contents {
        match read_directory(directory, &self.location, path, self.hidden) {
            Ok(listing) => self.keep(listing, owner),
            Err(errno) => without_listing(errno),
        }
    }

    fn keep(&self, mut listing: Listing, parent: Option<Handle>) -> Contents {
        let mut listings = self
            .listings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let base = listings
            .last()
            .map_or(0, |last| last.base() as usize + last.len());
        let number = listings.len();
        match u32::try_from(base) {
            Ok(base)
                if u32::try_from(listing.len())
                    .is_ok_and(|len| base.checked_add(len).is_some()) =>
            {
                listing.settle(base, parent);
            }
            _ => return Contents::Failed(Errno::OVERFLOW),
        }
        listings.push(Arc::new(listing));
        Contents::Listed(number)
    }

    fn listing_with(&self, handle: Handle) -> Arc<Listing> {
        let listings = self.listings.read().unwrap_or_else(PoisonError::into_inner);
        let after = listings.partition_point(|listing| listing.base() <= handle.0);
        // A handle exists only once its listing does.
        Arc::clone(&listings[after - 1])
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY
}

/// What to remember of a directory that could not be listed.
fn without_listing(errno: Errno) -> Contents {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP => Contents::Vanished,
        errno => Contents::Failed(errno),
    }
}
