//! BuildKit inside a Docker engine: [`DockerDialer`], over any way to the engine's API.
//!
//! Tries the upgrade of `POST /grpc` first and, where the engine has dropped it, gRPC
//! straight on the API's port. After an upgrade a session is a `POST /session` of its own.
//! The engine's version is never compared, only the version of its API.

mod upgrade;

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use http::StatusCode;

use super::{ByteStream, Dial, DialError, Terms, within};
use crate::buildkit::pipe::SessionOpen;
use upgrade::{Answer, Refusal};

/// The first API version whose port takes gRPC directly (Docker 29.2).
const DIRECT_API: (u32, u32) = (1, 53);

/// Dials a Docker engine's BuildKit.
pub struct DockerDialer {
    raw: Box<dyn Dial>,
    /// Where gRPC goes directly, if that is not `raw`: TLS that offers `h2`.
    direct: Option<Box<dyn Dial>>,
    host: String,
    /// Whether the last dial was an upgrade, so that sessions are as well.
    upgraded: AtomicBool,
}

impl DockerDialer {
    /// Speaks to the engine that `raw` reaches; `host` is what the `Host` header says.
    pub fn new(raw: impl Dial + 'static, host: &str) -> Self {
        Self {
            raw: Box::new(raw),
            direct: None,
            host: host.to_owned(),
            upgraded: AtomicBool::new(false),
        }
    }

    /// Uses another way for gRPC without an upgrade.
    #[must_use]
    pub fn with_direct(mut self, direct: impl Dial + 'static) -> Self {
        self.direct = Some(Box::new(direct));
        self
    }

    async fn upgrade(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, DialError> {
        let request = upgrade::request(&self.host, path, headers);
        let request = request.map_err(|error| self.odd(error.into()))?;
        let stream = self.raw.dial().await?;
        upgrade::upgrade(stream, request)
            .await
            .map_err(|error| self.odd(error))
    }

    fn odd(&self, source: upgrade::Failure) -> DialError {
        DialError::Upgrade {
            endpoint: self.describe(),
            source,
        }
    }

    /// Goes without the upgrade, if the engine's API is new enough for that.
    async fn dial_direct(&self, refusal: Refusal) -> Result<ByteStream, DialError> {
        let ping = upgrade::ping(self.raw.dial().await?, &self.host).await;
        let version = ping.map_err(|error| self.odd(error))?;
        if version
            .as_deref()
            .and_then(api_version)
            .is_some_and(|found| found >= DIRECT_API)
        {
            return self.direct.as_ref().unwrap_or(&self.raw).dial().await;
        }
        let version = version.map_or(String::new(), |text| format!(" (its API is {text})"));
        Err(DialError::NoBuildkit {
            endpoint: self.describe(),
            reason: format!("POST /grpc was answered with {refusal}{version}"),
        })
    }

    async fn dial_either(&self) -> Result<ByteStream, DialError> {
        match self.upgrade("/grpc", &[]).await? {
            Answer::Upgraded(stream) => {
                self.upgraded.store(true, Ordering::Relaxed);
                Ok(stream)
            }
            Answer::Refused(refusal) if refusal.is_unknown_path() => {
                self.upgraded.store(false, Ordering::Relaxed);
                self.dial_direct(refusal).await
            }
            Answer::Refused(refusal) => Err(DialError::NoBuildkit {
                endpoint: self.describe(),
                reason: format!("POST /grpc was answered with {refusal}"),
            }),
        }
    }
}

#[async_trait]
impl Dial for DockerDialer {
    async fn dial(&self) -> Result<ByteStream, DialError> {
        within(
            self.raw.terms().patience,
            &self.describe(),
            self.dial_either(),
        )
        .await
    }

    fn describe(&self) -> String {
        self.raw.describe()
    }

    fn terms(&self) -> Terms {
        let raw = self.raw.terms();
        let direct = self.direct.as_ref().map(|direct| direct.terms().origin);
        let origin = match direct {
            Some(origin) if !self.upgraded.load(Ordering::Relaxed) => origin,
            _ => format!("http://{}", self.host),
        };
        Terms {
            origin,
            docker: true,
            ..raw
        }
    }

    async fn dial_session(&self, open: &SessionOpen) -> Result<Option<ByteStream>, DialError> {
        if !self.upgraded.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let headers = open.headers();
        let endpoint = self.describe();
        match within(
            self.raw.terms().patience,
            &endpoint,
            self.upgrade("/session", &headers),
        )
        .await?
        {
            Answer::Upgraded(stream) => Ok(Some(stream)),
            Answer::Refused(refusal) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
            Answer::Refused(refusal) => Err(DialError::SessionRefused {
                endpoint,
                reason: refusal.to_string(),
            }),
        }
    }
}

fn api_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests;
