//! Registry credentials as docker and podman keep them: [`Credentials`] answers by host.
//!
//! Order: `DOCKER_AUTH_CONFIG`, docker's `config.json`, podman's `auth.json`; the first that
//! knows the host wins. Within a file: the host's helper, else the store, else `auths`.
//! Nothing is logged and nothing reads the environment: [`CredentialEnv`] carries what is
//! needed.
//!
//! The `docker_credential` package decodes single entries (see `file`). Around it, at this
//! seam, because it has none of it: a time limit on helpers and their removal (`helper`),
//! `registrytoken`, a fixed choice between the spellings of Docker Hub, and an entry of
//! `auths` left beside a helper that knows nothing.

mod cache;
mod env;
mod error;
mod file;
mod helper;

use std::fmt;

pub use cache::Credentials;
pub use env::CredentialEnv;
pub use error::CredentialError;
pub use file::{DockerConfig, ProxySettings};

/// What to show a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password (or access key).
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        secret: String,
    },
    /// An OAuth refresh token: exchanged for access tokens, never sent to the registry.
    IdentityToken(String),
    /// A bearer token for the registry itself.
    RegistryToken(String),
    /// Nothing is known for this host.
    Anonymous,
}

impl fmt::Debug for Credential {
    /// Names the kind and the user; secrets are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, .. } => write!(f, "Basic({username}, …)"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(…)"),
            Self::RegistryToken(_) => f.write_str("RegistryToken(…)"),
            Self::Anonymous => f.write_str("Anonymous"),
        }
    }
}

/// The key under which docker keeps Docker Hub's credentials.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Other names of Docker Hub found in files, in the order in which they are tried.
const HUB_NAMES: [&str; 4] = [
    "index.docker.io",
    "docker.io",
    "registry-1.docker.io",
    HUB_KEY,
];

/// The names under which `host` may be kept, the one docker itself uses first.
///
/// Docker Hub arrives as `registry-1.docker.io` from a daemon and as `docker.io` from a
/// reference; both mean the key [`HUB_KEY`].
fn names(host: &str) -> Vec<&str> {
    if HUB_NAMES.contains(&host) {
        return [HUB_KEY]
            .into_iter()
            .chain(HUB_NAMES[..3].iter().copied())
            .collect();
    }
    vec![host]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_carries_no_secret() {
        let shown = format!(
            "{:?} {:?} {:?}",
            Credential::Basic {
                username: "ann".into(),
                secret: "s3cret".into()
            },
            Credential::IdentityToken("s3cret".into()),
            Credential::RegistryToken("s3cret".into()),
        );
        assert_eq!(shown, "Basic(ann, …) IdentityToken(…) RegistryToken(…)");
    }

    #[test]
    fn every_name_of_docker_hub_means_its_one_key() {
        for host in [
            "docker.io",
            "index.docker.io",
            "registry-1.docker.io",
            HUB_KEY,
        ] {
            assert_eq!(names(host)[0], HUB_KEY);
            assert_eq!(names(host).len(), 4);
        }
        assert_eq!(names("registry.example:5000"), ["registry.example:5000"]);
    }
}
