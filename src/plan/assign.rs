//! Which node builds which platform: native first, the freest of several; platforms with the
//! smallest choice choose first.
//!
//! Pure: it sees only [`NodeInfo`]. What counts as native: the configured platforms of a
//! node; else those of its daemon that are variants of the daemon's first platform's
//! architecture, and `386` on `amd64`. Everything else a daemon lists is emulation.

use crate::node::{NodeInfo, Reported};
use crate::platform::Platform;

use super::PlanError;

/// One platform given to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The platform, normalised.
    pub platform: Platform,
    /// The node's position in the builder.
    pub node: usize,
    /// Whether the node runs the platform's code itself.
    pub match_kind: MatchKind,
}

/// How well a node suits a platform; smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchKind {
    /// The node names this very platform as its own.
    Native,
    /// The node's own platform runs it: `linux/amd64/v3` runs `linux/amd64`.
    Compatible,
    /// The node emulates it.
    Emulated,
}

impl MatchKind {
    /// The reason in one word or two, for the plan.
    pub fn why(self) -> &'static str {
        match self {
            MatchKind::Native => "native",
            MatchKind::Compatible => "native, compatible variant",
            MatchKind::Emulated => "emulated",
        }
    }
}

/// Gives every platform to a node.
///
/// No platform asked for means the first node's own. A platform that no node runs is an
/// error that says what each node offers. The answer is in the order of the request.
pub fn assign(
    requested: &[Platform],
    nodes: &[NodeInfo],
    allow_emulation: bool,
) -> Result<Vec<Assignment>, PlanError> {
    let platforms = match requested {
        [] => vec![own_platform(nodes)?],
        given => distinct(given),
    };
    let mut running: Vec<usize> = nodes.iter().map(|node| node.running).collect();
    // A platform with many nodes must not take the only place of one with few.
    let mut order: Vec<usize> = (0..platforms.len()).collect();
    order.sort_by_cached_key(|&position| choices(&platforms[position], nodes, allow_emulation));
    let mut assignments = Vec::with_capacity(platforms.len());
    for position in order {
        let platform = platforms[position].clone();
        let Some((node, match_kind)) = choose(&platform, nodes, &running, allow_emulation) else {
            return Err(PlanError::no_node(platform, nodes));
        };
        running[node] += 1;
        let assignment = Assignment {
            platform,
            node,
            match_kind,
        };
        assignments.push((position, assignment));
    }
    assignments.sort_by_key(|(position, _)| *position);
    Ok(assignments
        .into_iter()
        .map(|(_, assignment)| assignment)
        .collect())
}

/// Names the nodes whose daemons have to be asked before a plan can be made.
///
/// Those that have no configured platforms; those that share a platform with another, since
/// the freer and living one should have it; and all of them when emulation is allowed and a
/// platform has no native node by configuration.
pub fn to_ask(requested: &[Platform], nodes: &[NodeInfo], allow_emulation: bool) -> Vec<usize> {
    let mut ask: Vec<bool> = nodes
        .iter()
        .map(|node| node.configured.is_empty())
        .collect();
    for platform in distinct(requested) {
        let configured: Vec<usize> = (0..nodes.len())
            .filter(|&node| configured_match(&nodes[node].configured, &platform).is_some())
            .collect();
        if configured.len() > 1 {
            configured.iter().for_each(|&node| ask[node] = true);
        } else if configured.is_empty() && allow_emulation {
            ask.fill(true);
        }
    }
    (0..nodes.len()).filter(|&node| ask[node]).collect()
}

/// How well `node` suits `platform`; `None` when it cannot build it, emulation included.
pub fn suits(node: &NodeInfo, platform: &Platform) -> Option<MatchKind> {
    let configured = configured_match(&node.configured, platform);
    let reported = match &node.reported {
        Reported::Unasked => None,
        // A node that was asked and is dead builds nothing, whatever its configuration says.
        Reported::Failed(_) => return None,
        Reported::Platforms(platforms) if node.configured.is_empty() => {
            reported_match(platforms, platform)
        }
        Reported::Platforms(platforms) => platforms
            .iter()
            .any(|p| &p.normalized() == platform)
            .then_some(MatchKind::Emulated),
    };
    configured.or(reported)
}

