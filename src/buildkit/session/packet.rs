//! The packets that carry a directory tree, and the rules of who may say what when.
//!
//! [`Sender`] is the sending side as a state machine without I/O: it numbers what is listed,
//! checks what the other side asks for, and knows when the transfer is over. Bytes are none of
//! its business.

use mbuild_proto::fsutil::packet::PacketType;
use mbuild_proto::fsutil::{Packet, Stat};

/// What the other side did against the rules, or why it gave up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtocolError {
    /// A request for a number that was never listed.
    #[error("file {0} was asked for, which was not listed")]
    Unknown(u32),
    /// A request for a directory, a link or a device.
    #[error("entry {0} was asked for, which is not a file")]
    NotAFile(u32),
    /// A second request for the same file.
    #[error("file {0} was asked for twice")]
    Repeated(u32),
    /// The end, while the list is still being sent.
    #[error("the receiver ended before it had the whole list")]
    EarlyEnd,
    /// A packet that only a sender may send, or of a type that does not exist.
    #[error("a receiver may not send packets of type {0}")]
    Misplaced(i32),
    /// The stream ended without a word.
    #[error("the receiver went away before the end")]
    Gone,
    /// The other side's own reason.
    #[error("the receiver failed: {0}")]
    Failed(String),
}

/// What the receiver wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked<F> {
    /// The bytes of a file, under this number.
    File(u32, F),
    /// Nothing more.
    End,
}

/// The sending side of one transfer; `F` is what is remembered of a file until it is asked for.
#[derive(Debug)]
pub(super) struct Sender<F> {
    entries: Vec<Entry<F>>,
    listed: bool,
    ending: bool,
    /// Files asked for and not yet sent.
    open: usize,
}

#[derive(Debug)]
enum Entry<F> {
    File(F),
    Asked,
    Other,
}

impl<F> Default for Sender<F> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            listed: false,
            ending: false,
            open: 0,
        }
    }
}

impl<F> Sender<F> {
    /// Counts an entry that is about to be listed; `None` for one that has no bytes to ask for.
    pub(super) fn list(&mut self, file: Option<F>) {
        self.entries.push(file.map_or(Entry::Other, Entry::File));
    }

    /// Notes that the list is complete.
    pub(super) fn end_list(&mut self) {
        self.listed = true;
    }

