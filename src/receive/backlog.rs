//! [`Backlog`]: what is still to be done on the disk, and when it is enough.
//!
//! A daemon may be faster than the disk. Its listing is read on all the same: what waits in
//! HTTP/2's buffers takes four times the memory. Contents come only where they were asked for.

use std::collections::VecDeque;

use super::receiver::Job;

/// Bytes after which no more files are asked for: as much as a disk writes while a daemon that
/// is 50 ms away answers.
const ENOUGH: usize = 2 << 20;
/// Bytes after which nothing is read any more: files may be large, and those that were asked
/// for already come.
const FULL: usize = 4 << 20;
/// What a piece of work takes beside the bytes that came.
const JOB: usize = 128;

/// Work that waits, first in, first out.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    jobs: VecDeque<Job>,
    bytes: usize,
}

impl Backlog {
    pub(super) fn push(&mut self, job: Job) {
        self.bytes += size(&job);
        self.jobs.push_back(job);
    }

    /// Takes the next piece of work, and says how many bytes it takes.
    pub(super) fn pop(&mut self) -> Option<(Job, usize)> {
        let job = self.jobs.pop_front()?;
        let size = size(&job);
        self.bytes -= size;
        Some((job, size))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether more files may be asked for.
    pub(super) fn may_ask(&self) -> bool {
        self.bytes < ENOUGH
    }

    /// Whether more may be read.
    pub(super) fn may_read(&self) -> bool {
        self.bytes < FULL
    }
}

fn size(job: &Job) -> usize {
    JOB + match job {
        Job::Write(_, _, bytes) => bytes.len(),
        Job::Make(entry, _) => entry.path.len() + entry.linkname.len(),
        Job::Close(file) => file.path.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_nothing_more_is_asked_for_and_then_nothing_more_is_read() {
        let mut backlog = Backlog::default();
        let write = |bytes: usize| Job::Write(7, None, vec![0; bytes].into());
        let state = |backlog: &Backlog| (backlog.may_ask(), backlog.may_read());
        backlog.push(write(ENOUGH - JOB - 1));
        assert_eq!(state(&backlog), (true, true));
        // What is empty counts as well.
        backlog.push(write(0));
        assert_eq!(state(&backlog), (false, true));
        backlog.push(write(FULL - ENOUGH));
        assert_eq!(state(&backlog), (false, false));
        for expect in [(false, true), (false, true), (true, true)] {
            backlog.pop().unwrap();
            assert_eq!(state(&backlog), expect);
        }
        assert!(backlog.is_empty() && backlog.bytes == 0);
    }
}
