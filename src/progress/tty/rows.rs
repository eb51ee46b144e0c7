//! The single lines of the table: a unit's header, a step, the tail of its output.
//!
//! No line is wider than it may be: names give way to times and sizes.

use console::{measure_text_width, truncate_str};

use crate::event::{UnitEnd, UnitId, VertexStatus};
use crate::progress::View;
use crate::progress::state::{Outcome, Step, Unit, between};
use crate::progress::style::Paint;
use crate::progress::text::{self, without_controls};

/// How many digits of a digest are shown, as Docker does.
const DIGEST_DIGITS: usize = 12;

/// The name of a unit, as a header begins with it.
pub(super) fn unit_name(id: UnitId, unit: &Unit) -> String {
    let label = unit.label.as_ref();
    let name = label.map_or_else(|| format!("platform {}", id.0 + 1), ToString::to_string);
    without_controls(&name).into_owned()
}

/// A unit's header: name, progress, time and what was moved. `widths` are those of the
/// names' column and of the whole line.
pub(super) fn header(view: &View<'_>, id: UnitId, widths: (usize, usize), paint: Paint) -> String {
    let Some(unit) = view.state.unit(id) else {
        return String::new();
    };
    let name = unit_name(id, unit);
    let padding = " ".repeat(widths.0.saturating_sub(measure_text_width(&name)) + 3);
    let room = widths.1.saturating_sub(widths.0 + 3);
    let line = fit(
        &format!("{name}{padding}{}", standing(view, id, room)),
        "",
        widths.1,
    );
    match &unit.ended {
        Some((_, UnitEnd::Failed(_))) => paint.error(&line),
        Some((_, UnitEnd::Cancelled)) => paint.cancelled(&line),
        Some((_, UnitEnd::Done)) => paint.done(&line),
        None => paint.heading(&line),
    }
}

/// How far a unit is, in words and numbers; less of them where there is no room.
fn standing(view: &View<'_>, id: UnitId, room: usize) -> String {
    let unit = view.state.unit(id);
    if let Some(reason) = unit.and_then(|unit| unit.waiting.as_ref()) {
        return format!("waiting for {}", without_controls(reason));
    }
    let ended = unit.and_then(|unit| unit.ended.as_ref());
    let end = match ended {
        Some((_, UnitEnd::Done)) => "  done",
        Some((_, UnitEnd::Failed(_))) => "  failed",
        Some((_, UnitEnd::Cancelled)) => "  cancelled",
        None => "",
    };
    let Some((unit, started)) = unit.and_then(|unit| Some((unit, unit.started?))) else {
        return if end.is_empty() {
            "waiting"
        } else {
            end.trim_start()
        }
        .to_owned();
    };
    let summary = view.state.summary(id);
    let until = ended.map_or(view.now, |(at, _)| *at);
    let given = |count: u64, text: String| if count > 0 { text } else { String::new() };
    let size = |arrow, count| given(count, format!("  {arrow} {}", text::bytes(count, 1, " ")));
    let cached = summary.steps_cached;
    let mut parts = [
        format!("{}/{} steps", summary.steps_ended, summary.steps_total),
        given(cached as u64, format!(" ({cached} cached)")),
        format!("  {}{end}", text::clock(between(started, until))),
        size('↑', unit.sent),
        size('↓', unit.received),
    ];
    for dispensable in [4, 3, 1] {
        if measure_text_width(&parts.concat()) > room {
            parts[dispensable].clear();
        }
    }
    parts.concat()
}

/// A step's line: what it is, what is being transferred, how long it has run.
pub(super) fn step(view: &View<'_>, step: &Step, width: usize, paint: Paint) -> String {
    let outcome = step.outcome();
    let prefix = match outcome {
        Outcome::Cached => "CACHED ",
        Outcome::Failed => "ERROR ",
        Outcome::Cancelled => "CANCELED ",
        Outcome::Done | Outcome::Running | Outcome::Waiting => "",
    };
    let name = without_controls(&step.name);
    let time = text::clock(view.state.elapsed(step, view.now));
    let transfer = match outcome {
        Outcome::Running => transfer(&step.statuses),
        _ => String::new(),
    };
    let mut right = format!("  {time}");
    let with_transfer = format!("  {transfer}{right}");
    if !transfer.is_empty() && measure_text_width(&with_transfer) * 2 <= width {
        right = with_transfer;
    }
    let line = fit(&format!(" => {prefix}{name}"), &right, width);
    match outcome {
        Outcome::Failed => paint.error(&line),
        Outcome::Cancelled => paint.cancelled(&line),
        Outcome::Running | Outcome::Waiting => line,
        Outcome::Cached | Outcome::Done => paint.done(&line),
    }
}

