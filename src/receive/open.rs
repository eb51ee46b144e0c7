//! [`OpenFile`]: a file whose contents are arriving.
//!
//! What comes is held back for a while, since most files can be written with one call then.

use std::fs::File;
use std::mem;

use bytes::Bytes;
use rustix::fd::AsFd;

use super::append::append;
use super::attributes::set_attributes;
use super::entry::Xattrs;
use super::error::WriteError;

/// A new file that is being written.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    path: Box<[u8]>,
    held: Vec<Bytes>,
}

impl OpenFile {
    /// Writes into an empty file, which is named `path` in errors.
    pub(super) fn new(file: File, path: Box<[u8]>) -> Self {
        Self {
            file,
            path,
            held: Vec::new(),
        }
    }

    /// What it is called in errors.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Takes more of the contents. The caller sees to it that what is held has a limit.
    pub(super) fn hold(&mut self, bytes: Bytes) {
        self.held.push(bytes);
    }

    /// Writes what is held.
    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        let held = mem::take(&mut self.held);
        append(&self.file, &held).map_err(|error| WriteError::new("write", &self.path, error))
    }

    /// Writes what is held, and gives the file its attributes.
    pub(super) fn finish(
        mut self,
        permissions: u32,
        mtime_ns: i64,
        xattrs: &Xattrs,
    ) -> Result<(), WriteError> {
        self.flush()?;
        set_attributes(self.file.as_fd(), permissions, mtime_ns, xattrs)
            .map_err(|error| WriteError::new("set the mode and time of", &self.path, error))
    }
}
