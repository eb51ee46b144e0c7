//! Where a question is asked that stands in place of a build: one node, whose processor does not
//! matter, since nothing is run.

use super::PlanError;
use super::assign::{Assignment, MatchKind, assign};
use crate::node::{NodeInfo, Reported};
use crate::platform::Platform;

/// Chooses the node: the one that would build the first platform, or else any that is there.
pub(super) fn choose(requested: &[Platform], nodes: &[NodeInfo]) -> Result<Assignment, PlanError> {
    let first = &requested[..requested.len().min(1)];
    let refused = match assign(first, nodes, true) {
        Ok(assignments) => match assignments.into_iter().next() {
            Some(assignment) => return Ok(assignment),
            None => PlanError::NoNodes,
        },
        Err(error) => error,
    };
    let alive = |node: &NodeInfo| !matches!(node.reported, Reported::Failed(_));
    match (first, nodes.iter().position(alive)) {
        ([platform], Some(node)) => Ok(Assignment {
            platform: platform.normalized(),
            node,
            match_kind: MatchKind::Emulated,
        }),
        _ => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, platform: &str) -> NodeInfo {
        NodeInfo {
            name: name.to_owned(),
            configured: vec![platform.parse().unwrap()],
            reported: Reported::Unasked,
            store: crate::node::ImageStore::None,
            slots: None,
            running: 0,
        }
    }

    fn check(requested: &[&str], nodes: &[NodeInfo], expect: Option<&str>) {
        let requested: Vec<Platform> = requested.iter().map(|p| p.parse().unwrap()).collect();
        let got = choose(&requested, nodes).ok();
        let got = got.map(|chosen| format!("{} on {}", chosen.platform, nodes[chosen.node].name));
        assert_eq!(got.as_deref(), expect, "{requested:?}");
    }

    #[test]
    fn one_node_answers_and_any_will_do() {
        let nodes = [node("x", "linux/amd64"), node("a", "linux/arm64")];
        check(&[], &nodes, Some("linux/amd64 on x"));
        check(
            &["linux/arm64", "linux/amd64"],
            &nodes,
            Some("linux/arm64 on a"),
        );
        check(&["linux/s390x"], &nodes, Some("linux/s390x on x"));
        check(&["linux/s390x"], &[], None);
    }

    #[test]
    fn a_dead_node_is_not_asked() {
        let dead = NodeInfo {
            reported: Reported::Failed("connection refused".to_owned()),
            ..node("x", "linux/amd64")
        };
        let alive = node("a", "linux/arm64");
        check(
            &["linux/amd64"],
            &[dead.clone(), alive],
            Some("linux/amd64 on a"),
        );
        check(&["linux/amd64"], &[dead], None);
    }
}
