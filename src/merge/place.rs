//! [`Mover`]: renames staged entries into the destination, and keeps what they replace.
//!
//! What was there goes into the stage, not away, so that a failure can put back what nothing
//! has replaced. Links in the destination are replaced, never followed.

use std::io;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{FileType, Mode, OFlags, mkdirat, renameat};
use rustix::io::Errno;

use super::entries::{file_type, make_writable, names, open_directory, remove};
use super::error::{MergeError, Moved};
use super::stage::{Stage, is_stage_name};
use crate::receive::{open_beneath, shown};

/// The directory in the stage for what was in the way.
const REPLACED: &str = "replaced";

/// Moves trees into a stage's destination.
pub(super) struct Mover<'a> {
    stage: &'a Stage,
    /// What is in place.
    pub(super) moved: Moved,
    /// Where things were that are in the stage now, in the order of their names there.
    replaced: Vec<Vec<u8>>,
}

/// A failed call, and the path it was about.
pub(super) struct Failure {
    path: Vec<u8>,
    error: Errno,
}

impl<'a> Mover<'a> {
    pub(super) fn new(stage: &'a Stage) -> Self {
        Self {
            stage,
            moved: Moved::default(),
            replaced: Vec::new(),
        }
    }

    /// Puts what was set aside back, where nothing new is, and says what happened.
    pub(super) fn undo(self, failure: Failure) -> MergeError {
        for (number, path) in self.replaced.iter().enumerate().rev() {
            // Best effort: the failure that is reported has most likely the same cause.
            let _ = self.put_back(&number.to_string(), path);
        }
        MergeError::Move {
            path: shown(&failure.path),
            dest: self.stage.dest().to_owned(),
            moved: self.moved,
            source: io::Error::from(failure.error),
        }
    }

    /// Sets aside whatever the destination holds at a top-level name.
    pub(super) fn clear(&mut self, name: &[u8]) -> Result<(), Failure> {
        let at = |error| Failure {
            path: name.to_vec(),
            error,
        };
        match file_type(self.stage.dest_fd(), name).map_err(at)? {
            None => Ok(()),
            Some(_) => self.set_aside(self.stage.dest_fd(), name, name).map_err(at),
        }
    }

    /// Sets aside everything in the destination but stages, ours and others'.
    pub(super) fn clear_all(&mut self) -> Result<(), Failure> {
        let listed = names(self.stage.dest_fd());
        for name in listed.map_err(|error| Failure {
            path: b".".to_vec(),
            error,
        })? {
            if !is_stage_name(&name) {
                self.clear(&name)?;
            }
        }
        Ok(())
    }

    /// Moves all entries of a staged directory into the destination.
    pub(super) fn tree(&mut self, tree: BorrowedFd<'_>) -> Result<(), Failure> {
        let mut path = Vec::new();
        self.directory(tree, self.stage.dest_fd(), &mut path)
            .map_err(|error| Failure { path, error })
    }

    /// On failure, `path` is what failed.
    fn directory(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        path: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let above = path.len();
        for name in names(from)? {
            if above > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.entry(from, to, &name, path)?;
            path.truncate(above);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &[u8],
        path: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let new = file_type(from, name)?;
        match (new, file_type(to, name)?) {
            (Some(FileType::Directory), Some(FileType::Directory)) => {
                let from = open_directory(from, name)?;
                let to = open_directory(to, name)?;
                make_writable(to.as_fd());
                return self.directory(from.as_fd(), to.as_fd(), path);
            }
            (Some(FileType::Directory), Some(_)) | (_, Some(FileType::Directory)) => {
                self.set_aside(to, name, path)?;
            }
            // Renaming replaces a file or link in one step.
            _ => {}
        }
        renameat(from, name, to, name)?;
        self.moved.add(|| shown(path));
        Ok(())
    }

    /// Moves an entry of the destination into the stage; where that is not possible, it goes.
    fn set_aside(&mut self, parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<(), Errno> {
        let aside = self.replaced_fd()?;
        let number = self.replaced.len().to_string();
        let mut renamed = renameat(parent, name, &aside, &number);
        if matches!(renamed, Err(Errno::ACCESS))
            && let Ok(directory) = open_directory(parent, name)
        {
            // Moving a directory changes its `..`, which needs the right to write in it.
            make_writable(directory.as_fd());
            renamed = renameat(parent, name, &aside, &number);
        }
        match renamed {
            // overlayfs cannot rename what comes from a lower layer.
            Err(Errno::XDEV) => remove(parent, name),
            Ok(()) => {
                self.replaced.push(path.to_vec());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn put_back(&self, number: &str, path: &[u8]) -> Result<(), Errno> {
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let (above, name) = slash.map_or((&b""[..], path), |at| (&path[..at], &path[at + 1..]));
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent = open_beneath(self.stage.dest_fd(), above, flags, Mode::empty())?;
        match file_type(parent.as_fd(), name)? {
            None => renameat(self.replaced_fd()?, number, parent, name),
            Some(_) => Ok(()),
        }
    }

    fn replaced_fd(&self) -> Result<rustix::fd::OwnedFd, Errno> {
        match mkdirat(self.stage.fd(), REPLACED, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => open_directory(self.stage.fd(), REPLACED.as_bytes()),
            Err(error) => Err(error),
        }
    }
}
