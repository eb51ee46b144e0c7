//! What the client itself asks of the network about a build's files: which commit a Git ref
//! is now ([`git`]), and files of the web that all nodes must get alike ([`download()`]).
//!
//! Repositories are fetched by daemons; nothing here does that.

pub mod auth;
pub mod download;
pub mod git;

mod refs;

pub use auth::authorization;
pub use download::{DownloadError, download, download_to};
pub use git::{Asking, Found, GitAskError, commit, is_dirty};
