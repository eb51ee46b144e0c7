//! Why the API server did not do what it was asked: [`KubeError`], made of kube's errors and
//! of what was being done ([`Doing`]).
//!
//! Missing rights are told with the YAML that grants them. It says what went wrong and retries
//! nothing.

mod explain;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::rights::Missing;

/// Any error, as libraries hand it over.
pub type AnyError = Box<dyn Error + Send + Sync>;

/// A request to the API server, in the words of its access rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doing {
    /// The verb, such as `list`.
    pub verb: &'static str,
    /// The API group; empty for the core one.
    pub group: &'static str,
    /// The resource, with its subresource, such as `pods/exec`.
    pub resource: &'static str,
    /// The namespace; `None` for what belongs to the whole cluster.
    pub namespace: Option<String>,
    /// The object; `None` for a request about many.
    pub name: Option<String>,
}

/// Why the API server did not do what it was asked, or could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    /// Nothing says where a cluster is.
    #[error(
        "no cluster is configured: no kubeconfig at {}, and this is not a pod with a service account",
        paths(looked)
    )]
    NoConfig {
        /// Where a kubeconfig was looked for.
        looked: Vec<PathBuf>,
    },
    /// The kubeconfig, or the pod's service account, cannot be used.
    #[error("cannot use {place}")]
    Config {
        /// The file or files.
        place: String,
        /// Why.
        source: AnyError,
    },
    /// The kubeconfig has no context of that name.
    #[error("{place} has no context `{context}`; it has {}", names(known))]
    UnknownContext {
        /// The file or files.
        place: String,
        /// The name.
        context: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// The kubeconfig chooses no context, and nothing else does.
    #[error("{place} has no current context; choose one of {}", names(known))]
    NoContext {
        /// The file or files.
        place: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// The cluster is reached through a proxy.
    #[error("{place} has `proxy-url`, which is not supported")]
    Proxy {
        /// The file or files.
        place: String,
    },
    /// The program or file that has the credentials failed.
    #[error("cannot get credentials for the cluster: {reason}")]
    Login {
        /// What happened.
        reason: String,
    },
    /// No connection to the API server.
    #[error("cannot reach the API server {server}")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why.
        source: AnyError,
    },
    /// The API server's certificate is wrong, or it does not like ours.
    #[error("no secure connection to the API server {server}: {reason}")]
    Tls {
        /// Its address.
        server: String,
        /// What is wrong.
        reason: String,
    },
    /// The API server took the request and said nothing.
    #[error("no answer from the API server within {} s to: {doing}", limit.as_secs())]
    Silent {
        /// The request.
        doing: Doing,
        /// How long it had.
        limit: Duration,
    },
    /// The connection ended before the answer, or was no HTTP.
    #[error("the API server did not answer to: {doing}")]
    Broken {
        /// The request.
        doing: Doing,
        /// What happened.
        source: AnyError,
    },
    /// The API server does not know who asks.
    #[error("the API server does not accept the credentials (401 {message})")]
    Unauthorized {
        /// What it said.
        message: String,
    },
    /// The access rules forbid the request.
    #[error(transparent)]
    Forbidden(Box<Missing>),
    /// A policy other than the access rules forbids it: a quota, an admission check.
    #[error("the cluster does not allow to {doing}: {message}")]
    Denied {
        /// The request.
        doing: Doing,
        /// What it said.
        message: String,
    },
    /// The object is not there.
    #[error("cannot {doing}: {message}")]
    NotFound {
        /// The request.
        doing: Doing,
        /// What it said.
        message: String,
    },
    /// Somebody else changed the object, or it is there already.
    #[error("cannot {doing}: {message}")]
    Conflict {
        /// The request.
        doing: Doing,
        /// What it said.
        message: String,
    },
    /// What a watch wanted to go on from is no longer remembered.
    #[error("cannot {doing}: {message}")]
    Gone {
        /// The request.
        doing: Doing,
        /// What it said.
        message: String,
    },
    /// The API server answered with another error.
    #[error("cannot {doing}: {message} ({code})")]
    Refused {
        /// The request.
        doing: Doing,
        /// The HTTP status.
        code: u16,
        /// What it said.
        message: String,
    },
    /// Anything else.
    #[error("cannot {doing}")]
    Other {
        /// The request.
        doing: Doing,
        /// What happened.
        source: AnyError,
    },
}

