//! Brings log lines to the one place that prints, so that they don't tear the live table.
//!
//! [`NoteWriter`] is what a `tracing` subscriber writes to.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender};
use tracing_subscriber::fmt::MakeWriter;

use crate::event::Event;

/// Sends each line that is written as an [`Event::Note`]; writes to stderr while no build
/// listens.
#[derive(Debug, Clone, Default)]
pub struct NoteWriter {
    /// Weak, so that a subscriber that lives as long as the process does not keep a display
    /// waiting for more events.
    events: Arc<Mutex<Option<WeakUnboundedSender<Event>>>>,
}

impl NoteWriter {
    /// Sends lines to this channel from now on, until it closes.
    pub fn attach(&self, events: &UnboundedSender<Event>) {
        *self.events.lock().unwrap_or_else(PoisonError::into_inner) = Some(events.downgrade());
    }

    fn sender(&self) -> Option<UnboundedSender<Event>> {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()?
            .upgrade()
    }
}

impl<'a> MakeWriter<'a> for NoteWriter {
    type Writer = Note;

    fn make_writer(&'a self) -> Note {
        Note {
            events: self.sender(),
            text: Vec::new(),
        }
    }
}

/// One log record on its way; sent when it goes out of scope.
#[derive(Debug)]
pub struct Note {
    events: Option<UnboundedSender<Event>>,
    text: Vec<u8>,
}

impl Write for Note {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let Some(events) = &self.events else {
            // A log that can't be written is no reason to fail.
            let _ = io::stderr().write_all(&self.text);
            return;
        };
        for line in String::from_utf8_lossy(&self.text).lines() {
            // The display may have ended in between; its last words are not worth more.
            let _ = events.send(Event::Note(line.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[test]
    fn lines_become_events_while_a_build_listens() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let notes = NoteWriter::default();
        notes.attach(&sender);
        notes.make_writer().write_all(b"one\ntwo\n").unwrap();
        let mut next = || match receiver.try_recv() {
            Ok(Event::Note(line)) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!((next(), next()), ("one".to_owned(), "two".to_owned()));
    }

    #[test]
    fn a_writer_does_not_keep_the_channel_open() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let notes = NoteWriter::default();
        notes.attach(&sender);
        drop(sender);
        assert!(matches!(
            receiver.try_recv(),
            Err(mpsc::error::TryRecvError::Disconnected)
        ));
        assert!(notes.sender().is_none());
    }
}
