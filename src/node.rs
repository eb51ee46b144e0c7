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
    /// What keeps images that are built there.
    pub store: ImageStore,
    /// How many builds it takes at once; `None` means no limit.
    pub slots: Option<usize>,
    /// How many builds it runs now; 0 where it was not asked.
    pub running: usize,
}

/// What keeps the images that a daemon builds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ImageStore {
    /// Nothing that the user sees: it is no Docker engine.
    #[default]
    None,
    /// A Docker engine, which was not asked what it has.
    Engine,
    /// A Docker engine's own store, with images of one platform.
    Classic,
    /// A Docker engine with containerd's store, which takes whole indexes.
    Containerd,
}

impl ImageStore {
    /// Whether it is a Docker engine's.
    pub fn is_engine(self) -> bool {
        self != ImageStore::None
    }
}

/// A Docker engine that images are loaded into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// Its endpoint, for messages.
    pub name: String,
    /// What it keeps images in.
    pub store: ImageStore,
    /// The builder's node that it is; `None` when it is none of them.
    pub node: Option<String>,
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
