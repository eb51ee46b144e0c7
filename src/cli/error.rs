//! The errors a user sees: a kind that fixes the exit code, the causes, and what to do.

use std::error::Error;
use std::fmt::Write as _;

use super::exit::Exit;
use crate::causes::causes;

/// A failure on its way to the user.
#[derive(Debug)]
pub struct CliError {
    /// The exit code that it ends with.
    pub exit: Exit,
    /// What failed; its sources follow it.
    pub source: Box<dyn Error + Send + Sync>,
    /// What the user can do, each on a line of its own.
    pub hints: Vec<String>,
}

/// The result of a command: its own exit code, or an error.
pub type CommandResult = Result<Exit, CliError>;

impl CliError {
    /// Makes an error of this kind.
    pub fn new(exit: Exit, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        CliError {
            exit,
            source: source.into(),
            hints: Vec::new(),
        }
    }

    /// Makes an error about the command line.
    pub fn usage(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Usage, source)
    }

    /// Makes an error about the configuration or the builder.
    pub fn config(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Config, source)
    }

    /// Adds something that the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The text for stderr: each cause once, then the hints.
    pub fn render(&self) -> String {
        let mut text = format!("ERROR: {}\n", causes(&*self.source));
        for hint in &self.hints {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {path}")]
    struct Outer {
        path: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn each_cause_is_printed_once_and_hints_follow() {
        let source = std::io::Error::other("disk on fire");
        let error = CliError::usage(Outer { path: "a", source }).hint("buy another disk");
        assert_eq!(
            error.render(),
            "ERROR: cannot read a: disk on fire\nhint: buy another disk\n"
        );
    }

    #[test]
    fn a_cause_that_is_already_in_the_text_is_left_out() {
        let source = std::io::Error::other("a");
        assert_eq!(causes(&Outer { path: "a", source }), "cannot read a");
    }
}