/// The last lines of a step's output.
pub(super) fn tail(step: &Step, count: usize, width: usize, paint: Paint) -> Vec<String> {
    let lines = step.output.tail(count).into_iter();
    lines
        .map(|line| {
            paint.faint(&fit(
                &format!("    │ {}", without_controls(&line.text)),
                "",
                width,
            ))
        })
        .collect()
}

/// What a step transfers: the one thing, or how many things and how much of them.
fn transfer(statuses: &[VertexStatus]) -> String {
    let open: Vec<_> = statuses
        .iter()
        .filter(|status| status.completed.is_none())
        .collect();
    let name = match open.as_slice() {
        [] => return String::new(),
        [one] => short_digests(&without_controls(&one.id)),
        many => format!("{} transfers", many.len()),
    };
    let sum = |part: fn(&VertexStatus) -> i64| {
        let parts = open
            .iter()
            .map(|status| u64::try_from(part(status)).unwrap_or_default());
        parts.fold(0, u64::saturating_add)
    };
    let (current, total) = (sum(|status| status.current), sum(|status| status.total));
    let size = |count| text::bytes(count, 1, " ");
    match (current, total) {
        (0, 0) => name,
        (_, 0) => format!("{name} {}", size(current)),
        _ => format!("{name} {} / {}", size(current), size(total)),
    }
}

/// Cuts digests down to what tells them apart.
fn short_digests(text: &str) -> String {
    let words = text
        .split(' ')
        .map(|word| match word.split_once("sha256:") {
            Some((before, hex)) if hex.len() == 64 => {
                format!("{before}{}", hex.get(..DIGEST_DIGITS).unwrap_or(hex))
            }
            _ => word.to_owned(),
        });
    words.collect::<Vec<_>>().join(" ")
}

/// Joins two texts into a line: the right one at the right edge, the left one cut if it is
/// too long. A right one that would take more than half of the line is left out.
pub(super) fn fit(left: &str, right: &str, width: usize) -> String {
    let right = if measure_text_width(right) * 2 > width {
        ""
    } else {
        right
    };
    let room = width - measure_text_width(right);
    let left = truncate_str(left, room, if room > 0 { "…" } else { "" });
    if right.is_empty() {
        return left.into_owned();
    }
    let gap = " ".repeat(room.saturating_sub(measure_text_width(&left)));
    format!("{left}{gap}{right}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_width_they_may_have() {
        assert_eq!(fit("name", " 1.0s", 12), "name    1.0s");
        assert_eq!(fit("a long name", " 1.0s", 12), "a long… 1.0s");
        assert_eq!(fit("a long name", "  1.0s", 8), "a long …");
        assert_eq!(fit("naïve", "", 3), "na…");
        assert_eq!(fit("日本語", "", 5), "日本…");
        assert_eq!(fit("x", "y", 0), "");
    }

    #[test]
    fn transfers_are_summed_up() {
        let status = |id: &str, current, total| VertexStatus {
            id: id.into(),
            current,
            total,
            ..VertexStatus::default()
        };
        let layer = format!("extracting sha256:{}", "ab".repeat(32));
        assert_eq!(transfer(&[]), "");
        assert_eq!(transfer(&[status(&layer, 0, 0)]), "extracting abababababab");
        assert_eq!(
            transfer(&[status("transferring context:", 1_500_000, 0)]),
            "transferring context: 1.5 MB",
        );
        let two = [status("a", 1_000, 10_000), status("b", -1, 10_000)];
        assert_eq!(transfer(&two), "2 transfers 1.0 kB / 20.0 kB");
    }
}