    /// Takes a packet of the receiver.
    pub(super) fn receive(&mut self, packet: Packet) -> Result<Asked<F>, ProtocolError> {
        match PacketType::try_from(packet.r#type) {
            Ok(PacketType::Req) => self.ask(packet.id),
            Ok(PacketType::Fin) if !self.listed => Err(ProtocolError::EarlyEnd),
            Ok(PacketType::Fin) => {
                self.ending = true;
                Ok(Asked::End)
            }
            Ok(PacketType::Err) => Err(ProtocolError::Failed(
                String::from_utf8_lossy(&packet.data).into_owned(),
            )),
            Ok(PacketType::Stat | PacketType::Data) | Err(_) => {
                Err(ProtocolError::Misplaced(packet.r#type))
            }
        }
    }

    fn ask(&mut self, id: u32) -> Result<Asked<F>, ProtocolError> {
        let entry = usize::try_from(id)
            .ok()
            .and_then(|index| self.entries.get_mut(index));
        match entry {
            None => Err(ProtocolError::Unknown(id)),
            Some(Entry::Other) => Err(ProtocolError::NotAFile(id)),
            Some(Entry::Asked) => Err(ProtocolError::Repeated(id)),
            Some(entry @ Entry::File(_)) => match std::mem::replace(entry, Entry::Asked) {
                Entry::File(file) => {
                    self.open += 1;
                    Ok(Asked::File(id, file))
                }
                Entry::Asked | Entry::Other => Err(ProtocolError::Repeated(id)),
            },
        }
    }

    /// Notes that this many files went out, with their ends.
    pub(super) fn sent(&mut self, files: usize) {
        self.open -= files;
    }

    /// Whether the receiver has said that it wants nothing more.
    pub(super) fn is_ending(&self) -> bool {
        self.ending
    }

    /// Whether nothing is left but to confirm the end with [`fin`]. Files that were asked for
    /// before it are still sent.
    pub(super) fn is_over(&self) -> bool {
        self.ending && self.open == 0
    }
}

/// Lists an entry.
pub(super) fn stat(stat: Stat) -> Packet {
    Packet {
        r#type: PacketType::Stat.into(),
        stat: Some(stat),
        ..Packet::default()
    }
}

/// Ends the list; on the wire it is an empty message.
pub(super) fn end_of_list() -> Packet {
    Packet {
        r#type: PacketType::Stat.into(),
        ..Packet::default()
    }
}

/// Carries bytes of a file, to be added; without any, it ends the file.
pub(super) fn data(id: u32) -> Packet {
    Packet {
        r#type: PacketType::Data.into(),
        id,
        ..Packet::default()
    }
}

/// Confirms the end.
pub(super) fn fin() -> Packet {
    Packet {
        r#type: PacketType::Fin.into(),
        ..Packet::default()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn request(id: u32) -> Packet {
        Packet {
            r#type: PacketType::Req.into(),
            id,
            ..Packet::default()
        }
    }

    /// A sender that has listed a directory and two files.
    fn sender() -> Sender<&'static str> {
        let mut sender = Sender::default();
        for file in [None, Some("a"), Some("b")] {
            sender.list(file);
        }
        sender
    }

    #[test]
    fn every_entry_has_a_number_and_only_files_are_given() {
        let mut sender = sender();
        assert_eq!(sender.receive(request(2)), Ok(Asked::File(2, "b")));
        assert_eq!(sender.receive(request(1)), Ok(Asked::File(1, "a")));
        assert_eq!(sender.receive(request(0)), Err(ProtocolError::NotAFile(0)));
        assert_eq!(sender.receive(request(3)), Err(ProtocolError::Unknown(3)));
        assert_eq!(
            sender.receive(request(u32::MAX)),
            Err(ProtocolError::Unknown(u32::MAX))
        );
    }

    #[test]
    fn a_file_is_given_once() {
        let mut sender = sender();
        sender.receive(request(1)).unwrap();
        assert_eq!(sender.receive(request(1)), Err(ProtocolError::Repeated(1)));
        sender.sent(1);
        assert_eq!(sender.receive(request(1)), Err(ProtocolError::Repeated(1)));
    }

    #[test]
    fn the_end_waits_for_files_that_were_asked_for() {
        let mut sender = sender();
        sender.end_list();
        sender.receive(request(1)).unwrap();
        assert!(!sender.is_ending());
        assert_eq!(sender.receive(fin()), Ok(Asked::End));
        assert!(sender.is_ending() && !sender.is_over());
        sender.sent(1);
        assert!(sender.is_over());
    }

    #[test]
    fn what_a_receiver_may_not_say_is_refused() {
        fn check(packet: Packet, expect: ProtocolError) {
            assert_eq!(sender().receive(packet), Err(expect));
        }
        check(fin(), ProtocolError::EarlyEnd);
        check(stat(Stat::default()), ProtocolError::Misplaced(0));
        check(end_of_list(), ProtocolError::Misplaced(0));
        check(data(1), ProtocolError::Misplaced(2));
        check(
            Packet {
                r#type: 9,
                ..Packet::default()
            },
            ProtocolError::Misplaced(9),
        );
        let failed = Packet {
            r#type: PacketType::Err.into(),
            data: Bytes::from_static(b"no room \xff"),
            ..Packet::default()
        };
        check(failed, ProtocolError::Failed("no room \u{fffd}".into()));
    }

    #[test]
    fn the_end_of_the_list_is_empty_on_the_wire() {
        assert_eq!(end_of_list().encoded_len(), 0);
        assert_eq!(data(7).encode_to_vec(), [0x08, 2, 0x18, 7]);
    }

    proptest! {
        /// However requests, answers and the end interleave, every file that was asked for is
        /// given exactly once, and the transfer is over exactly when all of them were sent.
        #[test]
        fn a_transfer_is_over_when_all_that_was_asked_for_is_sent(
            files in prop::collection::vec(any::<bool>(), 0..40),
            asks in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..60),
        ) {
            let mut sender = Sender::default();
            for (id, file) in files.iter().enumerate() {
                sender.list(file.then_some(id));
            }
            sender.end_list();
            let mut given = std::collections::BTreeSet::new();
            let mut unsent = 0;
            for (index, answer) in asks {
                // One number more than there is, now and then.
                let id = index.index(files.len() + 1);
                match sender.receive(request(id as u32)) {
                    Ok(Asked::File(number, file)) => {
                        prop_assert_eq!((number as usize, file), (id, id));
                        prop_assert!(files[id] && given.insert(id));
                        unsent += 1;
                    }
                    Ok(Asked::End) => prop_assert!(false),
                    Err(ProtocolError::Repeated(_)) => prop_assert!(given.contains(&id)),
                    Err(ProtocolError::NotAFile(_)) => prop_assert!(!files[id]),
                    Err(error) => prop_assert_eq!(error, ProtocolError::Unknown(id as u32)),
                }
                if answer && unsent > 0 {
                    sender.sent(1);
                    unsent -= 1;
                }
                prop_assert!(!sender.is_over());
            }
            sender.receive(fin()).unwrap();
            while unsent > 0 {
                prop_assert!(!sender.is_over());
                sender.sent(1);
                unsent -= 1;
            }
            prop_assert!(sender.is_over());
        }
    }
}
