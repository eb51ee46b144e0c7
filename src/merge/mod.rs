//! Puts the results of several units together, once all of them succeeded.
//!
//! `registry` publishes what the daemons pushed; `archive` makes one image of the archives they
//! sent, `tars` one tar of theirs; `local` moves trees into the user's directory and `file` a
//! file into its place; `stage` holds both until then. Nothing here talks to a daemon.

mod annotate;
pub mod archive;
mod collide;
mod entries;
mod error;
pub mod file;
pub mod local;
mod place;
pub mod registry;
mod split;
pub mod stage;
pub mod tars;

pub use annotate::annotate;
pub use error::{Difference, MergeError, Moved, StageError};
