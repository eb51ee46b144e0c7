//! The plot: a bar for each goal, with a line where the goal is. Made to be read on a light and
//! on a dark page.

use std::fmt::Write as _;

use crate::goal::Bar;
use crate::verdict::Verdict;

const WIDTH: f64 = 860.0;
/// Where bars begin, and the room behind the longest for its number.
const LEFT: f64 = 380.0;
const RIGHT: f64 = 140.0;
/// How wide a number is at most.
const NUMBER: f64 = 110.0;
const LINE: f64 = 24.0;
const THICK: f64 = 14.0;
/// Room for a section's title.
const TITLE: f64 = 52.0;
/// A longer bar is cut off here, which an arrow before its number tells.
const MOST_OF_BUILDX: f64 = 1.25;
const MOST_OF_GOAL: f64 = 2.0;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#24292f}\
.page{fill:#fff}.title{font-weight:600}.quiet{fill:#57606a}\
.holds{fill:#2da44e}.fails{fill:#cf222e}.goal{stroke:#24292f;stroke-width:2}\
.grid{stroke:#d0d7de}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.quiet{fill:#9198a1}\
.holds{fill:#3fb950}.fails{fill:#f85149}.goal{stroke:#e6edf3}.grid{stroke:#3d444d}}";

/// The whole picture as SVG.
pub(crate) fn plot(verdicts: &[Verdict]) -> String {
    let bars = |is_ratio: bool| -> Vec<(&Verdict, &Bar)> {
        let with_bar = verdicts.iter().filter_map(|v| Some((v, v.bar.as_ref()?)));
        with_bar
            .filter(|(_, bar)| bar.is_ratio == is_ratio)
            .collect()
    };
    let sections = [
        (
            "Part of what docker buildx takes (line: goal)",
            bars(true),
            0.25,
        ),
        (
            "Part of what the goal allows (line: all of it)",
            bars(false),
            0.25,
        ),
    ];
    let mut drawn = String::new();
    let mut y = 0.0;
    for (title, bars, step) in sections {
        if !bars.is_empty() {
            y = section(&mut drawn, y, (title, step), &bars);
        }
    }
    let height = y + LINE;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Measured against the goals\">\n\
         <style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n{drawn}</svg>\n"
    )
}

/// Draws below `y`, and says where it ends.
fn section(
    drawn: &mut String,
    y: f64,
    (title, step): (&str, f64),
    bars: &[(&Verdict, &Bar)],
) -> f64 {
    let longest = bars
        .iter()
        .map(|(_, bar)| shown(bar).max(bar.limit))
        .fold(0.0, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / longest.max(1.0);
    let top = y + TITLE;
    #[expect(clippy::cast_precision_loss, reason = "a number of bars")]
    let bottom = top + bars.len() as f64 * LINE;
    let _ = writeln!(
        drawn,
        "<text class=\"title\" x=\"16\" y=\"{:.0}\">{title}</text>",
        y + 30.0
    );
    let mut at = 0.0;
    while at <= longest.max(1.0) + 1e-9 {
        let x = LEFT + at * scale;
        let _ = writeln!(
            drawn,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"quiet\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{at}</text>",
            top - 4.0,
            bottom + 16.0
        );
        at += step;
    }
    for ((verdict, bar), at) in bars.iter().zip(0u32..) {
        one(drawn, top + f64::from(at) * LINE, scale, (verdict, bar));
    }
    bottom + LINE
}

fn one(drawn: &mut String, y: f64, scale: f64, (verdict, bar): (&Verdict, &Bar)) {
    let length = shown(bar) * scale;
    let class = match verdict.holds {
        Some(false) => "fails",
        _ => "holds",
    };
    let goal = LEFT + bar.limit * scale;
    // Its number stands behind the bar, and behind the goal's line if that is farther.
    let behind = (LEFT + length).max(if bar.limit * scale < length + NUMBER {
        goal
    } else {
        0.0
    });
    let what = verdict.goal.split(" at ").next().unwrap_or_default();
    let what = if verdict.goal.starts_with("at ") {
        ""
    } else {
        what
    };
    let label = escape(&verdict.title.replace('`', ""));
    let label = if what.is_empty() {
        label
    } else {
        format!("{label}: {what}")
    };
    let measured = verdict.measured.split(',').next().unwrap_or_default();
    let measured = escape(measured.trim_end_matches(" of buildx"));
    let arrow = if bar.value > most(bar) { "→ " } else { "" };
    let _ = writeln!(
        drawn,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\
         <rect class=\"{class}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{THICK}\" rx=\"2\"/>\
         <line class=\"goal\" x1=\"{goal:.1}\" x2=\"{goal:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{arrow}{measured}</text>",
        LEFT - 10.0,
        y + 16.0,
        y + 5.0,
        y + 2.0,
        y + 22.0,
        behind + 8.0,
        y + 16.0,
    );
}

fn shown(bar: &Bar) -> f64 {
    bar.value.clamp(0.0, most(bar))
}

fn most(bar: &Bar) -> f64 {
    match bar.is_ratio {
        true => MOST_OF_BUILDX,
        false => MOST_OF_GOAL,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(value: f64, limit: f64, is_ratio: bool) -> Verdict {
        Verdict {
            title: "a < `b`".into(),
            goal: "wall at most 0.40 of buildx".into(),
            measured: "0.20 of buildx".into(),
            holds: Some(value <= limit),
            bar: Some(Bar {
                value,
                limit,
                is_ratio,
            }),
        }
    }

    #[test]
    fn every_goal_is_a_bar_with_a_line() {
        let svg = plot(&[
            verdict(0.2, 0.4, true),
            verdict(0.5, 0.4, true),
            verdict(9.0, 1.0, false),
        ]);
        assert_eq!(svg.matches("class=\"goal\"").count(), 3);
        assert_eq!(svg.matches("class=\"holds\"").count(), 1);
        assert_eq!(svg.matches("class=\"title\"").count(), 2);
        assert!(svg.contains("a &lt; b: wall<"), "{svg}");
        assert_eq!(svg.matches("→").count(), 1);
        // Cut off: no bar leaves the picture.
        for width in svg.split("width=\"").skip(1) {
            let width: f64 = width.split('"').next().unwrap().parse().unwrap();
            assert!(width <= WIDTH, "{width}");
        }
    }

    #[test]
    fn without_measurements_there_is_an_empty_picture() {
        assert!(plot(&[]).ends_with("</svg>\n"));
    }
}
