//! The command line: the only layer that prints, exits and looks at the process.

pub mod app;
pub mod build;
pub mod error;
pub mod exit;
mod words;