/// No connection to a server; the connector's error, found again in what kube makes of it.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {server}")]
pub(super) struct ConnectFailure {
    pub(super) server: String,
    pub(super) source: AnyError,
}

/// No answer in time; likewise.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", limit.as_secs())]
pub(super) struct NoAnswer {
    pub(super) limit: Duration,
}

impl Doing {
    /// A request about many objects of the core group.
    pub fn new(verb: &'static str, resource: &'static str, namespace: &str) -> Self {
        Self {
            verb,
            group: "",
            resource,
            namespace: Some(namespace.to_owned()),
            name: None,
        }
    }

    /// The same for another API group, such as `apps`.
    #[must_use]
    pub fn group(self, group: &'static str) -> Self {
        Self { group, ..self }
    }

    /// The same about one object.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            ..self
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace `{namespace}`"),
            None => Ok(()),
        }
    }
}

impl KubeError {
    /// The YAML of a role and its binding that grant what is missing, where rights are.
    pub fn grant(&self) -> Option<String> {
        match self {
            Self::Forbidden(missing) => Some(missing.grant()),
            _ => None,
        }
    }

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoConfig { .. } => Some(
                "name a kubeconfig, set KUBECONFIG, or run in a pod whose service account token \
                 is mounted"
                    .to_owned(),
            ),
            Self::Unauthorized { .. } => Some(
                "the token or certificate has expired or is of another cluster; log in again"
                    .to_owned(),
            ),
            Self::Forbidden(missing) => Some(missing.hint()),
            _ => None,
        }
    }

    /// The same, with the YAML that would grant a missing right.
    pub fn advice(&self) -> Option<String> {
        match (self.hint(), self.grant()) {
            (Some(hint), Some(grant)) => Some(format!("{hint}\n{grant}")),
            (hint, grant) => hint.or(grant),
        }
    }

    /// Whether it stays so until somebody changes rights or credentials.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Forbidden(_) | Self::Denied { .. } | Self::Unauthorized { .. }
        )
    }

    /// Whether the same request may succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Broken { .. } => true,
            Self::Refused { code, .. } => matches!(code, 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

fn names(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

fn paths(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use kube::core::Status;
    use rustls::CertificateError;

    use super::*;

    fn answered(code: u16, message: &str) -> KubeError {
        let status = Status::failure(message, "Reason").with_code(code);
        let doing = Doing::new("list", "pods", "ns");
        KubeError::of(kube::Error::Api(Box::new(status)), doing)
    }

    #[test]
    fn answers_are_told_apart_by_their_code() {
        assert!(matches!(answered(401, "m"), KubeError::Unauthorized { .. }));
        assert!(matches!(answered(403, "quota"), KubeError::Denied { .. }));
        assert!(matches!(answered(404, "m"), KubeError::NotFound { .. }));
        assert!(matches!(answered(409, "m"), KubeError::Conflict { .. }));
        assert!(matches!(answered(410, "m"), KubeError::Gone { .. }));
        assert_eq!(
            answered(429, "slow down").to_string(),
            "cannot list pods in namespace `ns`: slow down (429)"
        );
        assert!(answered(429, "m").is_passing() && !answered(404, "m").is_passing());
    }

    #[test]
    fn connections_that_fail_are_told_with_the_server_and_one_cause() {
        let of = |source: AnyError| {
            let server = "10.0.0.1:6443".to_owned();
            let failure = ConnectFailure { server, source };
            let error = kube::Error::Service(Box::new(failure));
            KubeError::of(error, Doing::new("list", "pods", "ns"))
        };
        let refused = of(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        assert_eq!(
            crate::causes::causes(&refused),
            "cannot reach the API server 10.0.0.1:6443: connection refused"
        );
        let issuer = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let untrusted = of(io::Error::other(issuer).into());
        assert_eq!(
            crate::causes::causes(&untrusted),
            "no secure connection to the API server 10.0.0.1:6443: its certificate is not from \
             the authority that the configuration names"
        );
    }
}
