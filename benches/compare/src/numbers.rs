//! Medians and spans.

/// The middle, the least and the most of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Span {
    /// `None` of nothing. Of an even count the median lies between the two in the middle.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], upper),
            _ => upper,
        };
        Some(Self {
            median,
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        })
    }
}

/// Three digits that count: `0.042`, `3.10`, `21.3`, `540`.
pub(crate) fn short(number: f64) -> String {
    let digits = match number.abs() {
        n if n >= 99.95 => 0,
        n if n >= 9.995 => 1,
        n if n >= 0.995 => 2,
        _ => 3,
    };
    format!("{number:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: &[f64], expect: Option<(f64, f64, f64)>) {
        let span = Span::of(numbers.iter().copied());
        assert_eq!(span.map(|s| (s.min, s.median, s.max)), expect);
    }

    #[test]
    fn medians() {
        check(&[], None);
        check(&[2.0], Some((2.0, 2.0, 2.0)));
        check(&[3.0, 1.0], Some((1.0, 2.0, 3.0)));
        check(&[9.0, 1.0, 2.0], Some((1.0, 2.0, 9.0)));
    }

    #[test]
    fn digits() {
        for (number, expect) in [
            (0.0421, "0.042"),
            (0.9999, "1.00"),
            (3.1, "3.10"),
            (21.34, "21.3"),
            (540.4, "540"),
            (-0.01, "-0.010"),
        ] {
            assert_eq!(short(number), expect);
        }
    }
}
