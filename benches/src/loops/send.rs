//! Encodes what a transfer sends: a STAT packet for each file, then contents in DATA packets.
//!
//! Contents are copied from memory here, where a transfer has the system copy them.

use bytes::Bytes;
use mbuild_hot::session::Encoder;
use mbuild_proto::fsutil::packet::PacketType;
use mbuild_proto::fsutil::{Packet, Stat};

use super::project::{Item, project};
use super::{Failure, Work};

/// Entries and files whose messages go into one buffer.
const BATCH: usize = 64;
/// Bytes of the one large file, and of each of its packets.
const LARGE: usize = 4 << 20;
const CHUNK: usize = 256 << 10;
/// The time of every file, in nanoseconds since 1970.
const TIME: i64 = 1_790_000_000_123_456_789;

/// Encodes the list, each small file in one packet, and a large one in several; returns the bytes.
pub(super) fn prepare() -> Result<Work, Failure> {
    let items = project();
    let contents = vec![b'x'; LARGE];
    Ok(Box::new(move || {
        let mut out = Encoder::default();
        let mut bytes = 0;
        for batch in items.chunks(BATCH) {
            batch.iter().for_each(|item| out.list(described(item)));
            bytes += out.take().len();
        }
        let files: Vec<(u32, &Item)> = (0..).zip(&items).collect();
        for batch in files.chunks(BATCH) {
            for (id, item) in batch {
                if item.size > 0 {
                    out.contents(*id, &contents[..usize::try_from(item.size)?]);
                }
                out.end(*id);
            }
            bytes += out.take().len();
        }
        for chunk in contents.chunks(CHUNK) {
            out.contents(0, chunk);
            bytes += out.take().len();
        }
        Ok(bytes)
    }))
}

/// What is sent of a file or a directory.
fn described(item: &Item) -> Stat {
    let mode = if item.directory { 0x8000_01ed } else { 0o644 };
    Stat {
        path: item.path.as_bytes().to_vec().into(),
        mode,
        size: item.size.cast_signed(),
        mod_time: TIME,
        ..Stat::default()
    }
}

/// The packet that lists a file or a directory.
pub(super) fn stat(item: &Item) -> Packet {
    Packet {
        r#type: PacketType::Stat.into(),
        stat: Some(described(item)),
        ..Packet::default()
    }
}

/// The packet that carries bytes of a file, or ends it.
pub(super) fn data(id: u32, data: Bytes) -> Packet {
    Packet {
        r#type: PacketType::Data.into(),
        id,
        data,
        ..Packet::default()
    }
}
