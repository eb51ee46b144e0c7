//! Counts of instructions, and whether they are still as good as those that were kept.
//!
//! [`Counts`] is one measurement, as text in `instructions.txt`; [`Comparison`] holds a new one
//! against it. Nothing here measures.

mod compare;

use std::collections::BTreeMap;
use std::fmt;

pub use compare::{Comparison, TOLERANCE, Verdict};

/// One measurement of all loops.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// What the counts depend on besides the code, by name: compilers and libraries differ.
    pub with: BTreeMap<String, String>,
    /// Instructions by the loop's name.
    pub loops: BTreeMap<String, u64>,
}

/// Why a text is no measurement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: `{line}` is neither `with NAME VALUE` nor `LOOP COUNT`")]
pub struct ParseError {
    /// The line's number, from 1.
    pub number: usize,
    /// The line.
    pub line: String,
}

impl Counts {
    /// Reads `with NAME VALUE` and `LOOP COUNT`, one a line; empty lines and those that begin
    /// with `#` say nothing.
    ///
    /// # Errors
    ///
    /// When a line has another form, or says a second time what one before it said.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut counts = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if counts.take(line).is_none() {
                let line = line.to_owned();
                return Err(ParseError { number, line });
            }
        }
        Ok(counts)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (name, value) = line.split_once(' ')?;
        let value = value.trim();
        let known = if name == "with" {
            let (name, value) = value.split_once(' ')?;
            self.with
                .insert(name.to_owned(), value.trim().to_owned())
                .is_some()
        } else {
            // Nothing takes no instruction: the function to count was not found.
            let count = value.parse().ok().filter(|count| *count > 0)?;
            self.loops.insert(name.to_owned(), count).is_some()
        };
        (!known).then_some(())
    }
}

/// Prints what parses to the same.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.with {
            writeln!(f, "with {name} {value}")?;
        }
        for (name, count) in &self.loops {
            writeln!(f, "{name:8} {count:>11}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_written_as_it_is_read() {
        let text = "with glibc 2.36\nwith rustc 1.95.0 (5980761 2026-04-14)\n\
                    plan           12345\nwalk       123456789\n";
        let counts = Counts::parse(&format!("# why\n\n{text}")).unwrap();
        assert_eq!(counts.with["rustc"], "1.95.0 (5980761 2026-04-14)");
        assert_eq!(counts.loops["walk"], 123_456_789);
        assert_eq!(counts.to_string(), text);
    }

    #[test]
    fn other_lines_are_refused() {
        fn check(text: &str, number: usize) {
            let error = Counts::parse(text).unwrap_err();
            assert_eq!(error.number, number, "{text}");
        }
        check("walk", 1);
        check("walk many", 1);
        check("walk 1\nplan -2", 2);
        check("walk 0", 1);
        check("walk 1\nwalk 1", 2);
        check("with rustc", 1);
        check("<<<<<<< HEAD", 1);
    }
}
