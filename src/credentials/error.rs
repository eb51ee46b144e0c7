//! Why credentials could not be read. No message repeats file content or a helper's
//! answer: both may hold secrets.

use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A failure to find out what is known about a host.
///
/// Cloneable because one look-up may serve several daemons that ask at once.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CredentialError {
    /// The file exists and cannot be read.
    #[error("cannot read credentials from {place}")]
    Read {
        /// The file.
        place: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The text is not a docker configuration.
    #[error("{place} is not a docker configuration (line {line}, column {column})")]
    Parse {
        /// The file, or the name of the variable.
        place: String,
        /// Where it stops making sense, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// An entry's `auth` is not base64 of `user:password`.
    #[error("the entry of {host} in {place} is not base64 of user:password")]
    Decode {
        /// The host.
        host: String,
        /// The file, or the name of the variable.
        place: String,
    },
    /// A helper's name could lead outside `PATH`.
    #[error("{place} names a credential helper with a path: {helper:?}")]
    HelperName {
        /// The file, or the name of the variable.
        place: String,
        /// The name as written.
        helper: String,
    },
    /// The helper could not be started.
    #[error("cannot run {helper}, which {place} names for {host}")]
    HelperStart {
        /// The program.
        helper: String,
        /// The host.
        host: String,
        /// The file, or the name of the variable.
        place: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The helper did not answer in time; it has been killed.
    #[error("{helper} gave no credentials for {host} within {} s", limit.as_secs())]
    HelperTimeout {
        /// The program.
        helper: String,
        /// The host.
        host: String,
        /// How long it had.
        limit: Duration,
    },
    /// The helper refused.
    #[error("{helper} failed for {host}: {message}")]
    HelperFailed {
        /// The program.
        helper: String,
        /// The host.
        host: String,
        /// The first line of what it said, shortened; or its exit status.
        message: String,
    },
    /// The helper succeeded and its answer is not one.
    #[error("{helper} answered for {host} with something that is not a credential")]
    HelperAnswer {
        /// The program.
        helper: String,
        /// The host.
        host: String,
    },
}

impl CredentialError {
    /// What the user can do about it, if we know.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Decode { host, .. } => Some(format!("run `docker login {host}` again")),
            Self::HelperStart { helper, .. } => Some(format!(
                "install {helper}, or remove it from the configuration"
            )),
            Self::HelperTimeout { helper, host, .. } => {
                Some(format!("see what it waits for: echo {host} | {helper} get"))
            }
            _ => None,
        }
    }
}
