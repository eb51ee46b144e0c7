//! Sizes and times as docker's programs write them, since scripts and eyes know them. Pure.

use std::time::Duration;

use jiff::Timestamp;

/// A number of bytes with four significant digits: `8.192kB`, `12.35MB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    #[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = match value {
        ..10.0 => 3,
        10.0..100.0 => 2,
        100.0..1000.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{}", UNITS[unit])
}

/// How long ago something was: `3 hours ago`.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    let span = Duration::try_from(now.duration_since(then)).unwrap_or_default();
    format!("{} ago", rough(span))
}

/// A span of time in words, such as `About an hour`.
fn rough(span: Duration) -> String {
    let seconds = span.as_secs();
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (.., 1) => "About an hour".to_owned(),
        (.., 0..48) => format!("{hours} hours"),
        (.., 48..336) => format!("{} days", hours / 24),
        (.., 336..1440) => format!("{} weeks", hours / 24 / 7),
        (.., 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// How long something took: `4.2s`, `3m  7s`.
pub(super) fn took(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", span.as_secs_f64()),
        _ => format!("{}m {:2}s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_four_digits_at_most() {
        let check = |bytes, expect: &str| assert_eq!(size(bytes), expect);
        check(0, "0B");
        check(999, "999B");
        check(8192, "8.192kB");
        check(12_345_678, "12.35MB");
        check(200_000_000, "200MB");
        check(1_500_000_000, "1.5GB");
        check(u64::MAX, "18447PB");
    }

    #[test]
    fn times_are_rough() {
        let check = |seconds, expect: &str| {
            assert_eq!(rough(Duration::from_secs(seconds)), expect, "{seconds}");
        };
        check(0, "Less than a second");
        check(1, "1 second");
        check(59, "59 seconds");
        check(119, "About a minute");
        check(3599, "59 minutes");
        check(3600, "About an hour");
        check(2 * 3600, "2 hours");
        check(47 * 3600, "47 hours");
        check(48 * 3600, "2 days");
        check(14 * 24 * 3600, "2 weeks");
        check(61 * 24 * 3600, "2 months");
        check(800 * 24 * 3600, "2 years");
    }

    #[test]
    fn what_took_long_has_minutes() {
        assert_eq!(took(Duration::from_millis(4_249)), "4.2s");
        assert_eq!(took(Duration::from_secs(187)), "3m  7s");
    }
}
