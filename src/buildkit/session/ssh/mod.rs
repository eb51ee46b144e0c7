//! Lends SSH agents and keys to the steps that mount them: `moby.sshforward.v1.SSH`.
//!
//! [`SshAgent`] says what stands behind an id. A step may list keys and have things signed;
//! nothing else of it reaches an agent, unless the user asks for that.

mod keys;
mod message;
mod proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use mbuild_proto::sshforward::ssh_server::{self, SshServer};
use mbuild_proto::sshforward::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::io::{ReaderStream, StreamReader};
use tonic::codegen::BoxStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::ssh::PrivateKey;

use super::Services;
use proxy::Upstream;

/// The metadata that names the agent of a connection.
const ID: &str = "buildkit.ssh.id";
/// The id of a connection that names none.
const DEFAULT: &str = "default";
/// How long an agent may take to accept a connection. It runs on this machine, or behind a
/// forwarded socket, which accepts at once too.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What stands behind an id.
#[derive(Debug, Clone)]
pub enum SshAgent {
    /// The agent at this socket, of which steps may list the keys and have things signed.
    Socket(PathBuf),
    /// The agent, or whatever else, at this socket: steps may say anything to it.
    Raw(PathBuf),
    /// These keys.
    Keys(Arc<[PrivateKey]>),
}

/// Hears what the user should know, such as that an agent does not answer.
#[derive(Clone)]
pub struct SshWarnings(Arc<dyn Fn(String) + Send + Sync>);

impl SshWarnings {
    /// Passes every warning to this function.
    pub fn new(hear: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }
}

impl fmt::Debug for SshWarnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SshWarnings")
    }
}

impl Services {
    /// Serves these agents by id. Without any the service is left out, which a daemon words as
    /// that no key was forwarded.
    #[must_use]
    pub fn ssh(self, agents: BTreeMap<String, SshAgent>, warnings: SshWarnings) -> Self {
        if agents.is_empty() {
            return self;
        }
        let ssh = Ssh {
            agents: Arc::new(agents),
            warnings,
            warned: Mutex::default(),
        };
        self.add(&["CheckAgent", "ForwardAgent"], SshServer::new(ssh))
    }
}

struct Ssh {
    agents: Arc<BTreeMap<String, SshAgent>>,
    warnings: SshWarnings,
    /// The ids that were warned about: a step may try again and again.
    warned: Mutex<BTreeSet<String>>,
}

#[tonic::async_trait]
impl ssh_server::Ssh for Ssh {
    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        let id = request.into_inner().id;
        self.agent(if id.is_empty() { DEFAULT } else { &id })?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<BoxStream<BytesMessage>>, Status> {
        let id = agent_id(request.metadata());
        let agent = self.agent(&id)?;
        let said = from_step(request.into_inner());
        let answers: BoxStream<BytesMessage> = match agent {
            SshAgent::Keys(keys) => {
                let keys: Upstream = Upstream::Keys(Arc::clone(keys));
                Box::pin(proxy::answers(said, keys))
            }
            SshAgent::Socket(path) => {
                let socket = self.connect(&id, path).await?;
                Box::pin(proxy::answers(said, Upstream::Socket(socket)))
            }
            SshAgent::Raw(path) => {
                let socket = self.connect(&id, path).await?;
                Box::pin(pipe(said, socket))
            }
        };
        Ok(Response::new(answers))
    }
}

impl Ssh {
    fn agent(&self, id: &str) -> Result<&SshAgent, Status> {
        let agent = self.agents.get(id);
        agent.ok_or_else(|| Status::not_found(format!("ssh agent {id} was not given")))
    }

    async fn connect(&self, id: &str, path: &Path) -> Result<UnixStream, Status> {
        let problem = match timeout(CONNECT_LIMIT, UnixStream::connect(path)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} s", CONNECT_LIMIT.as_secs()),
        };
        let text = format!("ssh agent {id} at {}: {problem}", path.display());
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        // The step sees no more than a connection that ends.
        if warned.insert(id.to_owned()) {
            (self.warnings.0)(text.clone());
        }
        Err(Status::unavailable(text))
    }
}

/// The first id that the metadata has.
fn agent_id(metadata: &MetadataMap) -> String {
    let id = metadata.get(ID).and_then(|id| id.to_str().ok());
    id.filter(|id| !id.is_empty()).unwrap_or(DEFAULT).to_owned()
}

/// What the step writes, as bytes.
fn from_step(messages: Streaming<BytesMessage>) -> impl AsyncRead + Send + Unpin + 'static {
    StreamReader::new(messages.map(|message| match message {
        Ok(message) => Ok(message.data),
        Err(status) => Err(io::Error::other(status)),
    }))
}

/// Passes everything both ways. Ends when the agent does; a step that only stops writing may
/// read on.
fn pipe(
    mut said: impl AsyncRead + Send + Unpin + 'static,
    socket: UnixStream,
) -> impl futures_util::Stream<Item = Result<BytesMessage, Status>> {
    let (answers, mut agent) = socket.into_split();
    let saying = async move {
        if tokio::io::copy(&mut said, &mut agent).await.is_ok() {
            drop(agent.shutdown().await);
            std::future::pending::<()>().await;
        }
    };
    ReaderStream::new(answers)
        .map(|data| match data {
            Ok(data) => Ok(BytesMessage { data }),
            Err(error) => Err(Status::unavailable(format!("ssh agent: {error}"))),
        })
        .take_until(saying)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_names_no_agent_means_the_default() {
        let check = |id: Option<&'static str>, expect: &str| {
            let mut metadata = MetadataMap::new();
            if let Some(id) = id {
                metadata.insert(ID, id.parse().unwrap());
            }
            assert_eq!(agent_id(&metadata), expect);
        };
        check(None, "default");
        check(Some(""), "default");
        check(Some("deploy"), "deploy");
    }

    #[test]
    fn without_agents_nothing_is_announced() {
        let services = Services::new().ssh(BTreeMap::new(), SshWarnings::new(drop));
        assert!(services.methods().is_empty());
    }
}
