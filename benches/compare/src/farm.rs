//! The daemons as the clients see them: [`Farm`] gives every node an endpoint.
//!
//! A BuildKit inside a Docker engine is reached over a bridge, by all clients alike, since
//! buildx has no builder of two engines.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bridge::{Bridge, Upstream};
use crate::error::Error;
use crate::flow::Flow;
use crate::row::Nodes;

/// Endpoints for every kind of builder.
#[derive(Debug)]
pub(crate) struct Farm {
    two: [String; 2],
    eight: Vec<String>,
    far: String,
    /// What passes over the link.
    pub(crate) flow: Arc<Flow>,
    /// Where the link listens when it is there.
    pub(crate) link: PathBuf,
    /// What the daemons are.
    pub(crate) kind: &'static str,
}

impl Farm {
    /// Listens below `work`; `daemons` are two endpoints.
    pub(crate) fn new(work: &Path, daemons: &[String; 2]) -> Result<Self, Error> {
        let upstream = |at: usize| daemons[at % 2].parse::<Upstream>();
        let mut two = daemons.clone();
        for (at, endpoint) in two.iter_mut().enumerate() {
            if let engine @ Upstream::Engine(_) = upstream(at)? {
                let path = work.join(format!("node{at}.sock"));
                *endpoint = Bridge::unix(&path, engine)?.endpoint;
            }
        }
        let eight: Result<Vec<String>, Error> = (0..Nodes::Eight.platforms().len())
            .map(|at| {
                let path = work.join(format!("eight{at}.sock"));
                Ok(Bridge::unix(&path, upstream(at)?)?.endpoint)
            })
            .collect();
        let link = work.join("link.sock");
        let far = Bridge::unix(&work.join("far.sock"), Upstream::Unix(link.clone()))?;
        let kind = match upstream(0)? {
            Upstream::Engine(_) => "Docker engine",
            Upstream::Unix(_) | Upstream::Tcp(_) => "buildkitd",
        };
        Ok(Self {
            two,
            eight: eight?,
            far: far.endpoint,
            flow: far.flow,
            link,
            kind,
        })
    }

    /// The endpoints of a builder, one for each of its platforms.
    pub(crate) fn endpoints(&self, nodes: Nodes) -> &[String] {
        match nodes {
            Nodes::Two => &self.two,
            Nodes::One => &self.two[..1],
            Nodes::Eight => &self.eight,
            Nodes::Far => std::slice::from_ref(&self.far),
        }
    }
}
