//! Why a Docker engine did not do what it was asked: [`EngineError`].

use std::error::Error;
use std::io;

use crate::buildkit::dial::DialError;

/// Why a Docker engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It cannot be reached.
    #[error("no Docker engine is reached at {engine}")]
    Dial {
        /// Its endpoint.
        engine: String,
        /// Why.
        source: Box<DialError>,
    },
    /// The connection broke, or no HTTP came.
    #[error("{engine} does not answer as a Docker engine does")]
    Odd {
        /// Its endpoint.
        engine: String,
        /// What happened.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It refused or failed.
    #[error("the Docker engine at {engine} answers: {message}")]
    Refused {
        /// Its endpoint.
        engine: String,
        /// What it said.
        message: String,
    },
    /// Nothing came or went for too long.
    #[error("nothing came from the Docker engine at {engine} for {seconds} s")]
    Silent {
        /// Its endpoint.
        engine: String,
        /// How long.
        seconds: u64,
    },
    /// The image that is to be loaded cannot be read.
    #[error("cannot read the image that is to be loaded")]
    Read(#[source] io::Error),
}

impl EngineError {
    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dial { source, .. } => source.hint(),
            _ => None,
        }
    }
}
