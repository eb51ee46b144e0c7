//! How a session encodes what it sends: its own private files, and [`Encoder`] to call them.

#[path = "../../src/buildkit/session/packet.rs"]
#[expect(
    dead_code,
    reason = "only the packets, not the rules of who may send them"
)]
mod packet;
#[path = "../../src/buildkit/session/wire.rs"]
mod wire;

use mbuild_proto::fsutil::Stat;

/// Messages of one transfer, collected until they are taken.
#[derive(Debug, Default)]
pub struct Encoder(wire::Messages);

impl Encoder {
    /// Lists an entry.
    pub fn list(&mut self, stat: Stat) {
        self.0.put(&packet::stat(stat));
    }

    /// Sends bytes of a file.
    pub fn contents(&mut self, id: u32, bytes: &[u8]) {
        let append = |room: &mut Vec<u8>| room.extend_from_slice(bytes);
        self.0.put_contents(id, bytes.len(), append);
    }

    /// Ends a file.
    pub fn end(&mut self, id: u32) {
        self.0.put(&packet::data(id));
    }

    /// Takes what was encoded since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0).bytes
    }
}
