//! [`Waiting`]: the files of a listing that are not asked for yet, first in, first out.
//!
//! A sender is often faster with its listing than with contents, and a listing may consist of
//! hundreds of thousands of files. So they are packed: 32 bytes and the path for each.

use std::collections::VecDeque;

use super::entry::Xattrs;
use super::receiver::Incoming;

/// Files of which nothing was asked for, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    files: VecDeque<Packed>,
    /// The paths of all of them, one after the other.
    paths: VecDeque<u8>,
    /// The attributes of those few that have any, with the files' numbers.
    xattrs: VecDeque<(u32, Xattrs)>,
}

#[derive(Debug)]
struct Packed {
    id: u32,
    permissions: u32,
    size: u64,
    mtime_ns: i64,
    path: usize,
}

impl Waiting {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Adds a file of which nothing has come.
    pub(super) fn push(&mut self, file: Incoming) {
        self.paths.extend(&*file.path);
        self.files.push_back(Packed {
            id: file.id,
            permissions: file.permissions,
            size: file.size,
            mtime_ns: file.mtime_ns,
            path: file.path.len(),
        });
        if file.xattrs.is_some() {
            self.xattrs.push_back((file.id, file.xattrs));
        }
    }

    /// Takes the file that came first.
    pub(super) fn pop(&mut self) -> Option<Incoming> {
        let file = self.files.pop_front()?;
        let of_this = self.xattrs.pop_front_if(|(id, _)| *id == file.id);
        Some(Incoming {
            id: file.id,
            permissions: file.permissions,
            path: self.paths.drain(..file.path).collect(),
            size: file.size,
            received: 0,
            mtime_ns: file.mtime_ns,
            xattrs: of_this.and_then(|(_, xattrs)| xattrs),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn file(id: u32, path: &str) -> Incoming {
        let xattrs = [("user.id".to_owned(), Bytes::from(id.to_string()))];
        Incoming {
            id,
            permissions: 0o4755,
            path: path.as_bytes().into(),
            size: u64::MAX - u64::from(id),
            received: 0,
            mtime_ns: -i64::from(id),
            xattrs: id.is_multiple_of(3).then(|| Box::new(xattrs.into())),
        }
    }

    #[test]
    fn files_come_out_as_they_went_in() {
        let mut waiting = Waiting::default();
        let path = |id: u32| format!("d{}/{id}", "x".repeat(id as usize % 50));
        let (mut next, mut count) = (0, 0);
        // More and more go in than come out, so that the queues wrap and grow.
        for round in 1..60 {
            for _ in 0..round {
                waiting.push(file(count, &path(count)));
                count += 1;
            }
            for _ in 0..round / 2 {
                let out = format!("{:?}", waiting.pop().unwrap());
                assert_eq!(out, format!("{:?}", file(next, &path(next))));
                next += 1;
            }
            assert_eq!(waiting.len(), (count - next) as usize);
        }
        while let Some(out) = waiting.pop() {
            assert_eq!(format!("{out:?}"), format!("{:?}", file(next, &path(next))));
            next += 1;
        }
        assert_eq!(next, count);
        assert!(waiting.paths.is_empty() && waiting.xattrs.is_empty());
    }

    #[test]
    fn a_file_that_waits_takes_little() {
        assert!(size_of::<Packed>() <= 32);
    }
}
