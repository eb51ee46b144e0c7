//! [`append`]: writes pieces that came one by one with one call of the system.
//!
//! The pieces stay where the network put them.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write};

/// Appends all pieces to a file, in order; nothing for none. Blocks.
///
/// # Errors
///
/// Fails when the disk does; some pieces may be written then.
pub(super) fn append(mut file: &File, pieces: &[impl AsRef<[u8]>]) -> io::Result<()> {
    let slices = pieces.iter().map(|piece| IoSlice::new(piece.as_ref()));
    // An empty one at the front would make a write of nothing look like a full disk.
    let mut slices: Vec<IoSlice<'_>> = slices.filter(|slice| !slice.is_empty()).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        // It takes no more of them than the system does in one call.
        match file.write_vectored(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::os::fd::OwnedFd;
    use std::thread;

    use super::*;

    fn check(pieces: &[&[u8]]) {
        let mut file = tempfile::tempfile().unwrap();
        append(&file, pieces).unwrap();
        append(&file, pieces).unwrap();
        file.rewind().unwrap();
        let mut written = Vec::new();
        file.read_to_end(&mut written).unwrap();
        assert!(written == [pieces.concat(), pieces.concat()].concat());
    }

    #[test]
    fn pieces_follow_one_another() {
        check(&[]);
        check(&[b""]);
        check(&[b"", b"", b"ab", b"", b"c"]);
        check(&[&b"x"[..]; 3000]);
    }

    #[test]
    fn what_one_call_does_not_take_goes_into_the_next() {
        let (mut reader, writer) = io::pipe().unwrap();
        let sent = thread::spawn(move || {
            let piece = [7; 100_000];
            append(&File::from(OwnedFd::from(writer)), &[piece; 5])
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        sent.join().unwrap().unwrap();
        assert!(received == [7; 500_000]);
    }

    #[test]
    fn a_full_disk_is_told() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = append(&full, &[b"a", b"b"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}