/// Counts the nodes that are in question for a platform: emulating ones only without another.
fn choices(platform: &Platform, nodes: &[NodeInfo], allow_emulation: bool) -> usize {
    let kinds = || nodes.iter().filter_map(|node| suits(node, platform));
    let native = kinds().filter(|kind| *kind != MatchKind::Emulated).count();
    match native {
        0 if allow_emulation => kinds().count(),
        native => native,
    }
}

fn choose(
    platform: &Platform,
    nodes: &[NodeInfo],
    running: &[usize],
    allow_emulation: bool,
) -> Option<(usize, MatchKind)> {
    let free = |node: usize| {
        nodes[node]
            .slots
            .map_or(i64::MAX, |slots| slots as i64)
            .saturating_sub(running[node] as i64)
    };
    (0..nodes.len())
        .filter_map(|node| suits(&nodes[node], platform).map(|kind| (node, kind)))
        .filter(|&(_, kind)| kind != MatchKind::Emulated || allow_emulation)
        .min_by_key(|&(node, kind)| {
            // A full native node is still better than an emulating one with room.
            (
                kind == MatchKind::Emulated,
                std::cmp::Reverse(free(node)),
                kind,
                node,
            )
        })
}

fn configured_match(configured: &[Platform], platform: &Platform) -> Option<MatchKind> {
    let own = || configured.iter().map(Platform::normalized);
    if own().any(|p| &p == platform) {
        return Some(MatchKind::Native);
    }
    own()
        .any(|p| p.architecture == platform.architecture && p.rank(platform).is_some())
        .then_some(MatchKind::Compatible)
}

fn reported_match(reported: &[Platform], platform: &Platform) -> Option<MatchKind> {
    let first = reported.first()?.normalized();
    let own_code = |p: &Platform| {
        p.os == first.os
            && (p.architecture == first.architecture
                || (first.architecture == "amd64" && p.architecture == "386"))
    };
    let listed = reported.iter().any(|p| &p.normalized() == platform);
    match (own_code(platform), listed) {
        (true, true) => Some(MatchKind::Native),
        (true, false) => reported
            .iter()
            .map(Platform::normalized)
            .any(|p| {
                own_code(&p)
                    && p.architecture == platform.architecture
                    && p.rank(platform).is_some()
            })
            .then_some(MatchKind::Compatible),
        (false, true) => Some(MatchKind::Emulated),
        (false, false) => None,
    }
}

/// Whether a node that said nothing could build `platform` for all that is known.
pub(super) fn may_suit(node: &NodeInfo, platform: &Platform) -> bool {
    node.configured.is_empty() || configured_match(&node.configured, platform).is_some()
}

fn own_platform(nodes: &[NodeInfo]) -> Result<Platform, PlanError> {
    let first = nodes.first().ok_or(PlanError::NoNodes)?;
    let silent = |why| PlanError::FirstNodeSilent {
        node: first.name.clone(),
        why,
        others: nodes.len() > 1,
    };
    if let Some(platform) = first.configured.first() {
        return Ok(platform.normalized());
    }
    match &first.reported {
        Reported::Platforms(platforms) if !platforms.is_empty() => Ok(platforms[0].normalized()),
        Reported::Failed(why) => Err(silent(format!("cannot be asked: {why}"))),
        _ => Err(silent("lists no platform".to_owned())),
    }
}

