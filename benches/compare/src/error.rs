//! Why a measurement stopped: [`Error`], and [`Context`] to say what was tried.

use std::error::Error as StdError;

/// What ended the run, or one row of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file, a socket or a process.
    #[error("{what}")]
    Failed {
        what: String,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A measured command said no; `tail` is the end of its output.
    #[error("{line} ended with {how}:\n{tail}")]
    Command {
        line: String,
        how: String,
        tail: String,
    },
    /// Something given or found is not what it should be.
    #[error("{0}")]
    Wrong(String),
}

impl Error {
    /// The error with its causes, as one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// Says what was tried when it failed.
pub(crate) trait Context<T> {
    /// # Errors
    /// The same error with these words before it.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: StdError + Send + Sync + 'static> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Failed {
            what: what(),
            source: Box::new(source),
        })
    }
}
