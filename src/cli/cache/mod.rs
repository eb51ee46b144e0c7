//! `mbuild du` and `mbuild prune`: what the caches of all daemons hold, and freeing it.

mod du;
mod filter;
mod prune;
mod row;

pub(super) use du::{DuArgs, du};
pub(super) use prune::{PruneArgs, prune};
