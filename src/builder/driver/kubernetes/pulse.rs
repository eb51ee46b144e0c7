//! Whether the peer of a WebSocket is still there: [`Pulse`].
//!
//! Time is counted in ticks one by one: after this process was stopped for a while, answers
//! may wait that nobody has read yet, and the pause counts as one. It sends nothing itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// When to ask, and how long to wait for the answer.
#[derive(Debug, Clone)]
pub(super) struct Rhythm {
    /// How long the peer may be silent before it is asked. Load balancers forget connections
    /// that are idle for a minute.
    pub(super) ask_after: Duration,
    /// How long it may take to answer while nothing we send gets through either.
    pub(super) answer_within: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            ask_after: Duration::from_secs(20),
            answer_within: Duration::from_secs(20),
        }
    }
}

const TICK: Duration = Duration::from_secs(1);

/// Signs of life in both directions.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    heard: AtomicU64,
    sent: AtomicU64,
    /// Whether what was heard waits for its reader, so that nobody listens.
    busy: AtomicBool,
}

impl Pulse {
    /// Notes that something came.
    pub(super) fn heard(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that something was taken.
    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes whether nobody listens.
    pub(super) fn busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// Completes when the peer is gone, with how long it has been silent; asks it by `ping`.
    pub(super) async fn lost(&self, rhythm: &Rhythm, ping: impl Fn()) -> Duration {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        let (mut heard, mut sent) = (self.heard.load(Ordering::Relaxed), 0);
        let (mut silent, mut waited) = (Duration::ZERO, Duration::ZERO);
        loop {
            ticks.tick().await;
            let last = (heard, sent);
            heard = self.heard.load(Ordering::Relaxed);
            sent = self.sent.load(Ordering::Relaxed);
            if heard != last.0 || self.busy.load(Ordering::Relaxed) {
                silent = Duration::ZERO;
                continue;
            }
            silent += TICK;
            if silent == rhythm.ask_after {
                waited = Duration::ZERO;
                ping();
            } else if silent > rhythm.ask_after {
                waited += TICK;
                if sent != last.1 {
                    waited = Duration::ZERO;
                }
                if waited >= rhythm.answer_within {
                    return silent;
                }
            }
        }
    }
}
