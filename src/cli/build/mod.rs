//! `mbuild build`: from flags to a digest.

mod args;
mod resolve;
mod source;
mod stdin;

pub use args::BuildArgs;
