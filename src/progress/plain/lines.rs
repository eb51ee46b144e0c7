//! The wording of single lines: a transfer, a unit's end, and when a transfer is news.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::{UnitEnd, UnitId, VertexStatus};
use crate::progress::state::{State, between};
use crate::progress::text;

/// How often a transfer is reported at least, and how much progress is reported at once.
const STATUS_PERIOD: Duration = Duration::from_secs(5);
const STATUS_SHARE: f64 = 0.05;

/// Transfers quicker than this are reported without a time, as in buildx.
const WORTH_SAYING: Duration = Duration::from_millis(10);

/// Says whether a transfer has got on enough to be reported again.
pub(super) fn is_news(
    status: &VertexStatus,
    (current, timestamp): (i64, Option<Timestamp>),
) -> bool {
    let period = match (timestamp, status.timestamp) {
        (Some(last), Some(this)) => between(last, this) >= STATUS_PERIOD,
        _ => false,
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of a twentieth needs no precision"
    )]
    let share = status.current.saturating_sub(current) as f64 / status.total as f64;
    period || status.total > 0 && share >= STATUS_SHARE
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
    let end = status.completed.or(status.timestamp);
    let took = status
        .started
        .zip(end)
        .map(|(start, end)| between(start, end));
    if let Some(took) = took.filter(|took| *took > WORTH_SAYING) {
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
        assert!(is_news(&layer(50, None), (0, None)));
        assert!(!is_news(&layer(49, None), (0, None)));
        assert_eq!(describe(&layer(500, None)), "sha256:abc 500B / 1.00kB");
        assert_eq!(
            describe(&layer(1000, Some(at(0)))),
            "sha256:abc 1.00kB / 1.00kB done"
        );
    }
}
