//! Finds what stands behind each `--ssh`: a socket that answers, or keys that can be read.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::buildkit::session::SshAgent;
use crate::request::SshSpec;
use crate::ssh::{KeyError, PrivateKey};

use super::super::app::App;
use super::super::error::CliError;
use super::small_file;

/// How long an agent may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The largest key file that is read, in bytes; the largest key that there is has 4 KiB.
const FILE_LIMIT: usize = 100 << 10;

/// Resolves every agent; one that is not there is an error before the build.
pub(super) async fn resolve(
    specs: &[SshSpec],
    app: &App,
) -> Result<BTreeMap<String, SshAgent>, CliError> {
    let mut agents = BTreeMap::new();
    for spec in specs {
        agents.insert(spec.id().to_owned(), agent(spec, app).await?);
    }
    Ok(agents)
}

async fn agent(spec: &SshSpec, app: &App) -> Result<SshAgent, CliError> {
    let id = spec.id();
    let failed = |path: &Path, why: Why| {
        let hint = why.hint(id);
        let error = CliError::usage(Unusable {
            id: id.to_owned(),
            path: path.to_owned(),
            source: why,
        });
        hint.into_iter().fold(error, CliError::hint)
    };
    let paths = paths(spec, app)?;
    let (mut sockets, mut keys) = (Vec::new(), Vec::new());
    for path in paths {
        match found(&path).await.map_err(|why| failed(&path, why))? {
            Found::Socket => sockets.push(path),
            Found::Key(key) => keys.push(*key),
        }
    }
    match &sockets[..] {
        [] if spec.is_raw => {
            let problem = format!("--ssh {id}: raw=true needs a socket, not a key");
            Err(CliError::usage(problem))
        }
        [] => Ok(SshAgent::Keys(keys.into())),
        [socket] if keys.is_empty() => {
            answers(socket).await.map_err(|why| failed(socket, why))?;
            Ok(match spec.is_raw {
                true => SshAgent::Raw(socket.clone()),
                false => SshAgent::Socket(socket.clone()),
            })
        }
        [..] => {
            let problem = format!("--ssh {id}: it is one socket, or keys, not both");
            Err(CliError::usage(problem).hint("an agent of its own can be given another NAME"))
        }
    }
}

/// The files that are named; without any, the agent that the environment names.
fn paths(spec: &SshSpec, app: &App) -> Result<Vec<PathBuf>, CliError> {
    if !spec.paths.iter().all(String::is_empty) {
        let named = spec.paths.iter().filter(|path| !path.is_empty());
        return Ok(named.map(|path| app.path(Path::new(path))).collect());
    }
    let id = spec.id();
    match app.var("SSH_AUTH_SOCK") {
        Some(socket) => Ok(vec![app.path(Path::new(socket))]),
        None => Err(CliError::usage(format!(
            "--ssh {id}: SSH_AUTH_SOCK is not set, so there is no ssh agent"
        ))
        .hint(format!(
            "start one with `eval $(ssh-agent)` and `ssh-add`, or name a key: --ssh {id}=FILE"
        ))),
    }
}

enum Found {
    Socket,
    Key(Box<PrivateKey>),
}

async fn found(path: &Path) -> Result<Found, Why> {
    if std::fs::metadata(path)?.file_type().is_socket() {
        return Ok(Found::Socket);
    }
    let text = small_file::read(path, FILE_LIMIT).await?;
    let text = text.ok_or(KeyError::NotAKey)?;
    Ok(Found::Key(Box::new(PrivateKey::parse(&text)?)))
}

/// Connects once, so that a socket whose agent has ended is told now.
async fn answers(socket: &Path) -> Result<(), Why> {
    match timeout(CONNECT_LIMIT, UnixStream::connect(socket)).await {
        Ok(connected) => connected.map(drop).map_err(Why::Agent),
        Err(late) => Err(Why::Agent(late.into())),
    }
}

/// Something behind `--ssh` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--ssh {id}: {} cannot be used", path.display())]
struct Unusable {
    id: String,
    path: PathBuf,
    source: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("the ssh agent does not answer")]
    Agent(#[source] io::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Why {
    fn hint(&self, id: &str) -> Option<String> {
        match self {
            Why::Key(KeyError::Encrypted) => Some(format!(
                "add the key to an ssh agent with ssh-add, and give --ssh {id} without it"
            )),
            Why::Key(KeyError::Public) => Some("the private key is wanted".to_owned()),
            Why::Key(KeyError::Unsupported(_) | KeyError::Rejected(_)) => {
                Some("an ssh agent can lend keys of any kind".to_owned())
            }
            _ => None,
        }
    }
}
