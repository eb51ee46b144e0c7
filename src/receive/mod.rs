//! Receives what a daemon sends to the client's disk: a tree by fsutil's packets, or one file.
//!
//! The daemon counts as hostile. [`Listing`] decides what a tree may contain, [`Receiver`] keeps
//! the protocol's order, and a [`TreeSink`] writes beneath a directory handle; [`Transfer`] joins
//! them. Nothing here knows gRPC, or where the result goes in the end.

mod append;
mod attributes;
mod backlog;
mod beneath;
mod entry;
mod error;
mod file;
mod listing;
mod open;
mod receiver;
mod sink;
mod transfer;
mod waiting;
mod writer;

pub use attributes::set_directory;
pub use beneath::open_beneath;
pub use entry::{Entry, Kind, Xattrs};
pub use error::{ReceiveError, Refusal, WriteError, shown};
pub use file::FileSink;
pub use listing::Listing;
pub use receiver::{Incoming, Job, Packet, Receiver, Step};
pub use sink::{Directory, TreeSink, TreeState};
pub use transfer::{Progress, Reply, Transfer};
