//! The wording of single lines: a transfer, a unit's end, and when a transfer is news.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::{UnitEnd, UnitId, VertexStatus};
use crate::progress::state::{State, between};
use crate::progress::text;

/// How often a transfer is reported at least, and which share of it is reported at once.
const PERIOD: Duration = Duration::from_secs(5);
const SHARE: f64 = 0.05;

/// From when on a transfer is reported before its end.
const LONG: Duration = Duration::from_secs(1);

/// Transfers quicker than this are reported without a time, as in buildx.
const SHORT: Duration = Duration::from_millis(10);

/// Says whether a transfer is worth a line, given how much was done and when at the last one.
///
/// Its end always is. Its beginning is not: most are over before anybody could read it.
pub(super) fn is_news(status: &VertexStatus, last: Option<(i64, Option<Timestamp>)>) -> bool {
    if status.completed.is_some() {
        return true;
    }
    let Some((current, told)) = last else {
        return status.started.is_none() || took(status) >= LONG;
    };
    let period = told
        .zip(status.timestamp)
        .is_some_and(|(told, now)| between(told, now) >= PERIOD);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of a twentieth needs no precision"
    )]
    let share = status.current.saturating_sub(current) as f64 / status.total as f64;
    period || status.total > 0 && share >= SHARE
}

/// How long a transfer has taken; zero if that is not known.
fn took(status: &VertexStatus) -> Duration {
    let end = status.completed.or(status.timestamp);
    status
        .started
        .zip(end)
        .map(|(start, end)| between(start, end))
        .unwrap_or_default()
}

/// Writes a transfer as `transferring context: 1.20MB / 3.00MB 0.5s done`.
pub(super) fn describe(status: &VertexStatus) -> String {
    let mut line = text::without_controls(&status.id).into_owned();
    let size = |count: i64| text::bytes(u64::try_from(count).unwrap_or_default(), 2, "");
    if status.total != 0 {
        let _ = write!(line, " {} / {}", size(status.current), size(status.total));
    } else if status.current != 0 {
        let _ = write!(line, " {}", size(status.current));
    }
    let took = took(status);
    if took > SHORT {
        let _ = write!(line, " {}", text::seconds(took));
    }
    if status.completed.is_some() {
        line.push_str(" done");
    }
    line
}

/// Names a unit for a line of its own.
pub(super) fn name(state: &State, unit: UnitId) -> String {
    let label = state.unit(unit).and_then(|unit| unit.label.as_ref());
    label.map_or_else(|| "a unit".to_owned(), ToString::to_string)
}

/// Writes how a unit ended: `linux/arm64 on arm64: done in 3.4s, 12 of 20 steps cached, sent 1.2 MB`.
pub(super) fn unit_result(state: &State, id: UnitId) -> String {
    let name = name(state, id);
    let Some((unit, (at, end))) = state
        .unit(id)
        .and_then(|u| u.ended.as_ref().map(|e| (u, e)))
    else {
        return name;
    };
    let summary = state.summary(id);
    let took = text::clock(between(unit.started.unwrap_or(*at), *at));
    match end {
        UnitEnd::Done => {
            let (cached, total) = (summary.steps_cached, summary.steps_total);
            let mut line = format!("{name}: done in {took}, {cached} of {total} steps cached");
            if unit.sent > 0 {
                let _ = write!(line, ", sent {}", text::bytes(unit.sent, 1, " "));
            }
            line
        }
        UnitEnd::Failed(error) => {
            format!(
                "{name}: failed after {took}: {}",
                text::without_controls(error)
            )
        }
        UnitEnd::Cancelled => format!("{name}: cancelled after {took}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::play::at;

    #[test]
    fn layers_are_reported_by_their_share() {
        let layer = |current, completed| VertexStatus {
            id: "sha256:abc".into(),
            current,
            total: 1000,
            completed,
            ..VertexStatus::default()
        };
        assert!(is_news(&layer(50, None), Some((0, None))));
        assert!(!is_news(&layer(49, None), Some((0, None))));
        assert_eq!(describe(&layer(500, None)), "sha256:abc 500B / 1.00kB");
        assert_eq!(
            describe(&layer(1000, Some(at(0)))),
            "sha256:abc 1.00kB / 1.00kB done"
        );
    }
}
