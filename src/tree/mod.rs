//! A directory as the daemon gets to see it.
//!
//! `ContextTree` reads each directory below its root at most once, when the first view comes
//! to it, and keeps a compact record of every entry: a context is walked once however many
//! nodes ask for it, all of them see the same files, and what every view excludes is never
//! read. A `View` is one transfer's selection, in the order the daemon insists on. All calls
//! block; they belong on threads that may.

mod beneath;
mod error;
mod follow;
mod listing;
mod read;
mod selection;
mod snapshot;
mod staged;
mod stat;
#[cfg(test)]
mod tests;
mod view;
mod xattr;

pub use error::TreeError;
pub use listing::Handle;
pub use selection::Filter;
pub use snapshot::{ContextTree, Hidden};
pub use stat::Stat;
pub use view::{Entry, View};
