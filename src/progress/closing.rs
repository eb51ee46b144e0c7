//! The list of warnings that closes the output of a build.

use std::fmt::Write as _;

use super::state::{Finding, State};
use super::style::Paint;
use super::text::without_controls;

/// Lists the warnings about Dockerfiles, or returns the empty text when there are none.
pub(super) fn warnings(state: &State, paint: Paint) -> String {
    let findings = state.findings();
    let count = match findings.len() {
        0 => return String::new(),
        1 => "1 warning found:".to_owned(),
        count => format!("{count} warnings found:"),
    };
    let mut text = format!("\n {}\n", paint.warning(&count));
    for finding in findings {
        let _ = writeln!(
            text,
            " - {}{}",
            without_controls(&finding.text()),
            by_whom(state, finding)
        );
    }
    text
}

/// Names the units that warn, when others of the same build don't.
fn by_whom(state: &State, finding: &Finding) -> String {
    if finding.units.len() == state.units().len() {
        return String::new();
    }
    let names = finding
        .units
        .iter()
        .filter_map(|id| state.unit(*id)?.label.as_ref());
    let names: Vec<_> = names.map(ToString::to_string).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" [{}]", names.join(", "))
    }
}
