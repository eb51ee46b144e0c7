//! Which display is asked for and which one is possible.
//!
//! [`choose`] decides from values alone; reading flags, variables and the terminal is cli's.

use std::fmt;
use std::str::FromStr;

use super::colors::Colors;

/// The values of `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// `tty` on a terminal, `plain` elsewhere.
    #[default]
    Auto,
    /// A live table.
    Tty,
    /// Lines that stay.
    Plain,
    /// Nothing; cli prints the digest.
    Quiet,
    /// Nothing, and no digest either.
    None,
    /// One JSON object per batch of progress.
    RawJson,
}

/// Each mode and its name, in the order in which help lists them.
const NAMES: [(&str, Mode); 6] = [
    ("auto", Mode::Auto),
    ("none", Mode::None),
    ("plain", Mode::Plain),
    ("quiet", Mode::Quiet),
    ("rawjson", Mode::RawJson),
    ("tty", Mode::Tty),
];

/// Why no display can be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// There is no such mode.
    #[error(
        "unknown progress mode `{0}`: use one of {known}",
        known = NAMES.map(|(name, _)| name).join(", ")
    )]
    Unknown(String),
    /// The table was asked for, but stderr is a file or a pipe.
    #[error("progress mode `tty` needs a terminal as stderr: use `plain` or `auto`")]
    NoTerminal,
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let known = NAMES.iter().find(|(name, _)| *name == text);
        known
            .map(|(_, mode)| *mode)
            .ok_or_else(|| ModeError::Unknown(text.to_owned()))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES
            .iter()
            .find(|(_, mode)| mode == self)
            .map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// How progress will look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Display {
    /// How; never [`Mode::Auto`].
    pub mode: Mode,
    /// The colours; `None` where escape sequences for them may not be written.
    pub colors: Option<Colors>,
}

/// Chooses the display.
///
/// `asked` is the flag's value, or that of `BUILDKIT_PROGRESS` when the flag says `auto`;
/// `no_color` says whether `NO_COLOR` is set and not empty; `term` is `TERM`.
///
/// # Errors
/// When `tty` is asked for and stderr is no terminal.
pub fn choose(
    asked: Mode,
    stderr_is_terminal: bool,
    no_color: bool,
    term: Option<&str>,
) -> Result<Display, ModeError> {
    let can_move_cursor = term.is_none_or(|term| !term.is_empty() && term != "dumb");
    let mode = match asked {
        Mode::Auto if stderr_is_terminal && can_move_cursor => Mode::Tty,
        Mode::Auto => Mode::Plain,
        Mode::Tty if !stderr_is_terminal => return Err(ModeError::NoTerminal),
        other => other,
    };
    Ok(Display {
        mode,
        colors: (stderr_is_terminal && can_move_cursor && !no_color).then(Colors::default),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (name, mode) in NAMES {
            assert_eq!(name.parse(), Ok(mode));
            assert_eq!(mode.to_string(), name);
        }
        assert_eq!(
            "fancy".parse::<Mode>().unwrap_err().to_string(),
            "unknown progress mode `fancy`: use one of auto, none, plain, quiet, rawjson, tty",
        );
    }

    #[test]
    fn auto_is_a_table_only_where_one_can_be_drawn() {
        let auto = |terminal, term| choose(Mode::Auto, terminal, false, term).unwrap().mode;
        assert_eq!(auto(true, Some("xterm")), Mode::Tty);
        assert_eq!(auto(true, None), Mode::Tty);
        assert_eq!(auto(true, Some("dumb")), Mode::Plain);
        assert_eq!(auto(false, Some("xterm")), Mode::Plain);
    }

    #[test]
    fn a_table_in_a_file_is_refused() {
        assert_eq!(
            choose(Mode::Tty, false, false, None),
            Err(ModeError::NoTerminal)
        );
        assert_eq!(
            choose(Mode::Tty, true, false, Some("dumb")).unwrap().mode,
            Mode::Tty
        );
    }

    #[test]
    fn colour_needs_a_terminal_and_no_objection() {
        let color = |terminal, no_color| {
            choose(Mode::Plain, terminal, no_color, None)
                .unwrap()
                .colors
                .is_some()
        };
        assert!(color(true, false));
        assert!(!color(true, true));
        assert!(!color(false, false));
    }
}
