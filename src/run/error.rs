//! Why a build could not start, why a unit failed, and why a result was not delivered.

use std::io;
use std::path::PathBuf;

use crate::builder::OpenError;
use crate::buildkit::session::IdError;
use crate::buildkit::{OpenSessionError, SolveError, SolveErrorKind};
use crate::engine::EngineError;
use crate::merge::registry::{PublishError, PushedError};
use crate::merge::{MergeError, StageError};
use crate::registry::RegistryError;
use crate::tree::TreeError;

use super::frontend::NoGateway;

/// Why nothing could be started.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The context or the Dockerfile's directory cannot be read.
    #[error("cannot read the build's files")]
    Context(#[source] TreeError),
    /// A registry cannot be reached, or does not let the user push.
    #[error("nothing was built, since the result could not be pushed")]
    Registry(#[source] RegistryError),
    /// A destination cannot be written.
    #[error("nothing was built, since the result could not be written")]
    Destination(#[source] StageError),
    /// A cache is to be written below something that is no directory.
    #[error("nothing was built, since the cache could not be written: {} is no directory", .0.display())]
    Cache(PathBuf),
    /// No temporary file can be made.
    #[error("cannot make a temporary file")]
    Temp(#[source] io::Error),
    /// The system gives no random numbers.
    #[error(transparent)]
    Random(#[from] IdError),
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// A task of ours died.
    #[error("a task ended unexpectedly")]
    Task(#[source] tokio::task::JoinError),
}

/// Why a unit failed.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// No daemon of the node was reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The daemon is gone, and its cluster knows why.
    #[error("{text}")]
    Died {
        /// What became of it.
        text: String,
        /// How it showed.
        source: Box<UnitError>,
    },
    /// The daemon did not take the session.
    #[error(transparent)]
    Session(#[from] OpenSessionError),
    /// The session's services could not be set up.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The daemon refused or failed the build, or was lost while it ran.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// What the daemon sent could not be written on this machine.
    #[error("cannot keep what was built: {0}")]
    Write(String),
    /// A cache could not be written on this machine.
    #[error("cannot keep the cache: {0}")]
    Cache(String),
    /// The daemon said that it succeeded, and did not send everything.
    #[error("{endpoint} finished without sending the whole result")]
    Incomplete {
        /// The daemon's endpoint.
        endpoint: String,
    },
    /// The daemon cannot do what was asked.
    #[error("{endpoint} {lack}")]
    Lacks {
        /// The daemon's endpoint.
        endpoint: String,
        /// What it lacks, as a predicate.
        lack: String,
    },
    /// `host-gateway` means nothing to this daemon.
    #[error(transparent)]
    Gateway(#[from] NoGateway),
    /// Another unit failed, or the user stopped the build.
    #[error("cancelled")]
    Cancelled,
    /// A task of ours died.
    #[error("a task ended unexpectedly")]
    Task(#[source] tokio::task::JoinError),
}

impl UnitError {
    /// Whether the unit was stopped rather than failed.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, UnitError::Cancelled)
    }

    /// Whether the daemon or the way to it was lost, so that another one might succeed.
    pub fn is_infrastructure(&self) -> bool {
        match self {
            UnitError::Open(error) => error.is_infrastructure(),
            UnitError::Died { .. } => true,
            UnitError::Session(_) => true,
            UnitError::Solve(error) => error.kind == SolveErrorKind::Lost,
            _ => false,
        }
    }
}

/// Why a result was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// A unit's answer says nothing usable of what it pushed.
    #[error(transparent)]
    Pushed(#[from] PushedError),
    /// The image was not published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The image was not loaded.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It is not known which engine the image is for.
    #[error("it is not known which Docker engine is meant")]
    NoEngine,
    /// The files were not moved into place.
    #[error(transparent)]
    Local(#[from] MergeError),
    /// Left undone because something before it failed.
    #[error("not delivered, since another output failed")]
    Skipped,
    /// A task of ours died.
    #[error("a task ended unexpectedly")]
    Task(#[source] tokio::task::JoinError),
}
