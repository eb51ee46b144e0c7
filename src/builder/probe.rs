//! Asks nodes what they are, all at once and not for long; [`Probed`] keeps what came back.
//!
//! A node that fails is data, never an error of the whole. Connections stay open for the
//! run that follows, which has one for each daemon.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::Node;
use super::driver::{DriverError, Instance};
use crate::buildkit::{ConnectError, Connection, history};
use crate::causes::causes;
use crate::node::{NodeInfo, Reported};

/// How long all nodes together may take to answer. People wait for the plan; a node that is
/// slower than this can be given its platforms by configuration, and is then not asked.
pub const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// A node that was asked.
#[derive(Debug)]
pub struct Probed {
    /// What the planner may know of it.
    pub info: NodeInfo,
    /// Its answer, or why there is none.
    pub outcome: Result<Answer, ProbeError>,
}

/// A node's answer.
#[derive(Clone)]
pub struct Answer {
    /// The daemon that answered.
    pub instance: Instance,
    /// The connection to it; its `info` is what the daemon said of itself.
    pub connection: Connection,
    /// How many builds it runs; `None` where it does not say.
    pub running: Option<usize>,
}

/// Why a node did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Its daemons could not be listed or reached.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// It has no daemon now.
    #[error("it has no daemon")]
    NoInstance,
    /// Its daemon could not be reached, or is none.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
}

impl ProbeError {
    /// Says what the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connect(error) => error.hint(),
            Self::Driver(_) | Self::NoInstance | Self::Late(_) => None,
        }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("instance", &self.instance)
            .field("endpoint", &self.connection.endpoint())
            .field("running", &self.running)
            .finish()
    }
}

/// Asks nodes all at once; answers come in the nodes' order, within [`PROBE_LIMIT`].
pub async fn probe<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Vec<Probed> {
    let deadline = Instant::now() + PROBE_LIMIT;
    join_all(nodes.into_iter().map(|node| probe_node(node, deadline))).await
}

async fn probe_node(node: &Node, deadline: Instant) -> Probed {
    let outcome = match timeout_at(deadline, open(node)).await {
        Ok(Ok((instance, connection))) => {
            // What is still missing only helps to choose among nodes: the rest of the time
            // is enough for it, and no answer is no failure.
            let running = timeout_at(deadline, history::running_builds(&connection)).await;
            let running = running.ok().flatten();
            Ok(Answer {
                instance,
                connection,
                running,
            })
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ProbeError::Late(PROBE_LIMIT)),
    };
    Probed {
        info: info(node, &outcome),
        outcome,
    }
}

async fn open(node: &Node) -> Result<(Instance, Connection), ProbeError> {
    let instance = node
        .instances()
        .await?
        .into_iter()
        .next()
        .ok_or(ProbeError::NoInstance)?;
    let connection = Connection::open(node.dialer(&instance)?).await?;
    Ok((instance, connection))
}

fn info(node: &Node, outcome: &Result<Answer, ProbeError>) -> NodeInfo {
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
    NodeInfo {
        reported,
        running,
        ..node.info()
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
        Node::new(NodeSpec {
            platforms,
            slots: Some(2),
            ..spec
        })
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
        let probed = probe(&nodes).await;
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
        assert!(matches!(probed[1].outcome, Err(ProbeError::Connect(_))));
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
        let probed = probe(&nodes).await;
        assert!(start.elapsed() <= PROBE_LIMIT + Duration::from_millis(100));
        for probed in &probed {
            assert_eq!(failure(probed), "no answer within 5 s");
            assert!(matches!(probed.outcome, Err(ProbeError::Late(_))));
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
        let probed = probe(&[node("odd", &socket)]).await;
        server.await.unwrap();
        assert!(
            failure(&probed[0]).contains("HTTP/1"),
            "{}",
            failure(&probed[0])
        );
    }
}
