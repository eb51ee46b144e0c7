//! What comes of an old definition and of what was said of nodes: [`apply`]. Pure.

use super::super::super::error::CliError;
use super::super::node_flags::{NodeChange, NodeError};
use super::super::store_error;
use crate::builder::{BuilderSpec, Origin, StoreError};
use crate::config::is_name;

/// What is done with the nodes that were described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They make a new builder, or change nodes of an old one.
    Create,
    /// They are added to what there is.
    Append,
    /// They are removed.
    Leave,
}

/// Why there is no new definition.
#[derive(Debug, thiserror::Error)]
pub(super) enum CreateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("`{}` cannot name a node", .0.escape_debug())]
    NodeName(String),
    #[error("builder `{builder}` has no node `{node}`")]
    NoNode { builder: String, node: String },
    #[error("two nodes are named `{0}`")]
    Twins(String),
    #[error("node `{node}` is the only one of builder `{builder}`")]
    LastNode { builder: String, node: String },
    #[error("nothing was said about builder `{0}`: name an endpoint")]
    NoNodes(String),
}

impl CreateError {
    pub(super) fn into_cli(self) -> CliError {
        let hint = match &self {
            Self::NoNode { .. } => Some("add it with --append".to_owned()),
            Self::LastNode { builder, .. } => Some(format!("mbuild builder rm {builder}")),
            Self::NoNodes(_) => Some("such as --endpoint tcp://10.0.0.5:1234".to_owned()),
            _ => None,
        };
        match self {
            Self::Store(error) => store_error(error),
            error => hint
                .into_iter()
                .fold(CliError::usage(error), CliError::hint),
        }
    }
}

/// Makes the new definition of the old one, if there is one, and of what was said.
pub(super) fn apply(
    name: &str,
    old: Option<BuilderSpec>,
    changes: Vec<NodeChange>,
    mode: Mode,
) -> Result<BuilderSpec, CreateError> {
    let is_new = old.is_none();
    let new = || BuilderSpec {
        name: name.to_owned(),
        nodes: Vec::new(),
        origin: Origin::New,
    };
    let mut spec = old.unwrap_or_else(new);
    if changes.is_empty() {
        return Err(if is_new {
            CreateError::NoNodes(name.to_owned())
        } else {
            StoreError::Exists(name.to_owned()).into()
        });
    }
    let no_node = |node: String| CreateError::NoNode {
        builder: name.to_owned(),
        node,
    };
    let mut touched: Vec<String> = Vec::new();
    for change in changes {
        let node_name = match (&change.name, mode) {
            (Some(node), _) => node.clone(),
            // Without a node's name it is a new builder that is meant.
            (None, Mode::Create) if !is_new => return Err(StoreError::Exists(name.into()).into()),
            (None, _) => free_node_name(&spec),
        };
        if !is_name(&node_name) {
            return Err(CreateError::NodeName(node_name));
        }
        let position = spec.nodes.iter().position(|node| node.name == node_name);
        match (position, mode) {
            (Some(_), Mode::Leave) if spec.nodes.len() == 1 => {
                return Err(CreateError::LastNode {
                    builder: name.into(),
                    node: node_name,
                });
            }
            (Some(at), Mode::Leave) => drop(spec.nodes.remove(at)),
            (Some(_), _) if touched.contains(&node_name) => {
                return Err(CreateError::Twins(node_name));
            }
            (Some(at), _) => change.apply(&mut spec.nodes[at])?,
            (None, Mode::Append) => spec.nodes.push(change.into_node(node_name.clone())?),
            (None, Mode::Create) if is_new => {
                spec.nodes.push(change.into_node(node_name.clone())?);
            }
            (None, _) => return Err(no_node(node_name)),
        }
        touched.push(node_name);
    }
    Ok(spec)
}

/// Numbers nodes as buildx does: the builder's name, then 0, 1, 2 and so on.
fn free_node_name(spec: &BuilderSpec) -> String {
    let taken = |name: &String| spec.nodes.iter().any(|node| node.name == *name);
    let mut names = (0..=spec.nodes.len()).map(|n| format!("{}{n}", spec.name));
    names.find(|name| !taken(name)).unwrap_or_default()
}
