//! From the last frame to the next: the escape sequences that replace a table.
//!
//! Each frame is one text, marked as a whole for terminals that know synchronized output,
//! so that nobody sees half of it.

use std::fmt::Write as _;

use console::measure_text_width;

/// Sequences around a frame: hold the screen, and don't wrap lines, whose width a terminal
/// may measure in another way than we do.
const BEGIN: &str = "\x1b[?2026h";
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const END: &str = "\x1b[?2026l";

const ERASE_LINE_END: &str = "\x1b[K";
const ERASE_BELOW: &str = "\x1b[J";

/// The lines on the screen.
#[derive(Debug, Default)]
pub(super) struct Frame {
    lines: Vec<String>,
}

impl Frame {
    /// Says whether these lines are on the screen.
    pub(super) fn shows(&self, lines: &[String]) -> bool {
        self.lines == lines
    }

    /// Replaces the frame: first `above`, which stays for good, then `lines`. `width` is that
    /// of the terminal now.
    pub(super) fn replace(
        &mut self,
        above: &[String],
        lines: Vec<String>,
        width: usize,
        out: &mut String,
    ) {
        out.push_str(BEGIN);
        self.go_back(width, out);
        if !above.is_empty() {
            out.push_str(ERASE_BELOW);
        }
        for line in above {
            let _ = writeln!(out, "{line}");
        }
        out.push_str(NO_WRAP);
        for line in &lines {
            let _ = writeln!(out, "{line}{ERASE_LINE_END}");
        }
        let _ = write!(out, "{ERASE_BELOW}{WRAP}{END}");
        self.lines = lines;
    }

    /// Moves the cursor to the frame's first line.
    ///
    /// Terminals break lines anew when they become narrower, so a line may have become several.
    fn go_back(&self, width: usize, out: &mut String) {
        let rows = |line: &String| measure_text_width(line).div_ceil(width.max(1)).max(1);
        let count: usize = self.lines.iter().map(rows).sum();
        if count > 0 {
            let _ = write!(out, "\x1b[{count}A\r");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(frame: &mut Frame, above: &[&str], lines: &[&str], width: usize) -> String {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut out = String::new();
        frame.replace(&owned(above), owned(lines), width, &mut out);
        out.replace('\x1b', "^")
    }

    #[test]
    fn a_frame_replaces_the_one_before() {
        let mut frame = Frame::default();
        let first = replace(&mut frame, &[], &["one", "two"], 80);
        assert_eq!(first, "^[?2026h^[?7lone^[K\ntwo^[K\n^[J^[?7h^[?2026l");
        let second = replace(&mut frame, &["note"], &["three"], 80);
        assert_eq!(
            second,
            "^[?2026h^[2A\r^[Jnote\n^[?7lthree^[K\n^[J^[?7h^[?2026l"
        );
    }

    #[test]
    fn lines_that_broke_in_a_narrower_terminal_are_counted() {
        let mut frame = Frame::default();
        replace(
            &mut frame,
            &[],
            &["0123456789", "", "\x1b[31m01\x1b[0m"],
            10,
        );
        assert!(replace(&mut frame, &[], &[], 4).contains("^[5A\r"));
        assert!(!replace(&mut frame, &[], &[], 0).contains('A'));
    }
}
