//! Byte streams to a daemon, and what is known of one while it is used.
//!
//! A [`Line`] says when the peer was last heard, how much was moved, how the stream began and
//! how it ended. `Watched` keeps it; it does not judge, who waits does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// How many of the first inbound bytes are kept: enough to tell HTTP/1 or TLS from HTTP/2.
const OPENING: usize = 8;

/// A byte stream that can cross tasks.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Some byte stream; what it runs over no longer matters.
pub type ByteStream = Box<dyn Io>;

/// When a peer was last heard; clones share one value.
#[derive(Debug, Clone)]
pub struct Liveness {
    shared: Arc<LivenessShared>,
}

#[derive(Debug)]
struct LivenessShared {
    born: Instant,
    /// Milliseconds from `born` to the last sign of life.
    last: AtomicU64,
    signs: AtomicU64,
}

impl Liveness {
    /// Starts with a sign of life now.
    pub fn new() -> Self {
        let born = Instant::now();
        Self {
            shared: Arc::new(LivenessShared {
                born,
                last: AtomicU64::new(0),
                signs: AtomicU64::new(0),
            }),
        }
    }

    /// Notes a sign of life.
    pub fn touch(&self) {
        self.shared.last.store(self.age(), Ordering::Relaxed);
        self.shared.signs.fetch_add(1, Ordering::Relaxed);
    }

    /// How many signs of life there were.
    pub fn signs(&self) -> u64 {
        self.shared.signs.load(Ordering::Relaxed)
    }

    /// Tells how long ago the last sign of life was, in steps of a millisecond.
    pub fn idle(&self) -> Duration {
        let last = self.shared.last.load(Ordering::Relaxed);
        Duration::from_millis(self.age().saturating_sub(last))
    }

    fn age(&self) -> u64 {
        u64::try_from(self.shared.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Self::new()
    }
}

/// What is known of one stream; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// When the daemon was last heard.
    pub liveness: Liveness,
    traffic: Arc<Traffic>,
    record: Arc<Record>,
}

#[derive(Debug, Default)]
struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

#[derive(Debug, Default)]
struct Record {
    opening: Mutex<Vec<u8>>,
    end: Mutex<Option<String>>,
}

impl Line {
    /// A further stream to the same daemon: life and traffic count together, beginning and
    /// end are its own.
    pub fn sibling(&self) -> Self {
        Self {
            record: Arc::default(),
            ..self.clone()
        }
    }

    /// Bytes written to the daemon so far.
    pub fn sent(&self) -> u64 {
        self.traffic.sent.load(Ordering::Relaxed)
    }

    /// Bytes read from the daemon so far.
    pub fn received(&self) -> u64 {
        self.traffic.received.load(Ordering::Relaxed)
    }

    /// The first bytes the daemon sent, at most eight.
    pub fn opening(&self) -> Vec<u8> {
        lock(&self.record.opening).clone()
    }

    /// Why the stream ended, in words; `None` while it is open.
    ///
    /// The first reason stays: what follows is a consequence.
    pub fn end(&self) -> Option<String> {
        lock(&self.record.end).clone()
    }

    pub(super) fn note_end(&self, reason: impl FnOnce() -> String) {
        let mut end = lock(&self.record.end);
        if end.is_none() {
            *end = Some(reason());
        }
    }

    pub(super) fn note_received(&self, count: usize) {
        self.liveness.touch();
        let received = &self.traffic.received;
        received.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn note_sent(&self, count: usize) {
        self.traffic.sent.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Keeps the first bytes; tells whether there is room for more.
    pub(super) fn note_opening(&self, bytes: &[u8]) -> bool {
        let mut opening = lock(&self.record.opening);
        let room = OPENING - opening.len().min(OPENING);
        opening.extend(bytes.iter().take(room));
        opening.len() < OPENING
    }
}

/// A lock whose holder panicked still guards sound data here: single assignments only.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
