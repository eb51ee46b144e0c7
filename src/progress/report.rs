//! What is said about a unit that failed: the step, the end of its output, the place.
//!
//! Text only; cli prints it above the error itself.

use std::fmt::Write as _;

use super::state::State;
use super::text::{log_time, without_controls};
use crate::event::UnitId;

/// How many lines of output are repeated, as in buildx.
const LINES: usize = 10;

/// A rule between the parts.
const RULE: &str = "------";

/// Describes the failure of a unit in lines that each end with `\n`.
///
/// `vertex` is the digest of the step that failed, if the daemon named it: otherwise the
/// first step that failed is meant. `excerpt` shows the place in the Dockerfile, or is empty,
/// and is taken over as it is. Of a failure that is no step's and has no place, nothing is
/// said.
pub fn failure(state: &State, unit: UnitId, vertex: Option<&str>, excerpt: &str) -> String {
    let mut text = String::new();
    if let Some(step) = state.failed_step(unit, vertex) {
        let _ = writeln!(text, "{RULE}\n > {}:", state.step_name(step));
        for line in step.output.tail(LINES) {
            let output = without_controls(&line.text);
            let _ = writeln!(text, "{} {output}", log_time(line.since_start));
        }
        let _ = writeln!(text, "{RULE}");
    }
    if !excerpt.is_empty() {
        let _ = writeln!(text, "{}", excerpt.trim_end_matches('\n'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::play::{Player, failed, planned, vertex};
    use crate::progress::quiet::Quiet;

    fn player(units: &[(&str, &str)]) -> Player<Quiet> {
        let mut player = Player::new(Quiet);
        player.event(&planned(units)).started(0);
        player.vertex(0, vertex("s1", "[1/2] RUN make", 0, None));
        for number in 1..=12 {
            player
                .at(number * 1_000)
                .log(0, "s1", &format!("line {number}\n"));
        }
        player
            .log(0, "s1", "no \x1b[31mend")
            .vertex(0, failed("s1", "[1/2] RUN make", 0, 13_000));
        player.vertex(0, failed("s2", "[other 1/1] RUN true", 0, 13_000));
        player
    }

    #[test]
    fn the_failed_step_is_shown_with_the_end_of_its_output() {
        let player = player(&[("a", "linux/amd64"), ("b", "linux/arm64")]);
        let excerpt = "Dockerfile:2\n>>> RUN make\n";
        insta::assert_snapshot!(failure(&player.state, UnitId(0), None, excerpt), @r#"
        ------
         > [a · linux/amd64 1/2] RUN make:
        4.000 line 4
        5.000 line 5
        6.000 line 6
        7.000 line 7
        8.000 line 8
        9.000 line 9
        10.00 line 10
        11.00 line 11
        12.00 line 12
        12.00 no end
        ------
        Dockerfile:2
        >>> RUN make
        "#);
    }

    #[test]
    fn the_daemon_knows_best_which_step_it_was() {
        let player = player(&[("a", "linux/amd64")]);
        let text = failure(&player.state, UnitId(0), Some("s2"), "");
        assert_eq!(text, "------\n > [other 1/1] RUN true:\n------\n");
    }

    #[test]
    fn without_a_step_there_is_only_the_place() {
        let state = State::default();
        assert_eq!(
            failure(&state, UnitId(0), None, "Dockerfile:1"),
            "Dockerfile:1\n"
        );
        assert_eq!(failure(&state, UnitId(7), None, ""), "");
    }
}
