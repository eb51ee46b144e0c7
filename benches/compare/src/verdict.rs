//! Whether a row meets its goals: [`judge`].

use crate::goal::{BESIDE_DAEMONS, Bar, Goal, middle, wall};
use crate::numbers::short;
use crate::record::Measured;
use crate::row::Row;

/// Peak memory may be this much, in KiB, and …
const RSS: f64 = 40.0 * 1024.0;
/// … so many bytes more for every file.
const RSS_PER_FILE: f64 = 160.0;
/// One goal of one row, and what was measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) title: String,
    /// E.g. `wall at most 0.40 of buildx`.
    pub(crate) goal: String,
    /// With its unit; `-` when it was not measured.
    pub(crate) measured: String,
    /// `None` when it was not measured.
    pub(crate) holds: Option<bool>,
    /// What the plot shows.
    pub(crate) bar: Option<Bar>,
}

/// Holds a row against its goals; `cores` are the machine's processors.
pub(crate) fn judge(row: &Row, measured: &Measured, cores: usize) -> Vec<Verdict> {
    #[expect(clippy::cast_precision_loss, reason = "a number of files")]
    let memory = RSS + RSS_PER_FILE * measured.files as f64 / 1024.0;
    let mut goals = row.goals.to_vec();
    goals.push(Goal::Memory(memory));
    goals
        .into_iter()
        .map(|goal| verdict(goal, row, measured, cores))
        .collect()
}

fn verdict(goal: Goal, row: &Row, measured: &Measured, cores: usize) -> Verdict {
    let found = goal.found(measured);
    let mut said = found.map_or_else(|| "-".to_owned(), |value| goal.say(value));
    let mut holds = found.map(|value| goal.allows(value));
    if let (Goal::WallRatioOrDaemons(_), Some(floor)) = (goal, floor(measured, cores)) {
        said = format!("{said}, {} of what the daemons' CPU allows", short(floor));
        holds = holds.map(|holds| holds || floor <= BESIDE_DAEMONS);
    }
    Verdict {
        title: row.title.to_owned(),
        goal: goal.text(),
        measured: said,
        holds,
        bar: found.and_then(|value| goal.bar(value)),
    }
}

/// Our time as a multiple of what all processors need for the daemons' work and ours.
#[expect(clippy::cast_precision_loss, reason = "a number of processors")]
fn floor(measured: &Measured, cores: usize) -> Option<f64> {
    let ours = measured.samples("mbuild")?;
    let work = middle(ours, |sample| Some(sample.daemons? + sample.cpu))?;
    Some(middle(ours, wall)? * cores as f64 / work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;
    use crate::record::Run;
    use crate::rows::find;

    fn sample(wall: f64, cpu: f64) -> Sample {
        Sample {
            wall,
            cpu,
            rss: 20 * 1024,
            daemons: Some(8.0),
            solve: Some(wall - 0.05),
            rate: Some(100e6),
            rounds: None,
        }
    }

    fn measured(runs: &[(&str, f64, f64)]) -> Measured {
        Measured {
            files: 1,
            runs: runs
                .iter()
                .map(|(name, wall, cpu)| Run {
                    who: (*name).to_owned(),
                    samples: vec![sample(*wall, *cpu)],
                })
                .collect(),
            ..Measured::default()
        }
    }

    fn check(row: &str, runs: &[(&str, f64, f64)], expect: &[(&str, Option<bool>)]) {
        let verdicts = judge(find(row).unwrap(), &measured(runs), 2);
        let found: Vec<_> = verdicts
            .iter()
            .map(|verdict| (verdict.measured.as_str(), verdict.holds))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn ratios_are_of_medians() {
        check(
            "large-cold",
            &[("mbuild", 5.0, 1.0), ("buildx", 10.0, 5.0)],
            &[
                ("0.50 of buildx", Some(true)),
                ("0.20 of buildx", Some(false)),
                ("20.0 MiB", Some(true)),
            ],
        );
    }

    #[test]
    fn daemons_that_have_no_more_to_give_excuse_a_row() {
        let said = "0.95 of buildx, 1.06 of what the daemons' CPU allows";
        check(
            "files-cold",
            &[("mbuild", 4.75, 1.0), ("buildx", 5.0, 5.0)],
            &[
                (said, Some(true)),
                ("0.20 of buildx", Some(true)),
                ("20.0 MiB", Some(true)),
            ],
        );
    }

    #[test]
    fn absolute_goals() {
        let memory = ("20.0 MiB", Some(true));
        let one = |wall| [("mbuild", wall, 0.1)];
        check("version", &one(0.006), &[("6.0 ms", Some(false)), memory]);
        check("overhead-2", &one(1.0), &[("50.0 ms", Some(true)), memory]);
        check(
            "link-up",
            &one(1.0),
            &[("80 % of the line", Some(false)), memory],
        );
        check(
            "link-cached",
            &[("mbuild", 0.5, 0.1), ("mbuild near", 0.2, 0.1)],
            &[("6.0 round trips", Some(true)), memory],
        );
    }

    #[test]
    fn what_was_not_measured_neither_holds_nor_fails() {
        check(
            "cached",
            &[("mbuild", 1.0, 1.0)],
            &[("-", None), ("20.0 MiB", Some(true))],
        );
    }
}