fn distinct(platforms: &[Platform]) -> Vec<Platform> {
    let mut distinct: Vec<Platform> = Vec::with_capacity(platforms.len());
    for platform in platforms.iter().map(Platform::normalized) {
        if !distinct.contains(&platform) {
            distinct.push(platform);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::ImageStore;

    fn platforms(text: &str) -> Vec<Platform> {
        text.split_whitespace()
            .map(|p| p.parse().unwrap())
            .collect()
    }

    fn configured(name: &str, list: &str) -> NodeInfo {
        NodeInfo {
            name: name.to_owned(),
            configured: platforms(list),
            reported: Reported::Unasked,
            store: ImageStore::None,
            slots: None,
            running: 0,
        }
    }

    fn asked(name: &str, list: &str) -> NodeInfo {
        let reported = Reported::Platforms(platforms(list));
        NodeInfo {
            configured: vec![],
            reported,
            ..configured(name, "")
        }
    }

    fn dead(node: NodeInfo) -> NodeInfo {
        NodeInfo {
            reported: Reported::Failed("connection refused".to_owned()),
            ..node
        }
    }

    /// Each line of `expect`: platform, node, why.
    fn check(requested: &str, nodes: &[NodeInfo], emulate: bool, expect: &[&str]) {
        let got: Vec<String> = match assign(&platforms(requested), nodes, emulate) {
            Ok(list) => list
                .iter()
                .map(|a| {
                    format!(
                        "{} {} {}",
                        a.platform,
                        nodes[a.node].name,
                        a.match_kind.why()
                    )
                })
                .collect(),
            Err(error) => vec![format!("error: {error}")],
        };
        assert_eq!(got, expect);
    }

    const AMD: &str = "linux/amd64 linux/amd64/v2 linux/386 linux/arm64 linux/riscv64";
    const ARM: &str = "linux/arm64 linux/arm/v7 linux/arm/v6 linux/amd64";

    #[test]
    fn amd64_and_arm64_land_on_their_native_nodes() {
        let nodes = [asked("x", AMD), asked("a", ARM)];
        check(
            "linux/amd64 linux/arm64",
            &nodes,
            false,
            &["linux/amd64 x native", "linux/arm64 a native"],
        );
        check(
            "linux/arm64 linux/amd64",
            &nodes,
            true,
            &["linux/arm64 a native", "linux/amd64 x native"],
        );
    }

    #[test]
    fn i386_is_native_on_amd64_and_arm_v7_is_emulation_on_arm64() {
        let nodes = [asked("x", AMD), asked("a", ARM)];
        check("linux/386", &nodes, false, &["linux/386 x native"]);
        check("linux/arm/v7", &nodes, true, &["linux/arm/v7 a emulated"]);
        check(
            "linux/arm/v7",
            &[configured("a", "linux/arm64 linux/arm/v7")],
            false,
            &["linux/arm/v7 a native"],
        );
    }

    #[test]
    fn a_platform_listed_only_through_emulation_is_refused_with_what_nodes_offer() {
        let nodes = [asked("x", AMD)];
        let error = assign(&platforms("linux/arm64"), &nodes, false).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("linux/arm64") && text.contains("x"), "{text}");
        let hint = error.hint().unwrap();
        for way in [
            "--allow-emulation",
            "MBUILD_ALLOW_EMULATION=1",
            "allow_emulation = true",
        ] {
            assert!(hint.contains(way), "{hint}");
        }
        check("linux/arm64", &nodes, true, &["linux/arm64 x emulated"]);
    }

    #[test]
    fn no_platform_means_the_first_nodes_own() {
        check(
            "",
            &[asked("a", ARM), asked("x", AMD)],
            false,
            &["linux/arm64 a native"],
        );
        check(
            "",
            &[configured("a", "linux/arm64")],
            false,
            &["linux/arm64 a native"],
        );
        check(
            "",
            &[dead(asked("a", "")), asked("x", AMD)],
            false,
            &[
                "error: node a, whose own platform would be built, cannot be asked: \
               connection refused",
            ],
        );
        check("", &[], false, &["error: the builder has no nodes"]);
    }

    #[test]
    fn a_dead_node_is_the_reason_only_where_it_could_have_built() {
        let check = |requested: &str, nodes: &[NodeInfo], unreachable, hint: Option<&str>| {
            let error = assign(&platforms(requested), nodes, false).unwrap_err();
            assert_eq!(error.is_unreachable(), unreachable, "{error}");
            let said = error.hint();
            assert_eq!(said.is_some(), hint.is_some(), "{said:?}");
            assert!(said.unwrap_or_default().contains(hint.unwrap_or_default()));
            if unreachable {
                assert!(error.to_string().contains("connection refused"), "{error}");
            }
        };
        let unknown = dead(configured("n", ""));
        let amd = dead(configured("x", "linux/amd64"));
        check("", std::slice::from_ref(&unknown), true, None);
        check(
            "",
            &[unknown.clone(), asked("x", AMD)],
            true,
            Some("--platform"),
        );
        check(
            "linux/s390x",
            &[asked("x", AMD), unknown.clone()],
            true,
            None,
        );
        check("linux/amd64", std::slice::from_ref(&amd), true, None);
        check("linux/s390x", &[amd], false, Some("add a node"));
        check("linux/s390x", &[asked("x", AMD)], false, Some("add a node"));
    }

    #[test]
    fn several_nodes_share_platforms_by_free_slots() {
        let one = NodeInfo {
            slots: Some(1),
            ..asked("one", AMD)
        };
        let two = NodeInfo {
            slots: Some(2),
            ..asked("two", AMD)
        };
        check(
            "linux/amd64 linux/386 linux/amd64/v2",
            &[one.clone(), two.clone()],
            false,
            &[
                "linux/amd64 two native",
                "linux/386 one native",
                "linux/amd64/v2 two native",
            ],
        );
        let busy = NodeInfo { running: 2, ..two };
        check(
            "linux/amd64",
            &[busy, one],
            false,
            &["linux/amd64 one native"],
        );
    }

    #[test]
    fn a_platform_with_one_node_chooses_before_one_with_several() {
        let slot = |node| NodeInfo {
            slots: Some(1),
            ..node
        };
        let nodes = [
            slot(configured("s1", "linux/amd64 linux/386")),
            slot(configured("s2", "linux/amd64")),
        ];
        check(
            "linux/amd64 linux/386",
            &nodes,
            false,
            &["linux/amd64 s2 native", "linux/386 s1 native"],
        );
        // A node that would emulate is no choice while a native one lives.
        let nodes = [slot(asked("x", AMD)), slot(asked("a", ARM))];
        check(
            "linux/amd64 linux/arm64 linux/arm/v7",
            &nodes,
            true,
            &[
                "linux/amd64 x native",
                "linux/arm64 a native",
                "linux/arm/v7 a emulated",
            ],
        );
    }

    #[test]
    fn a_dead_node_is_passed_over_for_a_living_one() {
        let nodes = [dead(configured("old", "linux/amd64")), asked("new", AMD)];
        check("linux/amd64", &nodes, false, &["linux/amd64 new native"]);
    }

    #[test]
    fn variants_run_on_a_node_of_a_higher_one() {
        check(
            "linux/amd64",
            &[configured("x", "linux/amd64/v3")],
            false,
            &["linux/amd64 x native, compatible variant"],
        );
        check(
            "linux/386",
            &[configured("x", "linux/amd64")],
            false,
            &["error: no node builds linux/386: node x offers linux/amd64"],
        );
    }

    #[test]
    fn a_platform_named_twice_is_built_once() {
        check(
            "linux/amd64 linux/x86_64",
            &[asked("x", AMD)],
            false,
            &["linux/amd64 x native"],
        );
    }

    #[test]
    fn only_nodes_whose_answer_matters_are_asked() {
        let nodes = [
            configured("x", "linux/amd64"),
            configured("a", "linux/arm64"),
        ];
        let ask = |requested: &str, nodes: &[NodeInfo], emulate| {
            to_ask(&platforms(requested), nodes, emulate)
        };
        assert!(ask("linux/amd64 linux/arm64", &nodes, true).is_empty());
        assert!(ask("linux/riscv64", &nodes, false).is_empty());
        assert_eq!(ask("linux/riscv64", &nodes, true), [0, 1]);
        let twins = [
            configured("x", "linux/amd64"),
            configured("y", "linux/amd64"),
        ];
        assert_eq!(ask("linux/amd64", &twins, false), [0, 1]);
        assert_eq!(
            ask("linux/amd64", &[nodes[0].clone(), asked("n", "")], false),
            [1]
        );
    }
}
