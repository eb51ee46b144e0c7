//! The tables: what each client took, and which goals hold. Markdown that reads well as text too.

use crate::goal::round_trips;
use crate::measure::Sample;
use crate::numbers::{Span, short};
use crate::record::{Measured, Run, Set};
use crate::row::Row;
use crate::rows::ROWS;
use crate::verdict::{Verdict, judge};

/// Both tables, with the rows in their usual order; rows that were not measured are left out.
pub(crate) fn tables(set: &Set) -> String {
    let rows = || {
        let measured = |row: &'static Row| Some((row, set.rows.get(row.name)?));
        ROWS.iter().filter_map(measured)
    };
    let mut took = vec![header(&[
        "work",
        "client",
        "wall s (least–most)",
        "CPU s",
        "peak RSS MiB",
        "daemons' CPU s",
        "",
    ])];
    took.extend(rows().flat_map(|(row, measured)| lines(row, measured)));
    let mut goals = vec![header(&["work", "goal", "measured", "holds"])];
    let verdicts = rows().flat_map(|(row, measured)| judge(row, measured, set.machine.cores));
    goals.extend(verdicts.map(|verdict| goal(&verdict)));
    format!("{}\n{}", aligned(&took), aligned(&goals))
}

/// One line about a row, while others are still measured.
pub(crate) fn walls(measured: &Measured) -> String {
    let words = measured.runs.iter().map(|run| {
        let median = Span::of(run.samples.iter().map(|sample| sample.wall));
        let median = median.map_or_else(String::new, |span| short(span.median));
        format!("{} {median} s", run.who)
    });
    words.collect::<Vec<String>>().join(", ")
}

type Line = Vec<String>;

fn header(words: &[&str]) -> Line {
    words.iter().map(ToString::to_string).collect()
}

fn lines(row: &Row, measured: &Measured) -> Vec<Line> {
    let line = |(at, run): (usize, &Run)| {
        let title = if at == 0 { row.title } else { "" };
        let mut line = vec![title.to_owned(), run.who.clone()];
        line.extend(numbers(&run.samples));
        line.push(more(run, measured));
        line
    };
    measured.runs.iter().enumerate().map(line).collect()
}

/// Time with its span; the others as medians, memory as the most there was.
#[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
fn numbers(samples: &[Sample]) -> [String; 4] {
    let span = |what: &dyn Fn(&Sample) -> Option<f64>| Span::of(samples.iter().filter_map(what));
    let empty = || "-".to_owned();
    let wall = span(&|sample| Some(sample.wall)).map_or_else(empty, |span| {
        let (median, min, max) = (short(span.median), short(span.min), short(span.max));
        format!("{median} ({min}–{max})")
    });
    let cpu = span(&|sample| Some(sample.cpu));
    let rss = span(&|sample| Some(sample.rss as f64 / 1024.0));
    let daemons = span(&|sample| sample.daemons);
    [
        wall,
        cpu.map_or_else(empty, |span| short(span.median)),
        rss.map_or_else(empty, |span| format!("{:.1}", span.max)),
        daemons.map_or_else(empty, |span| short(span.median)),
    ]
}

/// What only some rows have.
fn more(run: &Run, measured: &Measured) -> String {
    let median = |what: &dyn Fn(&Sample) -> Option<f64>| {
        Some(Span::of(run.samples.iter().filter_map(what))?.median)
    };
    let mut words = Vec::new();
    if let Some(solve) = median(&|sample| sample.solve) {
        words.push(format!("slowest Solve {} s", short(solve)));
    }
    if let Some(trips) = round_trips(&run.who, measured) {
        let counted = median(&|sample| sample.rounds.map(f64::from));
        let counted = counted.map(|rounds| format!(", {rounds:.0} by cause"));
        words.push(format!(
            "{trips:.1} round trips{}",
            counted.unwrap_or_default()
        ));
    } else if let Some(rate) = median(&|sample| sample.rate) {
        // A cached build sends too little for a rate to mean anything.
        words.push(format!("{:.0} Mbit/s after ramp-up", rate * 8.0 / 1e6));
    }
    words.join(", ")
}

fn goal(verdict: &Verdict) -> Line {
    let holds = match verdict.holds {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "-",
    };
    vec![
        verdict.title.clone(),
        verdict.goal.clone(),
        verdict.measured.clone(),
        holds.to_owned(),
    ]
}

fn aligned(lines: &[Line]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths);
        let cells: Vec<String> = cells.map(|(cell, w)| format!("{cell:w$}")).collect();
        text += &format!("| {} |\n", cells.join(" | "));
        if at == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width + 2)).collect();
            text += &format!("|{}|\n", rules.join("|"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> Set {
        let run = |who: &str, walls: &[f64]| Run {
            who: who.into(),
            samples: walls
                .iter()
                .map(|wall| Sample {
                    wall: *wall,
                    cpu: wall / 10.0,
                    rss: 2048,
                    ..Sample::default()
                })
                .collect(),
        };
        let measured = Measured {
            runs: vec![run("mbuild", &[0.1, 0.2, 0.3]), run("buildx", &[1.0])],
            ..Measured::default()
        };
        let mut set = Set::default();
        set.rows.insert("cached".into(), measured);
        set
    }

    #[test]
    fn a_row_is_summed_up_in_a_line() {
        let said = walls(&set().rows["cached"]);
        assert_eq!(said, "mbuild 0.200 s, buildx 1.00 s");
    }

    #[test]
    fn a_row_has_a_line_for_each_client_and_one_for_each_goal() {
        let expect = "\
| work                             | client | wall s (least–most) | CPU s | peak RSS MiB | daemons' CPU s |  |
|----------------------------------|--------|---------------------|-------|--------------|----------------|--|
| all steps cached, push and merge | mbuild | 0.200 (0.100–0.300) | 0.020 | 2.0          | -              |  |
|                                  | buildx | 1.00 (1.00–1.00)    | 0.100 | 2.0          | -              |  |

| work                             | goal                        | measured       | holds |
|----------------------------------|-----------------------------|----------------|-------|
| all steps cached, push and merge | wall at most 0.40 of buildx | 0.20 of buildx | yes   |
| all steps cached, push and merge | peak RSS at most 40.0 MiB   | 2.0 MiB        | yes   |
";
        assert_eq!(tables(&set()), expect);
    }
}
