//! How slow a line is ([`Link`]), and who shares it ([`Line`]).
//!
//! A direction of a line is a clock: each chunk takes its time on it after the one before, and
//! arrives half a round trip later. Deciding is all that is done here; pumps wait.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much of a direction's time may be taken ahead: what a sender can be late by without the
/// line running empty. Timers wait whole milliseconds, and a busy machine some more.
const AHEAD: Duration = Duration::from_millis(5);
/// What may wait in a direction beyond what is on its way, where a reader is slow.
const BUFFER: u64 = 256 * 1024;
/// What may be on its way where the rate has no limit.
const UNLIMITED: u64 = 64 * 1024 * 1024;

/// A line's qualities, the same both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Bits a second each way; `None` without a limit.
    pub rate: Option<u64>,
    /// How long a byte and its answer take together; each way takes half.
    pub rtt: Duration,
}

/// Text that says neither a rate nor a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}")]
pub struct LinkError {
    text: String,
    what: &'static str,
}

/// Reads a rate in bits a second: `1Gbit`, `100Mbit`, `56Kbit`.
///
/// # Errors
///
/// When there is no such number, or it is zero.
pub fn parse_rate(text: &str) -> Result<u64, LinkError> {
    let units = [("Gbit", 1e9), ("Mbit", 1e6), ("Kbit", 1e3), ("bit", 1.0)];
    let bits = measured(text, &units).filter(|bits| *bits >= 1.0);
    bits.map(|bits| bits as u64).ok_or_else(|| LinkError {
        text: text.to_owned(),
        what: "rate such as 1Gbit or 100Mbit",
    })
}

/// Reads a time: `50ms`, `0.2s`, `500us`.
///
/// # Errors
///
/// When there is no such number.
pub fn parse_time(text: &str) -> Result<Duration, LinkError> {
    let seconds = measured(text, &[("ms", 1e-3), ("us", 1e-6), ("s", 1.0)]);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| LinkError {
        text: text.to_owned(),
        what: "time such as 50ms or 0.2s",
    })
}

fn measured(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    units.iter().find_map(|(unit, factor)| {
        let number = f64::from_str(text.strip_suffix(unit)?).ok()?;
        (number.is_finite() && number >= 0.0).then_some(number * factor)
    })
}

impl Link {
    /// The bytes that one direction of a connection may hold: those on their way, those taken
    /// ahead, and a buffer. More stays with the sender, as it does on a real line.
    pub(crate) fn capacity(&self) -> usize {
        let held = self.rate.map_or(UNLIMITED, |rate| {
            let bits = (self.rtt / 2 + AHEAD).as_secs_f64() * rate as f64;
            (bits / 8.0) as u64
        });
        usize::try_from(held + BUFFER).unwrap_or(usize::MAX)
    }
}

/// A line that connections use: all together, or each one like it.
#[derive(Debug, Clone)]
pub struct Line {
    link: Link,
    /// The clocks of both directions; `None` if each connection has its own.
    shared: Option<[Arc<Pace>; 2]>,
}

impl Line {
    /// One line for all connections of all relays that get a clone of it.
    pub fn shared(link: Link) -> Self {
        Self {
            link,
            shared: Some(paces(link)),
        }
    }

    /// A line of its own for every connection.
    pub fn each(link: Link) -> Self {
        Self { link, shared: None }
    }

    /// Its qualities.
    pub fn link(&self) -> Link {
        self.link
    }

    /// The clocks of a connection: up, down.
    pub(crate) fn paces(&self) -> [Arc<Pace>; 2] {
        self.shared.clone().unwrap_or_else(|| paces(self.link))
    }
}

fn paces(link: Link) -> [Arc<Pace>; 2] {
    [Arc::new(Pace::new(link)), Arc::new(Pace::new(link))]
}

/// The clock of one direction.
#[derive(Debug)]
pub(crate) struct Pace {
    link: Link,
    /// When the line is free again.
    free: Mutex<Instant>,
}

impl Pace {
    fn new(link: Link) -> Self {
        Self {
            link,
            free: Mutex::new(Instant::now()),
        }
    }

    /// Takes the line's time for some bytes; tells when the last of them arrives.
    pub(crate) fn take(&self, bytes: usize, now: Instant) -> Instant {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let length = self.link.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64)
        });
        *free = (*free).max(now) + length;
        *free + self.link.rtt / 2
    }

    /// When more may be taken; `None` for now.
    pub(crate) fn full_until(&self, now: Instant) -> Option<Instant> {
        let free = *self.free.lock().unwrap_or_else(PoisonError::into_inner);
        (free > now + AHEAD).then(|| free - AHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_have_units() {
        assert_eq!(parse_rate("1Gbit"), Ok(1_000_000_000));
        assert_eq!(parse_rate("1.5Mbit"), Ok(1_500_000));
        assert_eq!(parse_time("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(parse_time("0.2s"), Ok(Duration::from_millis(200)));
        for text in ["", "1", "Gbit", "-1Gbit", "0Gbit", "NaNbit"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        for text in ["", "50", "ms", "-1ms", "infs"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn chunks_follow_each_other_and_arrive_half_a_round_trip_later() {
        let link = Link {
            rate: Some(8_000),
            rtt: Duration::from_millis(100),
        };
        let (pace, now) = (Pace::new(link), Instant::now());
        let after = |arrival: Instant| arrival.duration_since(now).as_millis();
        assert_eq!(after(pace.take(10, now)), 60);
        assert_eq!(after(pace.take(10, now)), 70);
        assert!(pace.full_until(now).is_some());
        let later = now + Duration::from_secs(1);
        assert_eq!(pace.full_until(later), None);
        assert_eq!(after(pace.take(10, later)), 1060);
    }

    #[test]
    fn a_shared_line_has_one_clock_and_the_others_do_not() {
        let link = Link {
            rate: Some(8_000),
            rtt: Duration::ZERO,
        };
        let same = |line: Line| Arc::ptr_eq(&line.paces()[0], &line.paces()[0]);
        assert!(same(Line::shared(link)));
        assert!(!same(Line::each(link)));
    }
}
