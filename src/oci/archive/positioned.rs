//! [`Positioned`]: reads a part of a file by position, so that several may read one file at once.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// A part of a file, with a place in it of its own.
pub(super) struct Positioned<'a> {
    file: &'a File,
    start: u64,
    length: u64,
    at: u64,
}

impl<'a> Positioned<'a> {
    /// The whole file, which is `length` bytes long.
    pub(super) fn whole(file: &'a File, length: u64) -> Self {
        Self::part(file, 0, length)
    }

    /// `length` bytes from `start` on.
    pub(super) fn part(file: &'a File, start: u64, length: u64) -> Self {
        Self {
            file,
            start,
            length,
            at: 0,
        }
    }

    /// Whether all of it was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.length
    }
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.at);
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self
            .file
            .read_at(&mut buffer[..most], self.start + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Positioned<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
