//! What went over a relay: [`Tally`] counts bytes, connections and round trips.
//!
//! Round trips are counted by cause, not by time: what a client sends belongs to the round of
//! the latest that had reached it, and what a daemon sends begins the next one. A wait in
//! either of them adds none.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From who connected.
    Up,
    /// Back to who connected.
    Down,
}

/// A chunk as it entered the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Since the relay began.
    pub at: Duration,
    /// Which connection, counted from 0.
    pub connection: usize,
    /// Which way.
    pub direction: Direction,
    /// How many bytes; 0 is the end of that direction.
    pub bytes: usize,
    /// The round trip it belongs to, counted from 0 for what a client sends first.
    pub round: u64,
}

/// Counts of one relay.
#[derive(Debug)]
pub struct Tally {
    born: Instant,
    connections: AtomicUsize,
    bytes: [AtomicU64; 2],
    /// The latest round that has reached the one who connected, and the one who was called.
    reached: [AtomicU64; 2],
    /// How many connections their makers have closed, and the latest round by then.
    closed: (AtomicUsize, AtomicU64),
    /// `None` where nobody wants to know.
    sights: Option<Mutex<Vec<Sight>>>,
}

impl Tally {
    pub(crate) fn new(watched: bool) -> Self {
        Self {
            born: Instant::now(),
            connections: AtomicUsize::new(0),
            bytes: Default::default(),
            reached: Default::default(),
            closed: Default::default(),
            sights: watched.then(Mutex::default),
        }
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Bytes that entered the line, one way.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.bytes[direction.index()].load(Ordering::SeqCst)
    }

    /// How many round trips there were: the longest chain of a message and what came back
    /// after it, over all connections. What comes back to closed connections does not count.
    pub fn rounds(&self) -> u64 {
        let (count, round) = &self.closed;
        match count.load(Ordering::SeqCst) == self.connections() {
            true => round.load(Ordering::SeqCst),
            false => self.reached[0].load(Ordering::SeqCst),
        }
    }

    /// Takes what was seen since the last time; nothing unless the relay was told to look.
    pub fn take_sights(&self) -> Vec<Sight> {
        let sights = self.sights.as_ref().map(Mutex::lock);
        sights.map_or_else(Vec::new, |sights| {
            std::mem::take(&mut *sights.unwrap_or_else(PoisonError::into_inner))
        })
    }

    pub(crate) fn connected(&self) -> usize {
        self.connections.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes what enters the line; its round is to be given to [`arrived`](Self::arrived).
    pub(crate) fn entered(&self, connection: usize, direction: Direction, bytes: usize) -> u64 {
        let count = &self.bytes[direction.index()];
        count.fetch_add(bytes as u64, Ordering::SeqCst);
        let reached = self.reached[direction.index()].load(Ordering::SeqCst);
        let round = match direction {
            Direction::Up => reached,
            Direction::Down => reached + 1,
        };
        if (direction, bytes) == (Direction::Up, 0) {
            self.closed.1.fetch_max(reached, Ordering::SeqCst);
            self.closed.0.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(sights) = &self.sights {
            let sight = Sight {
                at: self.born.elapsed(),
                connection,
                direction,
                bytes,
                round,
            };
            let mut sights = sights.lock().unwrap_or_else(PoisonError::into_inner);
            sights.push(sight);
        }
        round
    }

    /// Notes what is about to reach its reader.
    pub(crate) fn arrived(&self, direction: Direction, round: u64) {
        let reader = match direction {
            Direction::Up => 1,
            Direction::Down => 0,
        };
        self.reached[reader].fetch_max(round, Ordering::SeqCst);
    }
}

impl Direction {
    fn index(self) -> usize {
        match self {
            Self::Up => 0,
            Self::Down => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Down, Up};

    fn pass(tally: &Tally, direction: Direction) {
        let round = tally.entered(0, direction, 1);
        tally.arrived(direction, round);
    }

    #[test]
    fn a_question_and_its_answer_are_a_round_trip() {
        let tally = Tally::new(false);
        tally.connected();
        pass(&tally, Up);
        assert_eq!(tally.rounds(), 0);
        pass(&tally, Down);
        pass(&tally, Down);
        assert_eq!(tally.rounds(), 1);
        pass(&tally, Up);
        pass(&tally, Up);
        pass(&tally, Down);
        assert_eq!(tally.rounds(), 2);
        assert_eq!((tally.bytes(Up), tally.bytes(Down)), (3, 3));
    }

    #[test]
    fn what_comes_after_the_end_is_no_round_trip() {
        let tally = Tally::new(false);
        tally.connected();
        pass(&tally, Up);
        pass(&tally, Down);
        tally.entered(0, Up, 0);
        pass(&tally, Down);
        assert_eq!(tally.rounds(), 1);
    }

    #[test]
    fn what_is_on_its_way_has_no_answer_yet() {
        let tally = Tally::new(false);
        tally.connected();
        let first = tally.entered(0, Up, 1);
        let hello = tally.entered(0, Down, 1);
        tally.arrived(Up, first);
        tally.arrived(Down, hello);
        assert_eq!(tally.rounds(), 1);
        pass(&tally, Down);
        assert_eq!(tally.rounds(), 1);
    }
}
