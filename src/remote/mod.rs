//! What the client itself asks of the network about a build's files: which commit a Git ref
//! is now ([`git`]), and a Dockerfile's text ([`download`]).
//!
//! Daemons fetch contexts; nothing here does.

pub mod auth;
pub mod download;
pub mod git;

mod refs;

pub use auth::authorization;
pub use download::{DownloadError, download};
pub use git::{Asking, GitAskError, commit};
