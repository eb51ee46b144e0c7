//! Builders as text: a table for `ls`, paragraphs for `inspect`. Pure.
//!
//! Names of fields are buildx's, since scripts look for them.

use std::fmt::Write as _;

use super::super::table::align;
use super::view::{BuilderView, NodeView, PodView};
use crate::builder::DEFAULT_BUILDER;
use crate::progress::bytes;

/// How many platforms are listed where the list is cut.
const SHORT_LIST: usize = 4;
const HEADER: [&str; 5] = ["NAME/NODE", "ENDPOINT", "STATUS", "BUILDKIT", "PLATFORMS"];

/// Whether long lists are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// After the first few.
    Short,
    /// Never.
    Full,
}

/// Writes one line for each builder and each of its nodes.
pub(super) fn table(builders: &[BuilderView], width: Width) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for builder in builders {
        let mark = if builder.current { "*" } else { "" };
        let status = match &builder.error {
            Some(_) if builder.name == DEFAULT_BUILDER => "none found",
            Some(_) => "broken",
            None => "",
        };
        let name = format!("{}{mark}", builder.name);
        rows.push([
            name,
            String::new(),
            status.to_owned(),
            String::new(),
            String::new(),
        ]);
        rows.extend(builder.nodes.iter().map(|node| row(node, width)));
    }
    align(&rows)
}

fn row(node: &NodeView, width: Width) -> [String; 5] {
    let version = match (&node.version, node.error.is_some()) {
        (Some(version), _) => version.clone(),
        (None, false) => "unknown".to_owned(),
        (None, true) => String::new(),
    };
    [
        format!(" \\_ {}", node.name),
        node.endpoint.clone(),
        node.status.to_owned(),
        version,
        platforms(node, width),
    ]
}

/// Lists platforms, those that are configured first and marked.
fn platforms(node: &NodeView, width: Width) -> String {
    let configured = node
        .configured
        .iter()
        .map(|platform| format!("{platform}*"));
    let others = node
        .platforms
        .iter()
        .filter(|platform| !node.configured.contains(platform));
    let mut all: Vec<String> = configured.chain(others.cloned()).collect();
    let more = all.len().saturating_sub(SHORT_LIST);
    if width == Width::Short && more > 0 {
        all.truncate(SHORT_LIST);
        return format!("{} (+{more})", all.join(", "));
    }
    all.join(", ")
}

/// Writes why builders and nodes cannot be used, one line each; for stderr.
pub(super) fn problems(builders: &[BuilderView]) -> Vec<String> {
    let mut lines = Vec::new();
    for builder in builders {
        lines.extend(
            builder
                .error
                .iter()
                .map(|error| format!("{}: {error}", builder.name)),
        );
        for node in &builder.nodes {
            let error = node.error.iter();
            lines.extend(error.map(|error| format!("{}/{}: {error}", builder.name, node.name)));
        }
    }
    lines
}

/// Writes all there is to say of a builder.
pub(super) fn details(builder: &BuilderView) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        let name = format!("{name}:");
        let _ = writeln!(text, "{name:<18}{value}");
    };
    let mark = if builder.current { " (in use)" } else { "" };
    field("Name", &format!("{}{mark}", builder.name));
    field("Defined by", &builder.origin);
    if let Some(error) = &builder.error {
        field("Error", error);
    }
    text.push_str("\nNodes:\n");
    for (position, node) in builder.nodes.iter().enumerate() {
        if position > 0 {
            text.push('\n');
        }
        node_details(&mut text, node);
    }
    text
}

fn node_details(text: &mut String, node: &NodeView) {
    let mut field = |name: &str, value: &str| {
        let name = format!("{name}:");
        let _ = writeln!(text, "{name:<18}{value}");
    };
    field("Name", &node.name);
    field("Endpoint", &node.endpoint);
    if node.tls {
        field("TLS", "yes");
    }
    if let Some(slots) = node.slots {
        field("Slots", &slots.to_string());
    }
    field("Status", node.status);
    match (&node.error, &node.hint) {
        (Some(error), hint) => {
            field("Error", error);
            hint.iter().for_each(|hint| field("Hint", hint));
        }
        (None, _) => {
            let kind = if node.docker == Some(true) {
                " (in a Docker engine)"
            } else {
                ""
            };
            let version = node.version.as_deref().unwrap_or("unknown");
            field("BuildKit version", &format!("{version}{kind}"));
            if let Some(builds) = node.builds {
                field("Builds running", &builds.to_string());
            }
        }
    }
    field("Platforms", &platforms(node, Width::Full));
    for pod in &node.pods {
        field("Pod", &pod_details(pod));
    }
}

