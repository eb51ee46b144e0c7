//! Answers "what is known for this host?" and remembers the answer for a short while:
//! [`Credentials`].
//!
//! Several daemons ask for the same host at once; the helper then runs once. A long build
//! asks again, since a cloud's tokens expire. Reading files happens off the async threads.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::helper::{HELPER_LIMIT, HelperCall, ask};
use super::{Credential, CredentialEnv, CredentialError, DockerConfig};

/// How long an answer is reused: covers the burst at a build's start, and is far below the
/// shortest life of a cloud's token (minutes).
const REUSE: Duration = Duration::from_secs(30);

type Answer = Result<Credential, CredentialError>;
/// One host's last answer; locked while a look-up runs, so that others wait for it.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Answer)>>>;

/// The user's registry credentials.
pub struct Credentials {
    env: CredentialEnv,
    helper_limit: Duration,
    slots: Mutex<HashMap<String, Slot>>,
}

impl Credentials {
    /// Makes a source that reads nothing yet.
    pub fn new(env: CredentialEnv) -> Self {
        Self {
            env,
            helper_limit: HELPER_LIMIT,
            slots: Mutex::default(),
        }
    }

    /// Changes how long a helper may run.
    #[must_use]
    pub fn with_helper_limit(mut self, limit: Duration) -> Self {
        self.helper_limit = limit;
        self
    }

    /// Finds what is known for `host` (`registry.example:5000`, `docker.io`).
    ///
    /// [`Credential::Anonymous`] when nothing is. A broken file or helper is an error even
    /// if a later place might know the host: falling through would push as somebody else.
    pub async fn lookup(&self, host: &str) -> Answer {
        let slot = self
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(host.to_owned())
            .or_default()
            .clone();
        let mut last = slot.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < REUSE
        {
            return answer.clone();
        }
        let answer = self.look_everywhere(host).await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }

    /// Reads docker's `config.json`; an absent file is an empty configuration.
    pub async fn docker_config(&self) -> Result<DockerConfig, CredentialError> {
        match &self.env.docker_config_dir {
            Some(dir) => Ok(read(dir.join("config.json")).await?.unwrap_or_default()),
            None => Ok(DockerConfig::default()),
        }
    }

    async fn look_everywhere(&self, host: &str) -> Answer {
        if let Some(text) = &self.env.auth_config {
            let config = DockerConfig::parse(text, "DOCKER_AUTH_CONFIG")?;
            let found = self.look_in(&config, host).await?;
            if found != Credential::Anonymous {
                return Ok(found);
            }
        }
        let docker = self
            .env
            .docker_config_dir
            .iter()
            .map(|dir| dir.join("config.json"));
        for file in docker.chain(self.env.podman_auth_files.iter().cloned()) {
            let Some(config) = read(file).await? else {
                continue;
            };
            let found = self.look_in(&config, host).await?;
            if found != Credential::Anonymous {
                return Ok(found);
            }
        }
        Ok(Credential::Anonymous)
    }

    async fn look_in(&self, config: &DockerConfig, host: &str) -> Answer {
        if let Some(name) = config.helper(host) {
            let call = HelperCall {
                name,
                host: super::names(host)[0],
                place: config.place(),
                path: self.env.path.as_deref(),
                limit: self.helper_limit,
            };
            let found = ask(call).await?;
            if found != Credential::Anonymous {
                return Ok(found);
            }
        }
        config.entry(host)
    }
}

impl fmt::Debug for Credentials {
    /// Shows where it looks, not what it found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("env", &self.env)
            .finish_non_exhaustive()
    }
}

/// Reads one file; `None` when there is none.
async fn read(file: PathBuf) -> Result<Option<DockerConfig>, CredentialError> {
    let place = file.display().to_string();
    let text = match tokio::fs::read_to_string(&file).await {
        Ok(text) => text,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => {
            return Err(CredentialError::Read {
                place,
                source: Arc::new(error),
            });
        }
    };
    if text.trim().is_empty() {
        return Ok(None);
    }
    DockerConfig::parse(&text, &place).map(Some)
}

/// Whether nothing is there: also when a part of the path is a file.
fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
