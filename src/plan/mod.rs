//! Decides what is built where and how the results become one.
//!
//! [`plan`] is pure: a [`BuildRequest`] and what is known of the nodes go in, a
//! [`BuildPlan`] comes out. Nothing here is asynchronous and nothing talks to anybody.

mod annotations;
pub mod assign;
mod cache;
mod output;
mod question;

use std::collections::BTreeMap;

use crate::event::UnitId;
use crate::node::{EngineInfo, NodeInfo, Reported};
use crate::platform::Platform;
use crate::request::BuildRequest;
use crate::unit::{BuildUnit, MergeStep, UnitCaches, UnitExport};

pub use assign::{Assignment, MatchKind, to_ask};

/// Everything that was decided about a build before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPlan {
    /// The units, in the order of the platforms asked for.
    pub units: Vec<BuildUnit>,
    /// What the client does when all of them succeeded, in this order.
    pub merge: Vec<MergeStep>,
    /// What the user should know beforehand.
    pub warnings: Vec<String>,
}

/// Why a build cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to build on.
    #[error("the builder has no nodes")]
    NoNodes,
    /// No platform was asked for and the node that decides did not say what it is.
    #[error("node {node}, whose own platform would be built, {why}")]
    FirstNodeSilent {
        /// The node's name.
        node: String,
        /// Why it did not, as the end of the sentence.
        why: String,
        /// Whether the builder has other nodes, which a platform would lead to.
        others: bool,
    },
    /// Nobody builds this platform.
    #[error(transparent)]
    NoNode(#[from] Box<NoNode>),
    /// A Docker engine's store has room for one platform under a name.
    #[error(
        "the Docker engine at {engine} has the classic image store, which holds one platform \
         under a name, and {platforms} were asked for"
    )]
    ClassicStore {
        /// The node, or the engine's endpoint.
        engine: String,
        /// How many platforms.
        platforms: usize,
    },
    /// A cache that makes no sense with these platforms.
    #[error("{flag} {value}: {problem}")]
    Cache {
        /// The flag, with its dashes.
        flag: &'static str,
        /// Its value, without secrets.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An output that makes no sense, or not with these platforms.
    #[error("--output type={kind}: {problem}")]
    Output {
        /// The output's type.
        kind: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// No node builds a platform that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no node builds {platform}: {offers}")]
pub struct NoNode {
    /// The platform.
    pub platform: Platform,
    /// What each node offers, as a list in words.
    pub offers: String,
    /// A node that would build it by emulation.
    pub emulating: Option<String>,
    /// Whether a node that did not answer may be the one that builds it.
    pub silent_may_build: bool,
}

impl PlanError {
    fn no_node(platform: Platform, nodes: &[NodeInfo]) -> Self {
        let emulating = nodes
            .iter()
            .find(|node| assign::suits(node, &platform) == Some(MatchKind::Emulated))
            .map(|node| node.name.clone());
        let silent_may_build = nodes.iter().any(|node| {
            matches!(node.reported, Reported::Failed(_)) && assign::may_suit(node, &platform)
        });
        let offers = nodes.iter().map(offer).collect::<Vec<_>>().join("; ");
        let error = NoNode {
            platform,
            offers,
            emulating,
            silent_may_build,
        };
        PlanError::NoNode(Box::new(error))
    }

    /// Whether nodes that cannot be reached are the reason, and not what was asked for.
    pub fn is_unreachable(&self) -> bool {
        match self {
            PlanError::FirstNodeSilent { .. } => true,
            PlanError::NoNode(error) => error.silent_may_build,
            PlanError::NoNodes
            | PlanError::Cache { .. }
            | PlanError::Output { .. }
            | PlanError::ClassicStore { .. } => false,
        }
    }

    /// What the user can do about it; `None` when the message says it all.
    pub fn hint(&self) -> Option<String> {
        match self {
            PlanError::NoNode(error) => error.hint(),
            PlanError::FirstNodeSilent { others, .. } => others.then(|| {
                "name the platform with --platform, and another node may build it".to_owned()
            }),
            PlanError::NoNodes => Some("add one with `mbuild builder create`".to_owned()),
            PlanError::ClassicStore { .. } => Some(
                "load the image of this machine with `--platform local`, or push all of them; \
                 an engine with `\"features\": {\"containerd-snapshotter\": true}` in its \
                 daemon.json takes all of them"
                    .to_owned(),
            ),
            PlanError::Cache { .. } | PlanError::Output { .. } => None,
        }
    }
}

impl NoNode {
    fn hint(&self) -> Option<String> {
        let platform = &self.platform;
        if let Some(node) = &self.emulating {
            return Some(format!(
                "node {node} can emulate {platform}, which is several times slower: allow it with \
                 --allow-emulation, MBUILD_ALLOW_EMULATION=1 or `allow_emulation = true` in \
                 mbuild.toml, or give the node that runs it natively `platforms = [\"{platform}\"]`"
            ));
        }
        // Otherwise the message says which node to look after.
        (!self.silent_may_build)
            .then(|| format!("add a node for {platform} to the builder, or leave the platform out"))
    }
}

/// Makes the plan of a build on these nodes.
///
/// `engines` are those that outputs load their images into, by the output's position.
pub fn plan(
    request: &BuildRequest,
    nodes: &[NodeInfo],
    engines: &BTreeMap<usize, EngineInfo>,
) -> Result<BuildPlan, PlanError> {
    if request.call.is_some() {
        let chosen = question::choose(&request.platforms, nodes)?;
        return Ok(BuildPlan {
            units: vec![unit(0, &chosen, nodes, Vec::new())],
            merge: Vec::new(),
            warnings: Vec::new(),
        });
    }
    let assignments = assign::assign(&request.platforms, nodes, request.allow_emulation)?;
    let placed: Vec<&NodeInfo> = assignments
        .iter()
        .map(|assignment| &nodes[assignment.node])
        .collect();
    let outputs = output::plan_outputs(request, &placed, engines)?;
    let platforms: Vec<Platform> = assignments
        .iter()
        .map(|assignment| assignment.platform.clone())
        .collect();
    let caches = cache::caches(request, &platforms)?;
    let units = assignments
        .iter()
        .zip(caches)
        .enumerate()
        .map(|(position, (assignment, caches))| {
            let exports = outputs.exports_for(&assignment.platform, &nodes[assignment.node].name);
            BuildUnit {
                caches,
                ..unit(position, assignment, nodes, exports)
            }
        })
        .collect::<Vec<_>>();
    let mut warnings = outputs.warnings;
    warnings.extend(silent_nodes(nodes));
    Ok(BuildPlan {
        units,
        merge: outputs.merge,
        warnings,
    })
}

fn unit(
    position: usize,
    assignment: &Assignment,
    nodes: &[NodeInfo],
    exports: Vec<UnitExport>,
) -> BuildUnit {
    BuildUnit {
        id: UnitId(position),
        platform: assignment.platform.clone(),
        node: nodes[assignment.node].name.clone(),
        why: assignment.match_kind.why().to_owned(),
        exports,
        caches: UnitCaches::default(),
    }
}

fn silent_nodes(nodes: &[NodeInfo]) -> impl Iterator<Item = String> {
    nodes.iter().filter_map(|node| match &node.reported {
        Reported::Failed(why) => Some(format!(
            "node {} did not answer and is left out: {why}",
            node.name
        )),
        _ => None,
    })
}

fn offer(node: &NodeInfo) -> String {
    let join = |platforms: &[Platform]| {
        platforms
            .iter()
            .map(Platform::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (&node.configured[..], &node.reported) {
        (_, Reported::Failed(why)) => format!("node {} did not answer: {why}", node.name),
        ([], Reported::Platforms(list)) => {
            let (native, emulated): (Vec<_>, Vec<_>) = list
                .iter()
                .cloned()
                .partition(|p| assign::suits(node, &p.normalized()) != Some(MatchKind::Emulated));
            match emulated.is_empty() {
                true => format!("node {} offers {}", node.name, join(&native)),
                false => format!(
                    "node {} offers {} and emulates {}",
                    node.name,
                    join(&native),
                    join(&emulated)
                ),
            }
        }
        ([], Reported::Unasked) => format!("node {} was not asked", node.name),
        (configured, _) => format!("node {} offers {}", node.name, join(configured)),
    }
}
