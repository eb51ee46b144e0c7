//! Decodes a tree that a daemon sends and judges every packet, without writing anything.

use bytes::Bytes;
use mbuild_hot::receive::Receiver;
use mbuild_hot::session::received;
use mbuild_proto::fsutil;
use prost::Message;

use super::project::project;
use super::send::{data, stat};
use super::{Failure, Work};

/// Receives the list, then each file in one packet and its end; returns how many were asked for.
pub(super) fn prepare() -> Result<Work, Failure> {
    let messages = messages()?;
    Ok(Box::new(move || {
        let mut receiver = Receiver::default();
        let mut asked = 0;
        for message in &messages {
            receiver.accept(received(message.clone())?)?;
            while receiver.next_request().is_some() {
                asked += 1;
            }
        }
        if receiver.finish() {
            Ok(asked)
        } else {
            Err("the tree is not complete".into())
        }
    }))
}

/// What the daemon sends, each message a slice of what came from the network.
fn messages() -> Result<Vec<Bytes>, Failure> {
    let items = project();
    let contents = Bytes::from(vec![b'x'; 8_000]);
    let mut packets: Vec<fsutil::Packet> = items.iter().map(stat).collect();
    packets.push(fsutil::Packet::default());
    for (id, item) in (0..).zip(&items).filter(|(_, item)| !item.directory) {
        if item.size > 0 {
            packets.push(data(id, contents.slice(..usize::try_from(item.size)?)));
        }
        packets.push(data(id, Bytes::new()));
    }
    let encoded = packets
        .iter()
        .map(|packet| Bytes::from(packet.encode_to_vec()));
    Ok(encoded.collect())
}
