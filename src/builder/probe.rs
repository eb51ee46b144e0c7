//! Asks nodes what they are, all at once and not for long; [`Probed`] keeps what came back.
//!
//! A node that fails is data, never an error of the whole. Connections stay open for the
//! run that follows, which has one for each daemon.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::Node;
use super::open::{Answer, OpenError, Wanted};
use crate::buildkit::info::DaemonInfo;
use crate::causes::causes;
use crate::node::{ImageStore, NodeInfo, Reported};

/// How long all nodes together may take to answer. People wait for the plan; a node that is
/// slower than this can be given its platforms by configuration, and is then not asked.
pub const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// A node that was asked.
#[derive(Debug)]
pub struct Probed {
    /// What the planner may know of it.
    pub info: NodeInfo,
    /// Its answer, or why there is none.
    pub outcome: Result<Answer, OpenError>,
}

/// Asks nodes all at once; answers come in the nodes' order, within [`PROBE_LIMIT`].
///
/// `key` is the project's, for nodes with several daemons; empty where none will build.
pub async fn probe<'a>(nodes: impl IntoIterator<Item = &'a Node>, key: &str) -> Vec<Probed> {
    let deadline = Instant::now() + PROBE_LIMIT;
    let nodes = nodes.into_iter();
    join_all(nodes.map(|node| probe_node(node, key, deadline))).await
}

async fn probe_node(node: &Node, key: &str, deadline: Instant) -> Probed {
    let wanted = Wanted {
        key,
        wait: deadline.saturating_duration_since(Instant::now()),
        may_start: false,
        avoid: &[],
        tell: Box::new(|_| ()),
    };
    let outcome = match timeout_at(deadline, node.open(&wanted)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(OpenError::Late(PROBE_LIMIT)),
    };
    Probed {
        info: info(node, &outcome),
        outcome,
    }
}

fn info(node: &Node, outcome: &Result<Answer, OpenError>) -> NodeInfo {
    let (reported, running) = match outcome {
        Ok(answer) => {
            let worker = answer.connection.info().default_worker();
            let platforms = worker
                .map(|worker| worker.platforms.clone())
                .unwrap_or_default();
            (Reported::Platforms(platforms), answer.running.unwrap_or(0))
        }
        Err(error) => (Reported::Failed(causes(error)), 0),
    };
    let plain = node.info();
    let store = match outcome {
        Ok(answer) => store(answer.connection.info()),
        Err(_) => plain.store,
    };
    NodeInfo {
        reported,
        running,
        store,
        ..plain
    }
}

fn store(daemon: &DaemonInfo) -> ImageStore {
    match (daemon.is_docker(), daemon.containerd_store()) {
        (false, _) => ImageStore::None,
        (true, false) => ImageStore::Classic,
        (true, true) => ImageStore::Containerd,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::super::spec::NodeSpec;
    use super::*;
    use crate::buildkit::endpoint::Endpoint;
    use crate::platform::Platform;

    fn node(name: &str, socket: &Path) -> Node {
        let platforms = vec![Platform::new("linux", "amd64")];
        let spec = NodeSpec::new(name, Endpoint::Unix(socket.to_owned()));
        let slots = Some(2);
        let spec = NodeSpec {
            platforms,
            slots,
            ..spec
        };
        Node::new(spec, &crate::config::Env::new())
    }

    fn failure(probed: &Probed) -> &str {
        match &probed.info.reported {
            Reported::Failed(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn dead_nodes_are_data() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone.sock");
        drop(UnixListener::bind(&gone).unwrap());
        let nodes = [
            node("absent", &dir.path().join("no.sock")),
            node("gone", &gone),
        ];
        let probed = probe(&nodes, "").await;
        assert_eq!(probed[0].info.name, "absent");
        assert!(
            failure(&probed[0]).contains("No such file"),
            "{}",
            failure(&probed[0])
        );
        assert!(
            failure(&probed[1]).contains("refused"),
            "{}",
            failure(&probed[1])
        );
        assert_eq!(probed[1].info.configured, [Platform::new("linux", "amd64")]);
        assert_eq!((probed[1].info.slots, probed[1].info.running), (Some(2), 0));
        assert!(matches!(probed[1].outcome, Err(OpenError::Connect(_))));
    }

    /// Accepts connections and says nothing: as a stopped process does.
    #[tokio::test(start_paused = true)]
    async fn frozen_nodes_end_together_in_five_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("frozen.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        let nodes: Vec<Node> = (0..3)
            .map(|n| node(&format!("frozen{n}"), &socket))
            .collect();
        let start = Instant::now();
        let probed = probe(&nodes, "").await;
        assert!(start.elapsed() <= PROBE_LIMIT + Duration::from_millis(100));
        for probed in &probed {
            assert_eq!(failure(probed), "no answer within 5 s");
            assert!(matches!(probed.outcome, Err(OpenError::Late(_))));
        }
    }

    #[tokio::test]
    async fn a_peer_that_is_no_daemon_is_data_too() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("odd.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest).await);
        });
        let probed = probe(&[node("odd", &socket)], "").await;
        server.await.unwrap();
        assert!(
            failure(&probed[0]).contains("HTTP/1"),
            "{}",
            failure(&probed[0])
        );
    }
}