/// One line: the name, then what is known.
fn pod_details(pod: &PodView) -> String {
    let host = pod.host.as_ref().map(|host| format!("on {host}"));
    let version = pod
        .version
        .as_ref()
        .map(|version| format!("BuildKit {version}"));
    let builds = pod.builds.map(|builds| format!("{builds} running"));
    let cache = pod
        .cache
        .map(|size| format!("cache {}", bytes(size, 1, " ")));
    let known = [
        Some(pod.status.to_owned()),
        host,
        version,
        builds,
        cache,
        pod.trouble.clone(),
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    format!("{}: {}", pod.name, known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeView {
        NodeView {
            name: name.into(),
            endpoint: "tcp://10.0.0.5:1234".into(),
            configured: Vec::new(),
            slots: None,
            tls: false,
            status: "running",
            version: Some("v0.25.0".into()),
            docker: Some(false),
            platforms: Vec::new(),
            builds: Some(1),
            pods: Vec::new(),
            error: None,
            hint: None,
        }
    }

    fn texts(list: &str) -> Vec<String> {
        list.split_whitespace().map(str::to_owned).collect()
    }

    fn farm() -> BuilderView {
        let amd64 = NodeView {
            platforms: texts("linux/amd64 linux/amd64/v2 linux/amd64/v3 linux/386 linux/arm64"),
            ..node("amd64")
        };
        let arm64 = NodeView {
            configured: texts("linux/arm64"),
            slots: Some(2),
            tls: true,
            status: "failed",
            version: None,
            docker: None,
            builds: None,
            error: Some("cannot connect to tcp://10.0.0.6:1234: connection refused".into()),
            hint: Some("is the daemon running?".into()),
            ..node("arm64")
        };
        BuilderView {
            name: "farm".into(),
            current: true,
            origin: "/etc/mbuild.toml".into(),
            nodes: vec![amd64, arm64],
            error: None,
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_node() {
        let odd = BuilderView::broken("odd".into(), false, "/s/odd.toml", "it is odd".into());
        insta::assert_snapshot!(table(&[farm(), odd], Width::Short), @r"
        NAME/NODE   ENDPOINT              STATUS    BUILDKIT   PLATFORMS
        farm*
         \_ amd64   tcp://10.0.0.5:1234   running   v0.25.0    linux/amd64, linux/amd64/v2, linux/amd64/v3, linux/386 (+1)
         \_ arm64   tcp://10.0.0.5:1234   failed               linux/arm64*
        odd                               broken
        ");
    }

    #[test]
    fn problems_name_builder_and_node() {
        let odd = BuilderView::broken("odd".into(), false, "/s/odd.toml", "it is odd".into());
        assert_eq!(
            problems(&[farm(), odd]),
            [
                "farm/arm64: cannot connect to tcp://10.0.0.6:1234: connection refused",
                "odd: it is odd",
            ]
        );
    }

    #[test]
    fn the_details_leave_nothing_out() {
        insta::assert_snapshot!(details(&farm()), @r"
        Name:             farm (in use)
        Defined by:       /etc/mbuild.toml

        Nodes:
        Name:             amd64
        Endpoint:         tcp://10.0.0.5:1234
        Status:           running
        BuildKit version: v0.25.0
        Builds running:   1
        Platforms:        linux/amd64, linux/amd64/v2, linux/amd64/v3, linux/386, linux/arm64

        Name:             arm64
        Endpoint:         tcp://10.0.0.5:1234
        TLS:              yes
        Slots:            2
        Status:           failed
        Error:            cannot connect to tcp://10.0.0.6:1234: connection refused
        Hint:             is the daemon running?
        Platforms:        linux/arm64*
        ");
    }
}
