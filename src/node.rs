//! What the planner may know of a node.

use crate::platform::Platform;

/// One node as it is configured and as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node's name, unique in its builder.
    pub name: String,
    /// What it can build, or why that is not known.
    pub offer: Offer,
    /// How many builds it takes at once; `None` means no limit.
    pub slots: Option<usize>,
}

/// What a node offers to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// The configuration says so; the daemon was not asked.
    Configured(Vec<Platform>),
    /// The daemon said so: its workers' platforms in its own order, the first being native.
    Reported(Vec<Platform>),
    /// It did not answer in time; the text says why.
    Unknown(String),
}
