//! [`Comparison`]: which loops cost more than they did, and whether that can be told at all.

use std::collections::BTreeSet;
use std::fmt;

use super::Counts;

/// How much a count may move, in percent, before somebody has to say that it is meant.
pub const TOLERANCE: f64 = 5.0;

/// What became of one loop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// It costs what it did; by how many percent more, mostly a fraction.
    Same(f64),
    /// It costs more than the tolerance allows, by so many percent.
    Grew(f64),
    /// It costs less by more than the tolerance; a negative number of percent.
    Shrank(f64),
    /// Nobody has counted it before.
    New,
    /// It was not counted any more.
    Gone,
}

impl Verdict {
    fn of(before: Option<u64>, after: Option<u64>) -> Self {
        let (before, after) = match (before, after) {
            (Some(before), Some(after)) => (before as f64, after as f64),
            (None, _) => return Verdict::New,
            (_, None) => return Verdict::Gone,
        };
        let percent = (after - before) * 100.0 / before;
        if percent > TOLERANCE {
            Verdict::Grew(percent)
        } else if percent < -TOLERANCE {
            Verdict::Shrank(percent)
        } else {
            Verdict::Same(percent)
        }
    }

    /// Whether the kept counts have to be changed before this may pass.
    pub fn is_fault(self) -> bool {
        match self {
            Verdict::Grew(_) | Verdict::New | Verdict::Gone => true,
            Verdict::Same(_) | Verdict::Shrank(_) => false,
        }
    }
}

/// A measurement beside the one that was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Loop by loop: its name, the count kept, the count now, and what that means.
    pub rows: Vec<(String, Option<u64>, Option<u64>, Verdict)>,
    /// What differs besides the code, as `rustc 1.95.0, was 1.94.1`. If anything does, the
    /// counts say nothing about the code.
    pub elsewhere: Vec<String>,
}

impl Comparison {
    /// Compares the counts `kept` with those of `now`.
    pub fn new(kept: &Counts, now: &Counts) -> Self {
        let names: BTreeSet<&String> = kept.loops.keys().chain(now.loops.keys()).collect();
        let row = |name: &String| {
            let (before, after) = (kept.loops.get(name), now.loops.get(name));
            let (before, after) = (before.copied(), after.copied());
            (name.clone(), before, after, Verdict::of(before, after))
        };
        let conditions: BTreeSet<&String> = kept.with.keys().chain(now.with.keys()).collect();
        let differs = |name: &String| {
            let value = |counts: &Counts| counts.with.get(name).map_or("unknown", |v| v).to_owned();
            let (before, after) = (value(kept), value(now));
            (before != after).then(|| format!("{name} {after}, was {before}"))
        };
        Self {
            rows: names.into_iter().map(row).collect(),
            elsewhere: conditions.into_iter().filter_map(differs).collect(),
        }
    }

    /// Whether nothing has to be done. Counts made elsewhere pass only where that is no matter;
    /// a check that may pass without having compared anything would never fail again.
    pub fn passes(&self, elsewhere_too: bool) -> bool {
        if self.elsewhere.is_empty() {
            !self.rows.iter().any(|(.., verdict)| verdict.is_fault())
        } else {
            elsewhere_too
        }
    }

    /// Whether a loop has become so much cheaper that the kept count hides what comes next.
    pub fn has_gains(&self) -> bool {
        self.rows
            .iter()
            .any(|(.., verdict)| matches!(verdict, Verdict::Shrank(_)))
    }
}

/// Prints a table.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |n| n.to_string());
        writeln!(
            f,
            "{:10} {:>12} {:>12} {:>8}",
            "loop", "kept", "now", "change"
        )?;
        for (name, before, after, verdict) in &self.rows {
            let (before, after) = (shown(*before), shown(*after));
            write!(f, "{name:10} {before:>12} {after:>12} ")?;
            match verdict {
                Verdict::Same(percent) => writeln!(f, "{percent:>+7.1}%"),
                Verdict::Grew(percent) => writeln!(f, "{percent:>+7.1}%  more"),
                Verdict::Shrank(percent) => writeln!(f, "{percent:>+7.1}%  less"),
                Verdict::New => writeln!(f, "{:>8}", "new"),
                Verdict::Gone => writeln!(f, "{:>8}", "gone"),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> Counts {
        Counts::parse(text).unwrap()
    }

    /// Whether the second measurement passes beside the first: here, and where it is no matter
    /// that the compiler is another one.
    fn check(kept: &str, now: &str, here: bool, anywhere: bool) {
        let comparison = Comparison::new(&counts(kept), &counts(now));
        let passes = (comparison.passes(false), comparison.passes(true));
        assert_eq!(passes, (here, anywhere), "{kept} {now}");
    }

    #[test]
    fn growth_beyond_the_tolerance_is_a_fault_everywhere() {
        check("walk 1000", "walk 1000", true, true);
        check("walk 1000", "walk 1050", true, true);
        check("walk 1000", "walk 1051", false, false);
        check("walk 1000\nplan 9", "walk 1051\nplan 1", false, false);
    }

    #[test]
    fn gains_are_told_and_no_fault() {
        check("walk 1000", "walk 500", true, true);
        let gained = |now| Comparison::new(&counts("walk 1000"), &counts(now)).has_gains();
        assert!(gained("walk 949") && !gained("walk 951"));
    }

    #[test]
    fn a_loop_cannot_come_or_go_unnoticed() {
        check("walk 1000", "walk 1000\nplan 1", false, false);
        check("walk 1000\nplan 1", "walk 1000", false, false);
        check("", "", true, true);
    }

    #[test]
    fn another_compiler_says_nothing_of_the_code() {
        check("with rustc 1\nwalk 9", "with rustc 2\nwalk 9", false, true);
        check("with rustc 1\nwalk 9", "walk 9", false, true);
        let comparison = Comparison::new(&counts("with rustc 1"), &counts("with rustc 2"));
        assert_eq!(comparison.elsewhere, ["rustc 2, was 1"]);
    }

    #[test]
    fn the_table_has_a_line_for_each_loop() {
        let comparison = Comparison::new(
            &counts("a 100\nb 100\nc 100\nd 1"),
            &counts("a 101\nb 200\nc 50\ne 1"),
        );
        let table = comparison.to_string();
        let ends = [
            "change",
            "+1.0%",
            "+100.0%  more",
            "-50.0%  less",
            "gone",
            "new",
        ];
        assert_eq!(table.lines().count(), ends.len());
        for (line, end) in table.lines().zip(ends) {
            assert!(line.ends_with(end), "{line}");
        }
    }
}
