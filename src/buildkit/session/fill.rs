//! Reads as much of a file as there is room for: [`fill`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Reads at `offset` until `bytes` is full or the file ends; tells how much was read, also where
/// the system then fails. Blocks.
pub(super) fn fill(file: &File, bytes: &mut [u8], offset: u64) -> (usize, io::Result<()>) {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Err(error)),
        }
    }
    (filled, Ok(()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(offset: u64, room: usize, expect: &[u8]) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abcdef").unwrap();
        let mut bytes = vec![0; room];
        let (filled, end) = fill(&file, &mut bytes, offset);
        end.unwrap();
        assert_eq!(&bytes[..filled], expect);
    }

    #[test]
    fn what_there_is_and_no_more_is_read() {
        check(0, 4, b"abcd");
        check(4, 4, b"ef");
        check(6, 4, b"");
        check(2, 0, b"");
    }

    #[test]
    fn a_failure_is_told() {
        let directory = File::open("/").unwrap();
        let (filled, end) = fill(&directory, &mut [0; 4], 0);
        assert_eq!(
            (filled, end.unwrap_err().kind()),
            (0, io::ErrorKind::IsADirectory)
        );
    }
}
