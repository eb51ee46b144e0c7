//! One attempt to open one way into a pod: [`Attempt`], and what its failure means.
//!
//! Tries nothing twice; says whether another way, or a later time, is worth it.

use std::io;
use std::time::Duration;

use super::access::KubeError;
use super::cluster::Cluster;
use super::ending::PodEnd;
use super::ready::ready;
use super::transport::{DirectTerms, PodAddress};
use super::{exec, forward};
use crate::builder::pool::Transport;
use crate::buildkit::dial::{self, Dial, DialError, TcpDialer, TlsDialer, TlsError, TlsFiles};
use crate::buildkit::endpoint::HostPort;
use crate::buildkit::io::{ByteStream, Io};

/// How long the direct way may take where there are others: packets that a network policy
/// drops are not answered, and a pod's own network answers in milliseconds.
const DIRECT_LIMIT: Duration = Duration::from_secs(3);
/// How long a way that is open may take to say its first word.
const READY_LIMIT: Duration = Duration::from_secs(15);
/// buildkitd's application protocol in TLS.
const H2: &[u8] = b"h2";

/// One way into one pod.
pub(super) struct Attempt<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) pod: &'a PodAddress,
    pub(super) direct: Option<&'a DirectTerms>,
    /// Whether there is no other way.
    pub(super) only: bool,
}

