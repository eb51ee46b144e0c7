//! Sends a part of a blob, in pieces that are read as they are asked for.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use mbuild_proto::content::ReadContentResponse;
use tonic::Status;

use super::wire;
use crate::digest::Digest;

/// Bytes in one message. Daemons before 0.14 accept 4 MiB at most.
const CHUNK: u64 = 1 << 20;

/// The part of a blob that was asked for: to its end if `size` is none, or too large.
pub(super) fn range(offset: i64, size: i64, blob: u64) -> Result<Range<u64>, Status> {
    let start = u64::try_from(offset).ok().filter(|start| *start <= blob);
    let start = start.ok_or_else(|| {
        Status::out_of_range(format!("byte {offset} of a blob that has {blob} bytes"))
    })?;
    let length = match u64::try_from(size) {
        Ok(size) if size > 0 => size.min(blob - start),
        _ => blob - start,
    };
    Ok(start..start + length)
}

/// Reads the part of a file. A daemon that has enough drops the stream.
pub(super) fn chunks(
    digest: Digest,
    file: File,
    range: Range<u64>,
) -> impl Stream<Item = Result<ReadContentResponse, Status>> {
    let file = Arc::new(file);
    stream::try_unfold(range, move |left| {
        let file = Arc::clone(&file);
        async move {
            if left.is_empty() {
                return Ok(None);
            }
            let end = left.end.min(left.start + CHUNK);
            let piece = left.start..end;
            let read = tokio::task::spawn_blocking(move || read(&file, piece)).await;
            // A file that has become shorter, too: a short stream would pass for the whole.
            let data = read.map_err(io::Error::other).flatten().map_err(|error| {
                Status::data_loss(format!(
                    "blob {digest} cannot be read at byte {}: {error}",
                    left.start
                ))
            })?;
            let message = ReadContentResponse {
                offset: wire(left.start),
                data,
            };
            Ok(Some((message, end..left.end)))
        }
    })
}

fn read(file: &File, piece: Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(piece.end - piece.start).map_err(io::Error::other)?;
    let mut data = vec![0; length];
    file.read_exact_at(&mut data, piece.start)?;
    Ok(data.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use futures_util::TryStreamExt;

    use super::*;

    #[test]
    fn a_part_ends_with_the_blob_at_the_latest() {
        let check = |offset, size, expect| assert_eq!(range(offset, size, 10).ok(), expect);
        check(0, 0, Some(0..10));
        check(0, -1, Some(0..10));
        check(4, 0, Some(4..10));
        check(4, 3, Some(4..7));
        check(4, 99, Some(4..10));
        check(10, 1, Some(10..10));
        check(11, 0, None);
        check(-1, 0, None);
    }

    fn file(length: u64) -> (File, Vec<u8>) {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..length).map(|at| (at ^ (at >> 8)) as u8).collect();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    #[tokio::test]
    async fn a_part_is_sent_in_large_pieces() {
        let (file, bytes) = file(2 * CHUNK + 5);
        let digest = Digest::of(&bytes);
        let range = 1..2 * CHUNK + 4;
        let sent: Vec<_> = chunks(digest, file, range).try_collect().await.unwrap();
        let places: Vec<_> = sent.iter().map(|piece| piece.offset as u64).collect();
        assert_eq!(places, [1, CHUNK + 1, 2 * CHUNK + 1]);
        let sent: Vec<u8> = sent.into_iter().flat_map(|piece| piece.data).collect();
        assert!(sent == bytes[1..bytes.len() - 1]);
    }

    #[tokio::test]
    async fn a_blob_that_became_shorter_is_an_error() {
        let (file, bytes) = file(10);
        let sending = chunks(Digest::of(&bytes), file, 0..11);
        let status = sending.try_collect::<Vec<_>>().await.unwrap_err();
        assert!(status.message().contains("cannot be read at byte 0"));
    }
}
