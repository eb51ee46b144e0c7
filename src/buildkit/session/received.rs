//! What a daemon that sends a tree says: [`packet`] reads its messages.

use bytes::Bytes;
use mbuild_proto::fsutil::packet::PacketType;
use mbuild_proto::fsutil::{self, Stat};
use prost::Message;

use crate::receive::{Entry, Packet, ReceiveError, shown};

/// Reads a message; one that has no place in a tree's transfer is read as such.
///
/// # Errors
///
/// When it is no packet at all.
pub(super) fn packet(message: Bytes) -> Result<Packet, ReceiveError> {
    let packet = fsutil::Packet::decode(message)
        .map_err(|_| ReceiveError::Protocol("a message that is no packet of a tree"))?;
    Ok(match PacketType::try_from(packet.r#type) {
        Ok(PacketType::Stat) => packet
            .stat
            .map_or(Packet::EndOfEntries, |stat| Packet::Entry(entry(stat))),
        Ok(PacketType::Data) => Packet::Data(packet.id, packet.data),
        Ok(PacketType::Fin) => Packet::Fin,
        Ok(PacketType::Err) => Packet::Error(shown(&packet.data)),
        Ok(PacketType::Req) | Err(_) => Packet::Unexpected,
    })
}

fn entry(stat: Stat) -> Entry {
    Entry {
        path: stat.path,
        mode: stat.mode,
        size: stat.size,
        mtime_ns: stat.mod_time,
        linkname: stat.linkname,
        devmajor: stat.devmajor,
        devminor: stat.devminor,
        xattrs: stat.xattrs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_by_their_type() {
        let decode = |packet: fsutil::Packet| super::packet(packet.encode_to_vec().into());
        assert!(matches!(
            super::packet(Bytes::new()),
            Ok(Packet::EndOfEntries)
        ));
        let of = |kind: PacketType| fsutil::Packet {
            r#type: kind.into(),
            ..Default::default()
        };
        assert!(matches!(decode(of(PacketType::Fin)), Ok(Packet::Fin)));
        assert!(matches!(
            decode(of(PacketType::Req)),
            Ok(Packet::Unexpected)
        ));
        let unknown = fsutil::Packet {
            r#type: 9,
            ..Default::default()
        };
        assert!(matches!(decode(unknown), Ok(Packet::Unexpected)));
        let error = fsutil::Packet {
            data: "a\x1bb".into(),
            ..of(PacketType::Err)
        };
        assert!(matches!(decode(error), Ok(Packet::Error(text)) if text == "a\\u{1b}b"));
        assert!(super::packet(Bytes::from_static(b"\xff\xff")).is_err());
    }
}
