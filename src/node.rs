//! What the planner may know of a node.

use crate::platform::Platform;

/// One node as it is configured and as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node's name, unique in its builder.
    pub name: String,
    /// The platforms that the configuration gives it; empty means that its daemon says.
    pub configured: Vec<Platform>,
    /// What its daemon said.
    pub reported: Reported,
    /// How many builds it takes at once; `None` means no limit.
    pub slots: Option<usize>,
    /// How many builds it runs now; 0 where it was not asked.
    pub running: usize,
}

/// A daemon's own word on the platforms it builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// It was not asked, since the configuration says enough.
    Unasked,
    /// Its workers' platforms in its own order; the first one is native.
    Platforms(Vec<Platform>),
    /// It did not answer in time, or with an error; the text says why.
    Failed(String),
}