/// Why there is no way into a pod.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialFailure {
    /// The API server refused, or could not be asked.
    #[error(transparent)]
    Api(Box<KubeError>),
    /// The stream ended before the daemon said anything.
    #[error(transparent)]
    Ended(#[from] PodEnd),
    /// The stream failed before the daemon said anything.
    #[error("the stream ended before the daemon answered")]
    Broken(#[source] io::Error),
    /// The stream is open, and the daemon says nothing.
    #[error("the daemon says nothing within {} s", .0.as_secs())]
    Silent(Duration),
    /// The port cannot be reached.
    #[error(transparent)]
    Direct(DialError),
    /// TLS to the port failed.
    #[error("no secure connection to the daemon")]
    Tls(#[from] TlsError),
    /// What the way needs is not known.
    #[error("{0}")]
    Unknown(&'static str),
    /// Every way failed.
    #[error("{}", list(.0))]
    All(Vec<(Transport, DialFailure)>),
}

/// When the same attempt may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outlook {
    /// Not as things are.
    Never,
    /// In seconds, if the daemon is just coming up.
    Soon,
    /// In a minute or two: the node is new, or the cluster busy.
    Later,
}

impl Attempt<'_> {
    /// Opens the stream; the daemon has spoken on it.
    pub(super) async fn open(&self, way: Transport) -> Result<ByteStream, DialFailure> {
        match way {
            Transport::Direct => self.direct().await,
            Transport::PortForward => self.forward().await,
            Transport::Exec | Transport::Auto => {
                spoken(exec::open(self.cluster, self.pod).await?, READY_LIMIT).await
            }
        }
    }

    async fn direct(&self) -> Result<ByteStream, DialFailure> {
        let terms = self.terms()?;
        let ip = self.pod.ip;
        let ip = ip.ok_or(DialFailure::Unknown("the pod has no address yet"))?;
        let address = HostPort {
            host: ip.to_string(),
            port: terms.port,
        };
        let name = format!("tcp://{address}");
        let dialer: Box<dyn Dial> = match &terms.tls {
            Some(files) => Box::new(TlsDialer::new(&address, name, &named(terms, files), H2)),
            None => Box::new(TcpDialer::new(&address, name)),
        };
        let open = async {
            let stream = dialer.dial().await.map_err(DialFailure::Direct)?;
            spoken(stream, READY_LIMIT).await
        };
        if self.only {
            return open.await;
        }
        tokio::time::timeout(DIRECT_LIMIT, open)
            .await
            .unwrap_or(Err(DialFailure::Silent(DIRECT_LIMIT)))
    }

    async fn forward(&self) -> Result<ByteStream, DialFailure> {
        let terms = self.terms()?;
        let stream = forward::open(self.cluster, self.pod, terms.port).await?;
        let Some(files) = &terms.tls else {
            return spoken(stream, READY_LIMIT).await;
        };
        let files = named(terms, files);
        let secured = dial::secure(Box::new(stream), &files, H2);
        match tokio::time::timeout(READY_LIMIT, secured).await {
            Ok(stream) => spoken(stream.map_err(of_tls)?, READY_LIMIT).await,
            Err(_) => Err(DialFailure::Silent(READY_LIMIT)),
        }
    }

    fn terms(&self) -> Result<&DirectTerms, DialFailure> {
        let missing = DialFailure::Unknown("the daemon's port is not known");
        self.direct.ok_or(missing)
    }
}

/// Waits for the daemon's first word.
async fn spoken(stream: impl Io, limit: Duration) -> Result<ByteStream, DialFailure> {
    match ready(stream, limit).await {
        Ok(Some(stream)) => Ok(stream),
        Ok(None) => Err(DialFailure::Silent(limit)),
        Err(error) => Err(of_io(error)),
    }
}

/// The files with the server's name in them.
fn named(terms: &DirectTerms, files: &TlsFiles) -> TlsFiles {
    TlsFiles {
        server_name: Some(terms.server_name_of(files)),
        ..files.clone()
    }
}

/// Finds what is known about the end of a stream in its error.
pub(super) fn of_io(error: io::Error) -> DialFailure {
    let known = error.get_ref().and_then(|inner| inner.downcast_ref());
    match known {
        Some(end) => DialFailure::Ended(PodEnd::clone(end)),
        None => DialFailure::Broken(error),
    }
}

/// A handshake over a stream fails with the stream's own error, if it has one.
fn of_tls(error: TlsError) -> DialFailure {
    match error {
        TlsError::Other(error) => of_io(error),
        error => DialFailure::Tls(error),
    }
}

impl From<KubeError> for DialFailure {
    fn from(error: KubeError) -> Self {
        Self::Api(Box::new(error))
    }
}

impl DialFailure {
    /// One failure for all ways.
    pub(super) fn of(mut failures: Vec<(Transport, Self)>) -> Self {
        match failures.pop() {
            Some((_, only)) if failures.is_empty() => only,
            Some(last) => {
                failures.push(last);
                Self::All(failures)
            }
            None => Self::Unknown("there is no way into the pod"),
        }
    }

    /// Whether the next way may work where this one failed for good.
    pub(super) fn leaves_hope(&self, way: Transport) -> bool {
        match self {
            Self::Api(error) => matches!(
                **error,
                KubeError::Forbidden(_) | KubeError::Denied { .. } | KubeError::Other { .. }
            ),
            Self::Ended(end) => end.is_final(),
            _ => way == Transport::Direct,
        }
    }

    /// When the same may succeed.
    pub(super) fn outlook(&self) -> Outlook {
        match self {
            Self::Api(error) => of_answer(error),
            Self::Ended(PodEnd::NoProgram { .. }) => Outlook::Never,
            Self::Ended(PodEnd::Failed { .. } | PodEnd::Lost { .. }) => Outlook::Later,
            Self::Ended(_) | Self::Broken(_) | Self::Silent(_) => Outlook::Soon,
            Self::Direct(DialError::Connect { .. } | DialError::Deadline { .. }) => Outlook::Soon,
            Self::Direct(_) | Self::Tls(_) | Self::Unknown(_) => Outlook::Never,
            // What the last way says counts; the ones before were given up for it.
            Self::All(failures) => failures
                .last()
                .map_or(Outlook::Never, |(_, failure)| failure.outlook()),
        }
    }

    /// Whether it stays so, in this pod and in others, until somebody changes something.
    pub(super) fn is_configuration(&self) -> bool {
        match self {
            Self::Api(error) => error.is_configuration(),
            Self::Ended(PodEnd::NoProgram { .. }) => true,
            Self::Direct(DialError::Tls { source, .. }) | Self::Tls(source) => {
                source.is_configuration()
            }
            Self::All(failures) => failures.iter().all(|(_, each)| each.is_configuration()),
            _ => false,
        }
    }

    /// What the user can do about it, where that is known.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Api(error) => error.advice(),
            Self::Direct(error) => error.hint(),
            Self::Tls(error) => error.hint(),
            Self::All(failures) => failures.iter().find_map(|(_, failure)| failure.hint()),
            _ => None,
        }
    }
}

/// What an answer of the API server means for a pod that is listed as ready.
fn of_answer(error: &KubeError) -> Outlook {
    let said = match error {
        KubeError::Refused { message, .. } | KubeError::NotFound { message, .. } => message,
        error if error.is_passing() => return Outlook::Later,
        _ => return Outlook::Never,
    };
    let gone = ["completed pod", "is not valid for pod"];
    if gone.iter().any(|words| said.contains(words)) {
        return Outlook::Never;
    }
    // The kubelet's own word for a container that is starting; a missing pod is `pods "x"`.
    if said.contains("container not found") || error.is_passing() {
        return Outlook::Later;
    }
    Outlook::Never
}

fn list(failures: &[(Transport, DialFailure)]) -> String {
    let each = failures
        .iter()
        .map(|(way, failure)| format!("{way}: {}", crate::causes::causes(failure)));
    each.collect::<Vec<_>>().join("; ")
}
