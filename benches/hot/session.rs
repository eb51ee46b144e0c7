//! How a session encodes what it sends and reads what it gets: its own private files, and what
//! calls them, [`Encoder`] and [`received`].

#[path = "../../src/buildkit/session/buffers.rs"]
mod buffers;
#[path = "../../src/buildkit/session/packet.rs"]
#[expect(
    dead_code,
    reason = "only the packets, not the rules of who may send them"
)]
mod packet;
#[path = "../../src/buildkit/session/received.rs"]
mod reading;
#[path = "../../src/buildkit/session/wire.rs"]
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use mbuild_proto::fsutil::Stat;

use crate::receive::{Packet, ReceiveError};

/// Messages of one transfer, collected until they are taken.
#[derive(Debug)]
pub struct Encoder {
    buffers: Arc<buffers::Buffers>,
    messages: wire::Messages,
}

impl Default for Encoder {
    fn default() -> Self {
        let buffers = Arc::default();
        let messages = wire::Messages::new(&buffers);
        Self { buffers, messages }
    }
}

impl Encoder {
    /// Lists an entry.
    pub fn list(&mut self, stat: Stat) {
        self.messages.put(&packet::stat(stat));
    }

    /// Sends bytes of a file.
    pub fn contents(&mut self, id: u32, bytes: &[u8]) {
        let room = self.messages.put_contents(id, bytes.len());
        room.copy_from_slice(bytes);
    }

    /// Ends a file.
    pub fn end(&mut self, id: u32) {
        self.messages.put(&packet::data(id));
    }

    /// Takes what was encoded since the last time.
    pub fn take(&mut self) -> Bytes {
        let next = wire::Messages::new(&self.buffers);
        Bytes::from_owner(std::mem::replace(&mut self.messages, next).bytes)
    }
}

/// Reads a message of a tree that a daemon sends.
///
/// # Errors
///
/// When it is no packet.
pub fn received(message: Bytes) -> Result<Packet, ReceiveError> {
    reading::packet(message)
}
