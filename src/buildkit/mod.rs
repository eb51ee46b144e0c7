//! The BuildKit client: reach a daemon, ask it, let it build, follow what it does.
//!
//! [`Connection`] is one connection to one daemon for one run; it never reconnects. What a
//! user wants is not known here: builds come as `SolveSpec`s, progress leaves as events.

mod ask;
pub mod caps;
mod connect_error;
mod connection;
pub mod dial;
pub mod endpoint;
mod error;
mod error_details;
pub mod excerpt;
mod gateway;
mod gathered;
pub mod history;
pub mod info;
pub mod io;
mod needs;
mod once;
pub mod pipe;
pub mod session;
mod solve;
mod status;
pub mod usage;
mod watched;

pub use ask::AskError;
pub use connect_error::{ConnectError, OpenSessionError};
pub use connection::{Connection, Opening, SILENCE_LIMIT};
pub use error::{SolveError, SolveErrorKind};
pub use error_details::{ErrorDetails, Missing};
pub use solve::{CacheSpec, ExporterSpec, SolveOutput, SolveSpec};
pub use status::FollowError;
pub use watched::Watched;
