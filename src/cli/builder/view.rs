//! What is shown of a builder, gathered from its definition and its nodes' answers.
//!
//! Also the form of `--json`: members are added over time, never renamed.

use futures_util::future::join_all;
use serde::Serialize;

use crate::builder::{self, BuilderSpec, Node, NodeSpec, Probed, Reach};
use crate::platform::Platform;

/// A builder as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct BuilderView {
    /// Its name.
    pub(super) name: String,
    /// Whether it is the one that is used when none is named on the command line.
    pub(super) current: bool,
    /// Where it is defined, or what led to it.
    pub(super) origin: String,
    /// Its nodes; empty when it is broken.
    pub(super) nodes: Vec<NodeView>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// A pod of a node as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PodView {
    /// Its name.
    pub(super) name: String,
    /// The cluster's node that it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    /// `ready` or `not ready`.
    pub(super) status: &'static str,
    /// Its daemon's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    /// How many builds run there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) builds: Option<usize>,
    /// The size of its cache, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache: Option<u64>,
    /// Why it is not ready, or does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<String>,
}

/// A node as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct NodeView {
    /// Its name.
    pub(super) name: String,
    /// Where its daemon is.
    pub(super) endpoint: String,
    /// What the configuration says it builds; empty means what the daemon says.
    pub(super) configured: Vec<String>,
    /// How many builds it takes at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) slots: Option<usize>,
    /// Whether the connection is TLS.
    pub(super) tls: bool,
    /// `running` or `failed`.
    pub(super) status: &'static str,
    /// The daemon's version, as it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    /// Whether it is the BuildKit of a Docker engine; absent when nobody answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) docker: Option<bool>,
    /// What the daemon says it builds, emulation included.
    pub(super) platforms: Vec<String>,
    /// How many builds run there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) builds: Option<usize>,
    /// Its pods, where it has pods and each was looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) pods: Vec<PodView>,
    /// Why it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// What can be done about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

impl BuilderView {
    /// Shows a definition and what came back from its nodes, in the same order.
    pub(super) fn new(spec: &BuilderSpec, current: bool, probed: &[Probed]) -> Self {
        let nodes = spec.nodes.iter().zip(probed);
        Self {
            name: spec.name.clone(),
            current,
            origin: spec.origin.to_string(),
            nodes: nodes
                .map(|(spec, probed)| NodeView::new(spec, probed))
                .collect(),
            error: None,
        }
    }

    /// Shows a builder that cannot be used.
    pub(super) fn broken(name: String, current: bool, origin: &str, error: String) -> Self {
        let origin = origin.to_owned();
        Self {
            name,
            current,
            origin,
            nodes: Vec::new(),
            error: Some(error),
        }
    }
}

impl BuilderView {
    /// Adds what is known of each node's pods.
    pub(super) async fn with_pods(mut self, nodes: &[Node]) -> Self {
        let looks = join_all(nodes.iter().map(Node::inspect)).await;
        for (view, look) in self.nodes.iter_mut().zip(looks) {
            if let Ok(Some(pods)) = look {
                view.pods = pods.into_iter().map(PodView::new).collect();
                let builds = view.pods.iter().filter_map(|pod| pod.builds);
                view.builds = view.builds.map(|_| builds.sum());
            }
        }
        self
    }
}

impl PodView {
    fn new(pod: builder::PodView) -> Self {
        Self {
            status: if pod.is_ready { "ready" } else { "not ready" },
            name: pod.name,
            host: pod.host,
            version: pod.version,
            builds: pod.builds,
            cache: pod.cache,
            trouble: pod.trouble,
        }
    }
}

impl NodeView {
    fn new(spec: &NodeSpec, probed: &Probed) -> Self {
        let texts = |platforms: &[Platform]| platforms.iter().map(Platform::to_string).collect();
        let mut view = Self {
            name: spec.name.clone(),
            endpoint: spec.reach.to_string(),
            configured: texts(&spec.platforms),
            slots: spec.slots,
            tls: match &spec.reach {
                Reach::Endpoint { tls, .. } => tls.is_some(),
                Reach::Pods(pool) => pool.tls.is_some(),
            },
            status: "failed",
            version: None,
            docker: None,
            platforms: Vec::new(),
            builds: None,
            pods: Vec::new(),
            error: None,
            hint: None,
        };
        match &probed.outcome {
            Ok(answer) => {
                let daemon = answer.connection.info();
                view.status = "running";
                view.version.clone_from(&daemon.version);
                view.docker = Some(daemon.is_docker());
                view.builds = answer.running;
                let worker = daemon.default_worker();
                view.platforms = worker.map(|w| texts(&w.platforms)).unwrap_or_default();
            }
            Err(error) => {
                view.error = Some(crate::causes::causes(error));
                view.hint = error.hint();
            }
        }
        view
    }
}

/// A process that is nobody's, with everything it writes below `home`.
#[cfg(test)]
pub(super) fn test_app(home: &std::path::Path) -> super::super::app::App {
    let home_text = home.to_str().unwrap_or_default().to_owned();
    super::super::app::App {
        env: [("HOME".to_owned(), home_text)].into(),
        cwd: home.to_owned(),
        stderr_is_terminal: false,
        stdout_is_terminal: false,
        stdin_is_terminal: false,
        global: super::super::app::Global::default(),
        notes: crate::progress::NoteWriter::default(),
    }
}
