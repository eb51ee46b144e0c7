//! Everything a build can report while it runs.
//!
//! One channel carries [`Event`]s from the units to the one place that prints. The types
//! hold plain data: what a daemon said, already decoded and free of wire quirks.

use std::fmt;

use jiff::Timestamp;

use crate::platform::Platform;

/// Names one unit of a running build: its position in the plan, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(pub usize);

/// Says where a unit runs, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitLabel {
    /// The unit that is described.
    pub unit: UnitId,
    /// The platform that it builds; `None` when the daemon's own platform is meant.
    pub platform: Option<Platform>,
    /// The node's name.
    pub node: String,
    /// The daemon behind the node, when the node has more than one; `None` otherwise.
    pub instance: Option<String>,
}

impl UnitLabel {
    /// The platform as text, or `default` where the daemon chooses it.
    pub fn platform_name(&self) -> String {
        self.platform
            .as_ref()
            .map_or_else(|| "default".to_owned(), Platform::to_string)
    }
}

impl fmt::Display for UnitLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.platform_name(), self.node)?;
        match &self.instance {
            Some(instance) => write!(f, " ({instance})"),
            None => Ok(()),
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The plan is made; comes first and once.
    Planned(Vec<UnitLabel>),
    /// A unit waits before it can start: for a free slot, or for its daemon.
    UnitWaiting {
        /// The unit that waits.
        unit: UnitId,
        /// What it waits for, as a phrase: `a free slot on amd64`.
        reason: String,
    },
    /// A unit has begun to talk to its daemon.
    UnitStarted {
        /// The unit that started.
        unit: UnitId,
        /// The daemon behind the node, when the node has more than one.
        instance: Option<String>,
        /// When, by the client's clock.
        at: Timestamp,
    },
    /// The daemon reported progress.
    Status {
        /// The unit whose daemon speaks.
        unit: UnitId,
        /// What it said.
        update: StatusUpdate,
    },
    /// Bytes moved between the client and a daemon since the last such event.
    Transfer {
        /// The unit whose session moved them.
        unit: UnitId,
        /// To the daemon, in bytes.
        sent: u64,
        /// From the daemon, in bytes.
        received: u64,
    },
    /// A unit ended.
    UnitFinished {
        /// The unit that ended.
        unit: UnitId,
        /// When, by the client's clock.
        at: Timestamp,
        /// How.
        end: UnitEnd,
    },
    /// A step that the client itself takes after the units, such as writing a tag.
    Client(ClientStep),
    /// Something the user should know that does not end the build.
    Warning(String),
    /// A line for whoever asked for more, such as one of `-v`'s log.
    Note(String),
}

/// How a unit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitEnd {
    /// It built and delivered.
    Done,
    /// It failed; the text is the error's first line.
    Failed(String),
    /// It was stopped because another unit failed or the user asked.
    Cancelled,
}

/// A step of the client's own: merging, publishing, moving files into place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientStep {
    /// The step's identity, equal in its start and its end.
    pub name: String,
    /// `None` while it runs, then how it ended.
    pub end: Option<Result<(), String>>,
}

/// A batch of progress from one daemon.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatusUpdate {
    /// Steps that appeared or changed; each record replaces the one before.
    pub vertexes: Vec<Vertex>,
    /// Progress within steps.
    pub statuses: Vec<VertexStatus>,
    /// Output of steps.
    pub logs: Vec<VertexLog>,
    /// Warnings about the Dockerfile.
    pub warnings: Vec<VertexWarning>,
}

/// One step of a build as its daemon sees it.
///
/// A digest is derived from content: two daemons use the same one, so only the pair of
/// unit and digest names a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vertex {
    /// `sha256:…` of the step's definition.
    pub digest: String,
    /// Digests of the steps it needs.
    pub inputs: Vec<String>,
    /// Its name, such as `[2/5] RUN make`.
    pub name: String,
    /// Whether its result came from the cache.
    pub cached: bool,
    /// When it started; `None` in a record that only announces it.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// Why it failed; empty when it did not.
    pub error: String,
    /// The group that it is shown as part of.
    pub group: Option<ProgressGroup>,
}

/// Steps that are shown as one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgressGroup {
    /// Identity of the group.
    pub id: String,
    /// The line's text.
    pub name: String,
    /// Whether the group stays hidden while only such members run.
    pub weak: bool,
}

/// Progress within a step, such as one layer's download.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VertexStatus {
    /// Identity within the step.
    pub id: String,
    /// Digest of the step.
    pub vertex: String,
    /// What is being done: `transferring`, `extracting`.
    pub name: String,
    /// How much is done, mostly in bytes.
    pub current: i64,
    /// Out of how much; 0 means unknown.
    pub total: i64,
    /// When this was said.
    pub timestamp: Option<Timestamp>,
    /// When the work started.
    pub started: Option<Timestamp>,
    /// When the work ended.
    pub completed: Option<Timestamp>,
}

/// A piece of a step's output; pieces end anywhere, also inside a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VertexLog {
    /// Digest of the step.
    pub vertex: String,
    /// When it was written.
    pub timestamp: Option<Timestamp>,
    /// 1 for stdout, 2 for stderr.
    pub stream: i64,
    /// The bytes.
    pub data: bytes::Bytes,
}

/// A warning about the Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VertexWarning {
    /// Digest of the step.
    pub vertex: String,
    /// Severity; 1 is usual.
    pub level: i64,
    /// One line.
    pub short: String,
    /// More lines.
    pub detail: Vec<String>,
    /// Where to read more; empty when nowhere.
    pub url: String,
    /// What part of which file; `None` when unknown.
    pub source: Option<SourceExcerpt>,
}

/// A file and the ranges in it that something is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceExcerpt {
    /// Name of the file, such as `Dockerfile`.
    pub filename: String,
    /// What it is written in, such as `Dockerfile`; empty when the daemon does not say.
    pub language: String,
    /// The whole file.
    pub data: bytes::Bytes,
    /// First and last line of each range, from 1.
    pub lines: Vec<(u32, u32)>,
}
