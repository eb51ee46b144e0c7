//! Finds what two trees have in common, and refuses what they disagree on.
//!
//! Only directories that both trees have are looked into, so trees that share nothing cost
//! nothing. Times and attributes are not compared: two builds of one file differ in them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::entries::{names, open_directory};
use super::error::{Difference, MergeError};
use crate::receive::{Directory, TreeSink, shown};

/// Bytes compared at a time.
const CHUNK: usize = 128 << 10;

/// One of the trees to compare.
pub(super) struct Side<'a> {
    /// The platform's name.
    label: &'a str,
    tree: &'a TreeSink,
    /// Modes of directories; in the stage they all have the same one.
    modes: HashMap<&'a [u8], u32>,
}

impl<'a> Side<'a> {
    pub(super) fn new(label: &'a str, tree: &'a TreeSink, directories: &'a [Directory]) -> Self {
        let modes = directories
            .iter()
            .map(|directory| (&*directory.path, directory.permissions))
            .collect();
        Self { label, tree, modes }
    }
}

/// Returns the paths that are in both trees and the same, directories apart.
///
/// # Errors
///
/// Fails with the first path, by name, where they differ in type, mode, bytes or link target.
pub(super) fn common(first: &Side<'_>, second: &Side<'_>) -> Result<Vec<Vec<u8>>, MergeError> {
    let mut search = Search {
        first,
        second,
        path: Vec::new(),
        common: Vec::new(),
    };
    search.directory(first.tree.root(), second.tree.root())?;
    Ok(search.common)
}

struct Search<'a> {
    first: &'a Side<'a>,
    second: &'a Side<'a>,
    path: Vec<u8>,
    common: Vec<Vec<u8>>,
}

impl Search<'_> {
    fn directory(&mut self, a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> Result<(), MergeError> {
        let above = self.path.len();
        for name in names(b).map_err(|error| self.failed(error))? {
            if above > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            self.entry(a, b, &name)?;
            self.path.truncate(above);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        a: BorrowedFd<'_>,
        b: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(), MergeError> {
        let in_first = match statat(a, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => found.map_err(|error| self.failed(error))?,
        };
        let in_second =
            statat(b, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| self.failed(error))?;
        let kinds = [&in_first, &in_second].map(|stat| FileType::from_raw_mode(stat.st_mode));
        if kinds == [FileType::Directory; 2] {
            let path = &self.path[..];
            if self.first.modes.get(path) != self.second.modes.get(path) {
                return Err(self.collision(Difference::Mode));
            }
            let a = open_directory(a, name).map_err(|error| self.failed(error))?;
            let b = open_directory(b, name).map_err(|error| self.failed(error))?;
            return self.directory(a.as_fd(), b.as_fd());
        }
        match difference((a, &in_first), (b, &in_second), name) {
            Ok(None) => {
                self.common.push(self.path.clone());
                Ok(())
            }
            Ok(Some(difference)) => Err(self.collision(difference)),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn collision(&self, difference: Difference) -> MergeError {
        MergeError::Collision {
            path: shown(&self.path),
            difference,
            first: self.first.label.to_owned(),
            second: self.second.label.to_owned(),
        }
    }

    fn failed(&self, error: impl Into<io::Error>) -> MergeError {
        MergeError::Compare {
            path: shown(&self.path),
            source: error.into(),
        }
    }
}

/// In what two entries of one name differ, that are not both directories.
fn difference(
    (a, in_a): (BorrowedFd<'_>, &Stat),
    (b, in_b): (BorrowedFd<'_>, &Stat),
    name: &[u8],
) -> io::Result<Option<Difference>> {
    let kind = FileType::from_raw_mode(in_a.st_mode);
    if kind != FileType::from_raw_mode(in_b.st_mode) {
        return Ok(Some(Difference::Type));
    }
    if in_a.st_mode != in_b.st_mode {
        return Ok(Some(Difference::Mode));
    }
    let differ = match kind {
        FileType::RegularFile => {
            let differ = in_a.st_size != in_b.st_size || !same_bytes(a, b, name)?;
            differ.then_some(Difference::Content)
        }
        FileType::Symlink => {
            let differ = readlinkat(a, name, Vec::new())? != readlinkat(b, name, Vec::new())?;
            differ.then_some(Difference::Target)
        }
        FileType::CharacterDevice | FileType::BlockDevice => {
            (in_a.st_rdev != in_b.st_rdev).then_some(Difference::Device)
        }
        _ => None,
    };
    Ok(differ)
}

fn same_bytes(a: BorrowedFd<'_>, b: BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
    let open = |directory| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(directory, name, flags, Mode::empty()).map(File::from)
    };
    let (mut a, mut b) = (open(a)?, open(b)?);
    let (mut of_a, mut of_b) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
    loop {
        of_a.clear();
        of_b.clear();
        (&mut a).take(CHUNK as u64).read_to_end(&mut of_a)?;
        (&mut b).take(CHUNK as u64).read_to_end(&mut of_b)?;
        if of_a != of_b {
            return Ok(false);
        }
        if of_a.is_empty() {
            return Ok(true);
        }
    }
}
