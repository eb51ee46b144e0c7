//! Buffers that are used again: [`Buffers`].
//!
//! What is given back to the system comes from it page by page, each cleared first: for one large
//! file that was a sixth of the client's time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes in a new buffer: what is read in one go, with the heads of its messages.
const SIZE: usize = (512 << 10) + (16 << 10);
/// Buffers that are kept at most: those that wait, one that is read to, and what HTTP/2 still has.
const KEPT: usize = 6;

/// The buffers of one transfer.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

/// A buffer and what it is filled with; it goes back when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    /// All of it has a value, so that reads need not clear it first.
    bytes: Vec<u8>,
    filled: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// Takes an empty one.
    pub(super) fn take(self: &Arc<Self>) -> Buffer {
        let kept = self.free().pop();
        Buffer {
            // Of a new one the system clears what is written to, when it is.
            bytes: kept.unwrap_or_else(|| vec![0; SIZE]),
            filled: 0,
            home: Arc::clone(self),
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// Fills the next so many bytes, whose values are old ones until they are written.
    pub(super) fn extend(&mut self, length: usize) -> &mut [u8] {
        let end = self.filled + length;
        if end > self.bytes.len() {
            self.bytes.resize(end.max(self.bytes.len() * 2), 0);
        }
        let start = std::mem::replace(&mut self.filled, end);
        &mut self.bytes[start..end]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.home.free();
        // One that a list of long paths made larger is not worth its memory.
        if free.len() < KEPT && self.bytes.len() == SIZE {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_was_dropped_is_taken_again_and_empty() {
        let buffers = Arc::default();
        let mut first = Buffers::take(&buffers);
        first.extend(3).copy_from_slice(b"abc");
        assert_eq!(first.as_ref(), b"abc");
        let place = first.as_ref().as_ptr();
        drop(first);
        let mut second = Buffers::take(&buffers);
        assert!(second.as_ref().is_empty());
        second.extend(1)[0] = b'x';
        assert_eq!(
            (second.as_ref(), second.as_ref().as_ptr()),
            (&b"x"[..], place)
        );
    }

    #[test]
    fn one_that_grew_keeps_its_bytes_and_is_not_kept() {
        let buffers = Arc::default();
        let mut buffer = Buffers::take(&buffers);
        buffer.extend(2).copy_from_slice(b"ab");
        buffer.extend(SIZE).fill(b'y');
        assert_eq!(buffer.as_ref().len(), SIZE + 2);
        assert_eq!(&buffer.as_ref()[..3], b"aby");
        drop(buffer);
        assert!(buffers.free.lock().unwrap().is_empty());
    }

    #[test]
    fn only_some_are_kept() {
        let buffers = Arc::default();
        let taken: Vec<Buffer> = (0..KEPT * 2).map(|_| Buffers::take(&buffers)).collect();
        drop(taken);
        assert_eq!(buffers.free.lock().unwrap().len(), KEPT);
    }
}
