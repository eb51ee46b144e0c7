//! How times, sizes, names and other people's text are written for a person.
//!
//! Pure functions only; where a line goes and how long it may be is the renderers' business.

use std::borrow::Cow;
use std::time::Duration;

/// Writes a duration as `1.2s`.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

/// Writes a duration for a table: `1.2s`, from a minute on `2m03s`, then `1h02m`.
pub(super) fn clock(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..60 => seconds(duration),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

/// Writes the time of a log line with four significant digits, as buildx does.
pub(super) fn log_time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..10.0 => format!("{seconds:.3}"),
        10.0..100.0 => format!("{seconds:.2}"),
        _ => format!("{seconds:.1}"),
    }
}

/// Writes a number of bytes with a decimal unit: `512B`, `12.35MB`, with `digits` after the
/// point from 1 kB on and `space` before the unit.
pub fn bytes(count: u64, digits: usize, space: &str) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count}{space}B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.digits$}{space}{}", UNITS[unit])
}

/// Returns what a terminal would still show of a line in which `\r` went back to the start.
pub(super) fn visible_part(line: &str) -> &str {
    let line = line.trim_end_matches(['\n', '\r']);
    line.rsplit('\r').next().unwrap_or(line)
}

/// Removes escape sequences and every other control character; tabs become spaces.
///
/// Text of other people's programs could otherwise move the cursor or retitle the terminal.
pub(super) fn without_controls(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let plain = console::strip_ansi_codes(text);
    let tamed = plain.chars().filter_map(|character| match character {
        '\t' | '\n' => Some(' '),
        other if other.is_control() => None,
        other => Some(other),
    });
    Cow::Owned(tamed.collect())
}

/// Puts the name of a unit into the name of one of its steps.
///
/// `[2/5] RUN make` becomes `[arm64 · linux/arm64 2/5] RUN make`; a platform that the daemon
/// has put there already is not repeated.
pub(super) fn with_unit(step: &str, node: &str, platform: &str) -> String {
    let label = if platform.is_empty() {
        node.to_owned()
    } else {
        format!("{node} · {platform}")
    };
    let Some(inside) = step.strip_prefix('[') else {
        return format!("[{label}] {step}");
    };
    let rest = match inside.strip_prefix(platform) {
        Some(rest) if !platform.is_empty() && rest.starts_with([' ', ']']) => rest.trim_start(),
        _ => inside,
    };
    let space = if rest.starts_with(']') { "" } else { " " };
    format!("[{label}{space}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_digits_that_matter() {
        let log = |millis| log_time(Duration::from_millis(millis));
        assert_eq!((log(0), log(9_999)), ("0.000".into(), "9.999".into()));
        assert_eq!(
            (log(10_000), log(123_456)),
            ("10.00".into(), "123.5".into())
        );
        let clock = |secs| clock(Duration::from_secs(secs));
        assert_eq!((clock(59), clock(123)), ("59.0s".into(), "2m03s".into()));
        assert_eq!(clock(3_720), "1h02m");
    }

    #[test]
    fn sizes_have_decimal_units() {
        let check = |count, expected: &str| assert_eq!(bytes(count, 2, ""), expected);
        check(0, "0B");
        check(999, "999B");
        check(2_801_767, "2.80MB");
        check(1_000_000_000, "1.00GB");
        check(u64::MAX, "18446.74PB");
        assert_eq!(bytes(12_345_678, 1, " "), "12.3 MB");
    }

    #[test]
    fn other_peoples_text_cannot_steer_the_terminal() {
        assert_eq!(without_controls("plain ü"), "plain ü");
        assert_eq!(
            without_controls("\x1b[31mred\x1b[0m\x1b[2J\tx\x07"),
            "red x"
        );
        assert_eq!(without_controls("a\nb"), "a b");
        assert!(!without_controls("\x1b]0;title\x07x\x1b").contains(char::is_control));
    }

    #[test]
    fn a_step_carries_its_unit() {
        let check = |step, expected: &str| {
            assert_eq!(with_unit(step, "arm64", "linux/arm64"), expected);
        };
        check("[2/5] RUN make", "[arm64 · linux/arm64 2/5] RUN make");
        check(
            "[linux/arm64 2/5] RUN make",
            "[arm64 · linux/arm64 2/5] RUN make",
        );
        check("[linux/arm64] x", "[arm64 · linux/arm64] x");
        check(
            "[linux/arm64/v8 2/5] x",
            "[arm64 · linux/arm64 linux/arm64/v8 2/5] x",
        );
        check(
            "exporting to image",
            "[arm64 · linux/arm64] exporting to image",
        );
        assert_eq!(
            with_unit("[2/5] RUN make", "node", ""),
            "[node 2/5] RUN make"
        );
        assert_eq!(with_unit("[", "node", ""), "[node ");
    }
}
