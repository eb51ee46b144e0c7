//! The ignore-file dialect: which paths a list of patterns selects.
//!
//! The daemon sends patterns and relies on the client to apply them as moby/patternmatcher
//! does, so the behaviour, oddities included, is that library's. Nothing here touches a file
//! system; paths and patterns are bytes because file names are.

mod automaton;
mod charset;
mod clean;
mod dialect;
mod glob;
mod ignorefile;
mod pattern;
mod regex_text;
mod runes;

pub use clean::{clean, join};
pub use glob::Glob;
pub use ignorefile::parse_ignore_file;
pub use pattern::{MatchState, Pattern, PatternError, PatternSet};
