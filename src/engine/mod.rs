//! [`Engine`]: the little of a Docker engine's API that BuildKit does not offer: what kind of
//! store it has, and loading an image into it.
//!
//! Every request has a connection of its own, over the dialers that BuildKit is reached with.

mod error;
mod load;
mod request;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::buildkit::dial::{Dial, TlsFiles, engine_dialer};
use crate::buildkit::endpoint::Endpoint;
use crate::node::ImageStore;

pub use error::EngineError;
pub use load::Loaded;

/// How long an engine may take to say what it is.
const INFO_LIMIT: Duration = Duration::from_secs(10);
/// How an engine calls containerd's store, in a row of `DriverStatus`.
const CONTAINERD: [&str; 2] = ["driver-type", "io.containerd.snapshotter.v1"];

/// A Docker engine.
#[derive(Clone)]
pub struct Engine {
    dial: Arc<dyn Dial>,
    /// What the `Host` header says.
    host: String,
    name: String,
}

impl Engine {
    /// Speaks to the engine at this endpoint; contacts nobody yet. `None` where the endpoint
    /// leads to no Docker engine.
    pub fn new(endpoint: &Endpoint, tls: Option<&TlsFiles>) -> Option<Self> {
        let host = match endpoint {
            Endpoint::DockerTcp(address) => address.to_string(),
            _ => "localhost".to_owned(),
        };
        Some(Self {
            dial: Arc::from(engine_dialer(endpoint, tls)?),
            host,
            name: endpoint.to_string(),
        })
    }

    /// Its endpoint, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks what kind of store it keeps images in.
    ///
    /// # Errors
    ///
    /// When it is not there, or does not answer as an engine does, or not in time.
    pub async fn store(&self) -> Result<ImageStore, EngineError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Info {
            #[serde(default)]
            driver_status: Option<Vec<Vec<String>>>,
        }
        let answer = tokio::time::timeout(INFO_LIMIT, self.get("/info")).await;
        let body = answer.map_err(|_| EngineError::Silent {
            engine: self.name.clone(),
            seconds: INFO_LIMIT.as_secs(),
        })??;
        let info: Info = serde_json::from_slice(&body).map_err(|source| EngineError::Odd {
            engine: self.name.clone(),
            source: source.into(),
        })?;
        let rows = info.driver_status.unwrap_or_default();
        Ok(match rows.iter().any(|row| row == &CONTAINERD) {
            true => ImageStore::Containerd,
            false => ImageStore::Classic,
        })
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.name)
    }
}
