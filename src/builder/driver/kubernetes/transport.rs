//! A byte stream to the daemon in one pod: [`PodDialer`].
//!
//! Tries the ways there are, cheapest first, and keeps to the one that works. A stream is
//! given out when HTTP/2 has begun on it, not before. Which pod it is was decided elsewhere.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::attempt::{Attempt, DialFailure, Outlook};
use super::cluster::Cluster;
use crate::builder::pool::Transport;
use crate::buildkit::dial::{Dial, DialError, Terms, TlsFiles};
use crate::buildkit::endpoint::HostPort;
use crate::buildkit::io::ByteStream;

/// How long a pod that does not let us in yet is tried: a node's certificate may take a
/// minute to be signed, and pods of a scaled-up cluster come with new nodes.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// How long a daemon that does not answer in a pod that runs is tried.
const SETTLE: Duration = Duration::from_secs(10);
/// The first pause between tries; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the first question may take once HTTP/2 has begun.
const ANSWER: Duration = Duration::from_secs(20);

/// Which pod, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodAddress {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// The container that has `buildctl`; `None` means the pod's default one.
    pub container: Option<String>,
    /// Its address; `None` means that it cannot be reached directly.
    pub ip: Option<IpAddr>,
}

impl fmt::Display for PodAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.pod)
    }
}

/// What is needed to speak to a pod's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DirectTerms {
    /// The port of the daemon.
    pub port: u16,
    /// The client's certificates; `None` means no TLS.
    pub tls: Option<TlsFiles>,
    /// The name in the daemon's certificate, unless the files' own setting says another.
    pub server_name: String,
}

/// Dials the daemon in one pod.
pub(super) struct PodDialer {
    cluster: Cluster,
    pod: PodAddress,
    transport: Transport,
    direct: Option<DirectTerms>,
    patience: Duration,
    used: Mutex<Option<Transport>>,
}

impl PodDialer {
    /// Dials `pod` by `transport`; `direct` says how to speak to its port.
    pub(super) fn new(
        cluster: Cluster,
        pod: PodAddress,
        transport: Transport,
        direct: Option<DirectTerms>,
    ) -> Self {
        Self {
            cluster,
            pod,
            transport,
            direct,
            patience: PATIENCE,
            used: Mutex::new(None),
        }
    }

    /// Tries for at most `patience` instead of [`PATIENCE`].
    #[must_use]
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The way that the last stream went; never [`Transport::Auto`].
    pub(super) fn used(&self) -> Option<Transport> {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ways to try, in order; what worked before is tried first.
    fn ways(&self) -> Vec<Transport> {
        if self.transport != Transport::Auto {
            return vec![self.transport];
        }
        let secured = self
            .direct
            .as_ref()
            .is_some_and(|terms| terms.tls.is_some());
        let mut ways = vec![Transport::Exec];
        if secured && self.pod.ip.is_some() {
            ways.insert(0, Transport::Direct);
        }
        if self.direct.is_some() {
            ways.push(Transport::PortForward);
        }
        let used = self.used();
        ways.sort_by_key(|way| Some(*way) != used);
        ways
    }

    /// Tries each way once; says in `told` what was told of a way, which is not told again.
    async fn try_ways(
        &self,
        told: &mut Vec<String>,
    ) -> Result<(ByteStream, Transport), DialFailure> {
        let mut failures = Vec::new();
        for way in self.ways() {
            let attempt = Attempt {
                cluster: &self.cluster,
                pod: &self.pod,
                direct: self.direct.as_ref(),
                only: self.transport == way,
            };
            match attempt.open(way).await {
                Ok(stream) => return Ok((stream, way)),
                Err(failure) => {
                    let reason = crate::causes::causes(&failure);
                    let line = format!("{} by {way}: {reason}", self.describe());
                    if !told.contains(&line) {
                        tracing::info!("{line}");
                        told.push(line);
                    }
                    let last = !failure.leaves_hope(way);
                    failures.push((way, failure));
                    if last {
                        break;
                    }
                }
            }
        }
        Err(DialFailure::of(failures))
    }

    /// Tries until it works, or there is no sense in it.
    async fn persist(&self) -> Result<(ByteStream, Transport), DialFailure> {
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut told = Vec::new();
        loop {
            let failure = match self.try_ways(&mut told).await {
                Ok(opened) => return Ok(opened),
                Err(failure) => failure,
            };
            let limit = match failure.outlook() {
                Outlook::Never => Duration::ZERO,
                Outlook::Soon => self.patience.min(SETTLE),
                Outlook::Later => self.patience,
            };
            if start.elapsed() + pause > limit {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[async_trait]
impl Dial for PodDialer {
    async fn dial(&self) -> Result<ByteStream, DialError> {
        let start = Instant::now();
        let opened = self.persist().await;
        let (stream, way) = opened.map_err(|failure| DialError::Driver {
            endpoint: self.describe(),
            hint: failure.hint(),
            is_configuration: failure.is_configuration(),
            source: Box::new(failure),
        })?;
        let taken = start.elapsed().as_millis();
        tracing::info!("{} by {way}, ready after {taken} ms", self.describe());
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(way);
        Ok(stream)
    }

    fn describe(&self) -> String {
        format!("pod {}", self.pod)
    }

    fn terms(&self) -> Terms {
        Terms {
            origin: self.origin().unwrap_or_else(|| Terms::default().origin),
            patience: ANSWER,
            ..Terms::default()
        }
    }
}

impl PodDialer {
    /// The origin of requests to a port; others go to a socket, which has none.
    fn origin(&self) -> Option<String> {
        let (used, terms) = (self.used()?, self.direct.as_ref()?);
        if used == Transport::Exec {
            return None;
        }
        let (scheme, host) = match &terms.tls {
            Some(files) => ("https", terms.server_name_of(files)),
            None => ("http", self.pod.ip?.to_string()),
        };
        let port = terms.port;
        Some(format!("{scheme}://{}", HostPort { host, port }))
    }
}

impl DirectTerms {
    /// The name that the daemon's certificate must have.
    pub(super) fn server_name_of(&self, files: &TlsFiles) -> String {
        let own = files.server_name.as_ref();
        own.unwrap_or(&self.server_name).clone()
    }
}

#[cfg(test)]
mod tests;
