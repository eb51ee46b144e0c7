//! The SSH service of a session, asked as daemons ask: which agents there are, and connections
//! to them that end from either side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mbuild::buildkit::session::{Services, SshAgent, SshWarnings};
use mbuild::ssh::PrivateKey;
use mbuild_proto::sshforward::ssh_client::SshClient;
use mbuild_proto::sshforward::{BytesMessage, CheckAgentRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use crate::support::session_caller::{Caller, LIMIT};

/// A session with these agents, and what it warns of.
async fn serve(agents: &[(&str, SshAgent)]) -> (Caller, Arc<Mutex<Vec<String>>>) {
    let agents: BTreeMap<_, _> = agents
        .iter()
        .map(|(id, agent)| ((*id).to_owned(), agent.clone()))
        .collect();
    let warned = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&warned);
    let warnings = SshWarnings::new(move |text| heard.lock().unwrap().push(text));
    (
        Caller::new(Services::new().ssh(agents, warnings)).await,
        warned,
    )
}

fn keys() -> SshAgent {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/ssh-keys");
    let text = std::fs::read(dir.join("ed25519")).unwrap();
    SshAgent::Keys([PrivateKey::parse(&text).unwrap()].into())
}

/// A step's connection: what it says, until it is dropped, and what it hears.
struct Step {
    says: Option<mpsc::UnboundedSender<BytesMessage>>,
    hears: Streaming<BytesMessage>,
}

impl Step {
    async fn connect(caller: &Caller, id: &str) -> Result<Self, Status> {
        let (says, said) = mpsc::unbounded_channel();
        let mut request = Request::new(UnboundedReceiverStream::new(said));
        let metadata = request.metadata_mut();
        metadata.insert("buildkit.ssh.id", id.parse().unwrap());
        let mut client = SshClient::new(caller.channel.clone());
        let answer = timeout(LIMIT, client.forward_agent(request)).await;
        Ok(Self {
            says: Some(says),
            hears: answer.expect("no answer")?.into_inner(),
        })
    }

    fn say(&self, data: &'static [u8]) {
        let data = Bytes::from_static(data);
        self.says
            .as_ref()
            .unwrap()
            .send(BytesMessage { data })
            .unwrap();
    }

    /// What it hears next; `None` at the end.
    async fn hear(&mut self) -> Result<Option<Bytes>, Status> {
        let next = timeout(LIMIT, self.hears.message()).await;
        Ok(next.expect("nothing comes")?.map(|message| message.data))
    }
}

/// A socket in a directory, and who listens at it.
fn listen() -> (tempfile::TempDir, PathBuf, UnixListener) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    (dir, path, listener)
}

const LIST: &[u8] = &[0, 0, 0, 1, 11];

#[tokio::test]
async fn only_what_was_lent_is_there() {
    let (caller, _) = serve(&[("git", keys())]).await;
    let mut client = SshClient::new(caller.channel.clone());
    let mut check = async |id: &str| {
        let request = CheckAgentRequest { id: id.into() };
        client.check_agent(request).await.map(drop)
    };
    check("git").await.unwrap();
    for id in ["default", "", "other"] {
        assert_eq!(check(id).await.unwrap_err().code(), Code::NotFound, "{id}");
    }
    let refused = Step::connect(&caller, "other").await.err().unwrap();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(refused.message(), "ssh agent other was not given");
}

#[tokio::test]
async fn a_request_may_come_in_pieces_and_several_at_once() {
    let (caller, _) = serve(&[("git", keys())]).await;
    let mut step = Step::connect(&caller, "git").await.unwrap();
    step.say(&[0, 0]);
    step.say(&[0, 1]);
    step.say(&[11, 0, 0, 0, 1, 19, 0, 0]);
    assert_eq!(step.hear().await.unwrap().unwrap()[4..9], [12, 0, 0, 0, 1]);
    assert_eq!(step.hear().await.unwrap().unwrap(), [0, 0, 0, 1, 5][..]);
    // It stops in the middle of a message.
    step.says = None;
    assert_eq!(step.hear().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_agent_that_hangs_up_ends_the_connection_and_not_the_session() {
    let (_dir, path, listener) = listen();
    let (caller, warned) = serve(&[("default", SshAgent::Socket(path.clone()))]).await;
    let mut step = Step::connect(&caller, "default").await.unwrap();
    let (mut agent, _) = listener.accept().await.unwrap();
    step.say(LIST);
    let mut heard = [0; 5];
    agent.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, LIST);
    drop(agent);
    assert_eq!(step.hear().await.unwrap(), None);

    drop(listener);
    for _ in 0..2 {
        let refused = Step::connect(&caller, "default").await.err().unwrap();
        assert_eq!(refused.code(), Code::Unavailable);
    }
    let warned = warned.lock().unwrap();
    let start = format!("ssh agent default at {}: ", path.display());
    assert!(
        warned.len() == 1 && warned[0].starts_with(&start),
        "{warned:?}"
    );
}

#[tokio::test]
async fn a_step_that_hangs_up_ends_the_agents_connection() {
    let (_dir, path, listener) = listen();
    let (caller, _) = serve(&[("default", SshAgent::Socket(path))]).await;
    let mut step = Step::connect(&caller, "default").await.unwrap();
    let (mut agent, _) = listener.accept().await.unwrap();
    step.says = None;
    assert_eq!(step.hear().await.unwrap(), None);
    assert_eq!(
        timeout(LIMIT, agent.read(&mut [0])).await.unwrap().unwrap(),
        0
    );
}

#[tokio::test]
async fn each_side_of_a_raw_connection_may_end_first() {
    let (_dir, path, listener) = listen();
    let (caller, _) = serve(&[("raw", SshAgent::Raw(path))]).await;
    let mut step = Step::connect(&caller, "raw").await.unwrap();
    let (mut agent, _) = listener.accept().await.unwrap();
    step.say(b"question");
    step.says = None;
    let mut heard = String::new();
    timeout(LIMIT, agent.read_to_string(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(heard, "question");
    agent.write_all(b"answer").await.unwrap();
    assert_eq!(step.hear().await.unwrap().unwrap(), "answer");
    drop(agent);
    assert_eq!(step.hear().await.unwrap(), None);

    // The agent ends while the step could still speak.
    let mut step = Step::connect(&caller, "raw").await.unwrap();
    let (agent, _) = listener.accept().await.unwrap();
    drop(agent);
    assert_eq!(step.hear().await.unwrap(), None);
}
