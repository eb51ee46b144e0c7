//! Reads extended attributes of directory entries.
//!
//! There is no call that takes a directory and a name, so entries are named by their whole
//! paths, and through /proc where these would be too long; that way is three times as slow.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;

/// The longest path of a directory that leaves room for a name below the system's 4096.
const LONGEST: usize = 4096 - 256;

/// The system's limits on a list of names and on a value.
const LARGEST: usize = 64 * 1024;

/// Reads attributes of the entries of one directory.
pub(super) struct XattrReader {
    /// The path of the entry at hand; the first part is the directory's.
    path: Vec<u8>,
    directory_len: usize,
}

impl XattrReader {
    /// Reads in `directory`, which is at `path` below `root`.
    pub(super) fn new(directory: BorrowedFd<'_>, root: &Path, path: &[u8]) -> Self {
        let mut prefix = [root.as_os_str().as_bytes(), path, b""].join(&b'/');
        if prefix.len() > LONGEST {
            prefix = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
        }
        let directory_len = prefix.len();
        Self {
            path: prefix,
            directory_len,
        }
    }

    /// Returns an entry's attributes; those that cannot be read are left out.
    pub(super) fn read(&mut self, name: &[u8]) -> Box<[(String, Vec<u8>)]> {
        self.path.truncate(self.directory_len);
        self.path.extend_from_slice(name);
        let names = fetch(|buffer| llistxattr(&self.path, buffer)).unwrap_or_default();
        let names = names
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty());
        // A name that is not text could not be put into a message.
        let names = names.filter_map(|name| std::str::from_utf8(name).ok());
        let sent = names.filter(|name| !name.starts_with("com.apple."));
        sent.filter_map(|name| Some((name.to_owned(), self.value(name)?)))
            .collect()
    }

    fn value(&self, name: &str) -> Option<Vec<u8>> {
        fetch(|buffer| lgetxattr(&self.path, name, buffer)).ok()
    }
}

/// Reads into a small buffer, and into the largest there can be if that is not enough.
fn fetch(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 1024];
    match call(&mut small) {
        Ok(len) => Ok(small[..len].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; LARGEST];
            let len = call(&mut large)?;
            large.truncate(len);
            Ok(large)
        }
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;
    use rustix::fs::{XattrFlags, lsetxattr};
    use std::fs;

    #[test]
    fn attributes_of_any_length_are_read() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("a");
        fs::write(&file, "").unwrap();
        let long = vec![b'x'; 2000];
        let values = [
            ("user.small", &b"1"[..]),
            ("user.long", &long),
            ("user.empty", b""),
        ];
        for (name, value) in values {
            if lsetxattr(&file, name, value, XattrFlags::empty()) == Err(Errno::NOTSUP) {
                return;
            }
        }
        let directory = fs::File::open(temp.path()).unwrap();
        for path in ["", &"./".repeat(2000)] {
            let mut reader = XattrReader::new(directory.as_fd(), temp.path(), path.as_bytes());
            let mut found = reader.read(b"a").to_vec();
            found.sort();
            let mut expected = values.map(|(name, value)| (name.to_owned(), value.to_vec()));
            expected.sort();
            assert_eq!(found, expected);
            assert!(reader.read(b"absent").is_empty());
        }
    }
}
