//! Packets as they are on the wire: each one a gRPC message, many of them in one buffer.
//!
//! What sends a tree encodes by itself, on the threads that read its files: contents are read to
//! where they are sent from, and a list of files is one buffer instead of one for each entry.

use std::sync::Arc;

use bytes::BufMut;
use mbuild_proto::fsutil::Packet;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::buffers::{Buffer, Buffers};
use super::packet;

/// A gRPC message begins with one byte (0: not compressed) and its length in four.
const PREFIX: usize = 5;
/// The number of the field with a packet's contents, its last one.
const CONTENTS: u32 = 4;

/// Messages, ready to be sent.
#[derive(Debug)]
pub(super) struct Messages {
    /// One after the other.
    pub(super) bytes: Buffer,
    /// How many of the bytes are contents of files.
    pub(super) contents: u64,
}

impl Messages {
    /// None yet, in one of these buffers.
    pub(super) fn new(buffers: &Arc<Buffers>) -> Self {
        Self {
            bytes: buffers.take(),
            contents: 0,
        }
    }

    /// Adds a packet.
    pub(super) fn put(&mut self, packet: &Packet) {
        let length = packet.encoded_len();
        let mut room = self.bytes.extend(PREFIX + length);
        prefix(length, &mut room);
        packet.encode_raw(&mut room);
    }

    /// Adds a packet of contents: gives the place for them. What is there before is anything, so
    /// where it cannot be filled the messages must not be sent.
    pub(super) fn put_contents(&mut self, id: u32, length: usize) -> &mut [u8] {
        let rest = packet::data(id);
        let field = key_len(CONTENTS) + encoded_len_varint(length as u64);
        let head = PREFIX + rest.encoded_len() + field;
        self.contents += length as u64;
        let (mut head, contents) = self.bytes.extend(head + length).split_at_mut(head);
        prefix(rest.encoded_len() + field + length, &mut head);
        rest.encode_raw(&mut head);
        encode_key(CONTENTS, WireType::LengthDelimited, &mut head);
        encode_varint(length as u64, &mut head);
        contents
    }
}

fn prefix(length: usize, bytes: &mut impl BufMut) {
    bytes.put_u8(0);
    // No packet comes near four gigabytes: a path, or a piece of a file.
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// Reads messages back, for tests.
#[cfg(test)]
pub(super) fn read_back(mut bytes: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<PREFIX>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        packets.push(Packet::decode(&rest[..length]).unwrap());
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty());
    packets
}

#[cfg(test)]
mod tests {
    use mbuild_proto::fsutil::Stat;

    use super::*;

    #[test]
    fn messages_are_what_the_codec_would_send() {
        let stat = Stat {
            path: "some/file".into(),
            mode: 0o644,
            size: 300,
            ..Stat::default()
        };
        let (first, end) = (packet::stat(stat), packet::end_of_list());
        let mut messages = Messages::new(&Arc::default());
        messages.put(&first);
        messages.put(&end);
        for (id, length) in [(0, 1), (7, 127), (300, 128), (u32::MAX, 70_000)] {
            messages.put_contents(id, length).fill(b'x');
        }
        messages.put(&packet::data(7));
        let mut packets = read_back(messages.bytes.as_ref());
        assert_eq!(packets.len(), 7);
        assert_eq!(packets[..2], [first, end]);
        let contents = packets.split_off(2);
        let shapes: Vec<_> = contents.iter().map(|p| (p.id, p.data.len())).collect();
        assert_eq!(
            shapes,
            [(0, 1), (7, 127), (300, 128), (u32::MAX, 70_000), (7, 0)]
        );
        assert_eq!(messages.contents, 1 + 127 + 128 + 70_000);
        // The same bytes, not only the same meaning.
        let encoded: Vec<u8> = contents
            .iter()
            .flat_map(|packet| {
                let mut bytes = Vec::new();
                prefix(packet.encoded_len(), &mut bytes);
                packet.encode(&mut bytes).unwrap();
                bytes
            })
            .collect();
        assert!(messages.bytes.as_ref().ends_with(&encoded));
    }
}
