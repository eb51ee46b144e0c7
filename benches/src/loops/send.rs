//! Encodes what a transfer sends: a STAT packet for each file, then contents in DATA packets.
//!
//! Messages and framing are those of the session's server, without its network.

use bytes::{BufMut, Bytes, BytesMut};
use mbuild_proto::fsutil::packet::PacketType;
use mbuild_proto::fsutil::{Packet, Stat};
use prost::Message;

use super::project::{Item, project};
use super::{Failure, Work};

/// Bytes before each message of gRPC: a flag and a length.
const FRAME: usize = 5;
/// Bytes that are collected before they are written.
const WRITE: usize = 32 << 10;
/// Bytes of the one large file, and of each of its packets.
const LARGE: usize = 4 << 20;
const CHUNK: usize = 256 << 10;
/// The time of every file, in nanoseconds since 1970.
const TIME: i64 = 1_790_000_000_123_456_789;

/// Encodes the list, each small file in one packet, and a large one in several.
pub(super) fn prepare() -> Result<Work, Failure> {
    let items = project();
    let contents = Bytes::from(vec![b'x'; LARGE]);
    Ok(Box::new(move || {
        let mut out = BytesMut::with_capacity(2 * WRITE);
        let mut bytes = 0;
        for item in &items {
            bytes += encode(&mut out, &stat(item))?;
        }
        for (id, item) in (0..).zip(&items) {
            if item.size > 0 {
                let size = usize::try_from(item.size)?;
                bytes += encode(&mut out, &data(id, contents.slice(..size)))?;
            }
            bytes += encode(&mut out, &data(id, Bytes::new()))?;
        }
        for start in (0..LARGE).step_by(CHUNK) {
            bytes += encode(&mut out, &data(0, contents.slice(start..start + CHUNK)))?;
        }
        Ok(bytes)
    }))
}

/// Appends a message behind its frame, and passes on what has been collected.
fn encode(out: &mut BytesMut, packet: &Packet) -> Result<usize, Failure> {
    let length = packet.encoded_len();
    out.reserve(FRAME + length);
    out.put_u8(0);
    out.put_u32(u32::try_from(length)?);
    packet.encode(out)?;
    if out.len() >= WRITE {
        drop(out.split().freeze());
    }
    Ok(FRAME + length)
}

/// The packet that lists a file or a directory.
pub(super) fn stat(item: &Item) -> Packet {
    let mode = if item.directory { 0x8000_01ed } else { 0o644 };
    let stat = Stat {
        path: item.path.as_bytes().to_vec().into(),
        mode,
        size: item.size.cast_signed(),
        mod_time: TIME,
        ..Stat::default()
    };
    Packet {
        r#type: PacketType::Stat.into(),
        stat: Some(stat),
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
