//! When a step ran: it may start and end several times, and its parts may overlap.
//!
//! The main type is [`Intervals`], one part's runs; [`elapsed`] adds up the time during
//! which at least one part ran. The clock is the daemon's throughout.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

/// The runs of one vertex, by their start.
///
/// A daemon sends the record of a run again when the run ends, so a run is known by its
/// start. Only the last run can be going on: the end of an earlier one was lost when
/// records were merged, so it counts until the next start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Intervals(BTreeMap<Timestamp, Option<Timestamp>>);

impl Intervals {
    /// Notes a run, or the end of one that is known.
    pub(super) fn record(&mut self, started: Timestamp, completed: Option<Timestamp>) {
        self.0.insert(started, completed);
    }

    /// Ends the run that is going on, if one is.
    pub(super) fn close(&mut self, at: Timestamp) {
        if let Some(mut last) = self.0.last_entry()
            && last.get().is_none()
        {
            let end = at.max(*last.key());
            last.insert(Some(end));
        }
    }

    /// Says whether a run is going on.
    pub(super) fn is_open(&self) -> bool {
        self.0
            .last_key_value()
            .is_some_and(|(_, end)| end.is_none())
    }

    /// Says whether there has been a run.
    pub(super) fn is_started(&self) -> bool {
        !self.0.is_empty()
    }

    /// The start of the latest run.
    pub(super) fn last_start(&self) -> Option<Timestamp> {
        self.0.last_key_value().map(|(start, _)| *start)
    }

    /// Each run with its end; one that is going on ends `now`.
    fn spans(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let next_starts = self.0.keys().skip(1).copied().chain([now]);
        self.0
            .iter()
            .zip(next_starts)
            .map(|((start, end), next)| (*start, end.unwrap_or(next).max(*start)))
    }
}

/// Adds up the time during which at least one of the parts ran.
pub(super) fn elapsed<'a>(
    parts: impl IntoIterator<Item = &'a Intervals>,
    now: Timestamp,
) -> Duration {
    let mut spans: Vec<_> = parts.into_iter().flat_map(|part| part.spans(now)).collect();
    spans.sort_unstable();
    let mut total = Duration::ZERO;
    let mut covered = Timestamp::MIN;
    for (start, end) in spans {
        let from = start.max(covered);
        if end > from {
            total += between(from, end);
            covered = end;
        }
    }
    total
}

/// The time from one moment to a later one; zero when it is not later.
pub(in crate::progress) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn runs(runs: &[(i64, Option<i64>)]) -> Intervals {
        let mut intervals = Intervals::default();
        for (start, end) in runs {
            intervals.record(at(*start), end.map(at));
        }
        intervals
    }

    fn check(parts: &[&[(i64, Option<i64>)]], now: i64, seconds: u64) {
        let parts: Vec<_> = parts.iter().map(|part| runs(part)).collect();
        assert_eq!(
            elapsed(&parts, at(now)),
            Duration::from_secs(seconds),
            "{parts:?}"
        );
    }

    #[test]
    fn time_is_the_union_of_all_runs() {
        check(&[], 9, 0);
        check(&[&[(1, Some(3))]], 9, 2);
        check(&[&[(1, Some(3)), (5, Some(6))]], 9, 3);
        check(&[&[(1, Some(3))], &[(2, Some(6))]], 9, 5);
        check(&[&[(1, Some(8))], &[(2, Some(3))]], 9, 7);
        check(&[&[(1, None)]], 9, 8);
    }

    #[test]
    fn a_run_without_an_end_ends_where_the_next_starts() {
        check(&[&[(1, None), (5, Some(6))]], 9, 5);
        assert!(!runs(&[(1, None), (5, Some(6))]).is_open());
    }

    #[test]
    fn a_run_that_ends_before_it_starts_takes_no_time() {
        check(&[&[(5, Some(1))]], 9, 0);
        check(&[&[(5, None)]], 1, 0);
    }

    #[test]
    fn the_end_of_a_known_run_replaces_its_record() {
        let mut one = runs(&[(1, None)]);
        assert!(one.is_open());
        one.record(at(1), Some(at(2)));
        assert!(!one.is_open());
        assert_eq!(one, runs(&[(1, Some(2))]));
    }

    #[test]
    fn closing_ends_only_what_is_open() {
        let mut open = runs(&[(1, None)]);
        open.close(at(4));
        assert_eq!(open, runs(&[(1, Some(4))]));
        open.close(at(9));
        assert_eq!(open, runs(&[(1, Some(4))]));
    }
}
