//! Packets as they are on the wire: each one a gRPC message, many of them in one buffer.
//!
//! What sends a tree encodes by itself, on the threads that read its files: contents are read to
//! where they are sent from, and a list of files is one buffer instead of one for each entry.

use mbuild_proto::fsutil::Packet;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::packet;

/// A gRPC message begins with one byte (0: not compressed) and its length in four.
const PREFIX: usize = 5;
/// The number of the field with a packet's contents, its last one.
const CONTENTS: u32 = 4;

/// Messages, ready to be sent.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// One after the other.
    pub(super) bytes: Vec<u8>,
    /// How many of the bytes are contents of files.
    pub(super) contents: u64,
}

impl Messages {
    /// Adds a packet.
    pub(super) fn put(&mut self, packet: &Packet) {
        prefix(packet.encoded_len(), &mut self.bytes);
        packet.encode_raw(&mut self.bytes);
    }

    /// Adds a packet of contents. `read` appends them; when it does not append `length` bytes, the
    /// message is broken and must not be sent.
    pub(super) fn put_contents<T>(
        &mut self,
        id: u32,
        length: usize,
        read: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> T {
        let rest = packet::data(id);
        let head = key_len(CONTENTS) + encoded_len_varint(length as u64);
        self.bytes
            .reserve(PREFIX + rest.encoded_len() + head + length);
        prefix(rest.encoded_len() + head + length, &mut self.bytes);
        rest.encode_raw(&mut self.bytes);
        encode_key(CONTENTS, WireType::LengthDelimited, &mut self.bytes);
        encode_varint(length as u64, &mut self.bytes);
        self.contents += length as u64;
        read(&mut self.bytes)
    }
}

fn prefix(length: usize, bytes: &mut Vec<u8>) {
    bytes.push(0);
    // No packet comes near four gigabytes: a path, or a piece of a file.
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
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
        let mut messages = Messages::default();
        messages.put(&first);
        messages.put(&end);
        for (id, length) in [(0, 1), (7, 127), (300, 128), (u32::MAX, 70_000)] {
            messages.put_contents(id, length, |bytes| bytes.resize(bytes.len() + length, b'x'));
        }
        messages.put(&packet::data(7));
        let mut packets = read_back(&messages.bytes);
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
        assert!(messages.bytes.ends_with(&encoded));
    }
}
