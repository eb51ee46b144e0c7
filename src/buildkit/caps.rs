//! What a daemon can do, by the names BuildKit gives its capabilities.
//!
//! They are told only inside a build, so [`Connection::capabilities`] starts an internal one
//! that does nothing. It costs a round trip: ask only when a feature depends on it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt;
use mbuild_proto::control::SolveRequest;
use mbuild_proto::frontend::{ApiCap, PingRequest, PongResponse, Result as Outcome, ReturnRequest};
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};

use super::connection::Connection;
use super::session::random_id;

/// The header that names the build a call belongs to.
pub(super) const BUILD_ID: &str = "buildkit-controlapi-buildid";
/// The daemon waits up to 3 s for the build to appear; the rest is the network's.
const LIMIT: Duration = Duration::from_secs(10);

/// The capabilities of a daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    build: BTreeSet<String>,
    frontend: BTreeSet<String>,
}

/// An answer, and the end of the build in which it was given.
#[derive(Debug)]
pub(super) struct Asked {
    capabilities: Capabilities,
    /// Ends with the connection at the latest.
    _end: AbortOnDropHandle<()>,
}

/// Why a daemon's capabilities are not known.
#[derive(Debug, thiserror::Error)]
pub enum CapabilitiesError {
    /// The connection broke.
    #[error("the connection to {endpoint} is lost: {reason}")]
    Lost {
        /// Where to.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// The daemon refused to say; old ones cannot.
    #[error("{endpoint} does not tell what it can do: {reason}")]
    Refused {
        /// Where to.
        endpoint: String,
        /// What it answered.
        reason: String,
    },
    /// No answer came.
    #[error("{endpoint} did not tell what it can do within {} s", LIMIT.as_secs())]
    Silent {
        /// Where to.
        endpoint: String,
    },
}

impl Capabilities {
    /// Tells whether the daemon has a capability of its build graph, exporters or sources,
    /// such as `exporter.multiple`.
    pub fn has(&self, name: &str) -> bool {
        self.build.contains(name)
    }

    /// Tells whether the daemon offers something to frontends, such as `gateway.exec`.
    pub fn has_frontend(&self, name: &str) -> bool {
        self.frontend.contains(name)
    }

    /// Keeps what is switched on: some engines list what their storage cannot do.
    fn from_wire(pong: PongResponse) -> Self {
        let usable = |caps: Vec<ApiCap>| {
            let enabled = caps.into_iter().filter(|cap| cap.enabled);
            enabled.map(|cap| cap.id).collect()
        };
        Self {
            build: usable(pong.llb_caps),
            frontend: usable(pong.frontend_api_caps),
        }
    }
}

impl Connection {
    /// Asks the daemon what it can do; asked once, answered from memory after that.
    ///
    /// # Errors
    ///
    /// When the daemon is gone, silent, or too old to say.
    pub async fn capabilities(&self) -> Result<&Capabilities, CapabilitiesError> {
        self.capability_cell()
            .get_or_try_init(|| self.ask_capabilities())
            .await
            .map(|asked| &asked.capabilities)
    }

    async fn ask_capabilities(&self) -> Result<Asked, CapabilitiesError> {
        let endpoint = self.endpoint().to_owned();
        match tokio::time::timeout(LIMIT, self.ping()).await {
            Ok(Ok((pong, end))) => Ok(Asked {
                capabilities: Capabilities::from_wire(pong),
                _end: end,
            }),
            Ok(Err(status)) => Err(match self.loss(&status) {
                Some(reason) => CapabilitiesError::Lost { endpoint, reason },
                None => CapabilitiesError::Refused {
                    endpoint,
                    reason: status.message().to_owned(),
                },
            }),
            Err(_) => Err(CapabilitiesError::Silent { endpoint }),
        }
    }

    /// Pings from inside a build without a frontend. Its end, with nothing as its result, is
    /// not waited for.
    async fn ping(&self) -> Result<(PongResponse, AbortOnDropHandle<()>), Status> {
        let reference = random_id().map_err(|error| Status::internal(error.to_string()))?;
        let build = SolveRequest {
            r#ref: reference.clone(),
            internal: true,
            ..SolveRequest::default()
        };
        let (mut control, mut bridge) = (self.control(), self.bridge());
        let ping = within_build(PingRequest {}, &reference)?;
        let nothing = ReturnRequest {
            result: Some(Outcome::default()),
            error: None,
        };
        let nothing = within_build(nothing, &reference)?;
        let mut build = Box::pin(async move { control.solve(build).await });
        // The build's own failure is why the call inside it failed.
        let pong = tokio::select! {
            biased;
            pong = bridge.ping(ping) => pong?,
            end = &mut build => return Err(end.err().unwrap_or_else(early)),
        };
        let end = tokio::time::timeout(LIMIT, async move {
            tokio::join!(bridge.r#return(nothing), build)
        });
        let end = tokio::spawn(end.map(drop));
        Ok((pong.into_inner(), AbortOnDropHandle::new(end)))
    }
}

fn early() -> Status {
    Status::internal("a build ended before it was given its result")
}

/// Addresses a call to a build.
pub(super) fn within_build<T>(message: T, reference: &str) -> Result<Request<T>, Status> {
    let value: MetadataValue<Ascii> = reference
        .parse()
        .map_err(|_| Status::internal("a build's reference is no header"))?;
    let mut request = Request::new(message);
    request.metadata_mut().insert(BUILD_ID, value);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap(id: &str, enabled: bool) -> ApiCap {
        ApiCap {
            id: id.into(),
            enabled,
            ..ApiCap::default()
        }
    }

    #[test]
    fn what_is_listed_but_switched_off_is_missing() {
        let capabilities = Capabilities::from_wire(PongResponse {
            llb_caps: vec![cap("exporter.multiple", true), cap("mergeop", false)],
            frontend_api_caps: vec![cap("gateway.exec", true)],
            ..PongResponse::default()
        });
        assert!(capabilities.has("exporter.multiple"));
        assert!(!capabilities.has("mergeop"));
        assert!(!capabilities.has("gateway.exec") && capabilities.has_frontend("gateway.exec"));
    }
}
