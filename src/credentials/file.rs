//! Reads docker's `config.json` (podman's `auth.json` is a subset): [`DockerConfig`].
//!
//! It says which helper or entry answers for a host, and hands out the `proxies` and
//! `HttpHeaders` members. It runs nothing.

use std::collections::BTreeMap;
use std::fmt;

use docker_credential::{DockerCredential, get_credential_from_reader};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{Credential, CredentialError, names};

/// A docker configuration file's members that concern registries and proxies.
///
/// Unknown members are skipped and `null` counts as absent, as in docker itself.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct DockerConfig {
    #[serde(deserialize_with = "nullable")]
    auths: BTreeMap<String, Value>,
    #[serde(rename = "credHelpers", deserialize_with = "nullable")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore", deserialize_with = "nullable")]
    creds_store: String,
    #[serde(deserialize_with = "nullable")]
    proxies: BTreeMap<String, ProxySettings>,
    #[serde(rename = "HttpHeaders", deserialize_with = "nullable")]
    http_headers: BTreeMap<String, String>,
    /// Where it was read from, for messages.
    #[serde(skip)]
    place: String,
}

/// The proxies that docker hands to builds, as build arguments; empty means not set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxySettings {
    /// `HTTP_PROXY`.
    pub http_proxy: String,
    /// `HTTPS_PROXY`.
    pub https_proxy: String,
    /// `NO_PROXY`.
    pub no_proxy: String,
    /// `FTP_PROXY`.
    pub ftp_proxy: String,
    /// `ALL_PROXY`.
    pub all_proxy: String,
}

impl DockerConfig {
    /// Parses `text`, which came from `place`.
    ///
    /// Errors carry a position and no content: a parser's own message may quote a password.
    pub fn parse(text: &str, place: &str) -> Result<Self, CredentialError> {
        let mut config: Self =
            serde_json::from_str(text).map_err(|error| CredentialError::Parse {
                place: place.to_owned(),
                line: error.line(),
                column: error.column(),
            })?;
        place.clone_into(&mut config.place);
        Ok(config)
    }

    /// The proxies for builds on `daemon` (its address, as `DOCKER_HOST` has it), or the
    /// default ones.
    pub fn proxies(&self, daemon: &str) -> Option<&ProxySettings> {
        self.proxies
            .get(daemon)
            .or_else(|| self.proxies.get("default"))
    }

    /// Headers that docker adds to requests to its engine.
    pub fn http_headers(&self) -> &BTreeMap<String, String> {
        &self.http_headers
    }

    /// Where this was read from.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The helper for `host` without `docker-credential-`; `None` when entries are plain.
    ///
    /// An empty name in `credHelpers` switches `credsStore` off for that host.
    pub(super) fn helper(&self, host: &str) -> Option<&str> {
        let own = names(host)
            .into_iter()
            .find_map(|name| self.cred_helpers.get(name));
        Some(own.unwrap_or(&self.creds_store).as_str()).filter(|name| !name.is_empty())
    }

    /// What `auths` has for `host`, decoded; [`Credential::Anonymous`] when nothing.
    pub(super) fn entry(&self, host: &str) -> Result<Credential, CredentialError> {
        let Some(entry) = self.find(host) else {
            return Ok(Credential::Anonymous);
        };
        let text = |member: &str| {
            entry
                .get(member)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        if let Some(token) = text("registrytoken") {
            return Ok(Credential::RegistryToken(token.to_owned()));
        }
        // The library refuses an entry whose `auth` and `username` differ; docker lets
        // `auth` win. It also takes an empty member for a value. So it gets one entry with
        // what counts.
        let mut only = serde_json::Map::new();
        let members: &[&str] = match text("auth") {
            Some(_) => &["auth", "identitytoken"],
            None => &["username", "password", "identitytoken"],
        };
        for member in members {
            if let Some(value) = text(member) {
                only.insert((*member).to_owned(), value.into());
            }
        }
        if only.is_empty() || (only.len() == 1 && only.contains_key("username")) {
            return Ok(Credential::Anonymous);
        }
        let file = json!({ "auths": { "host": only } }).to_string();
        match get_credential_from_reader(file.as_bytes(), "host") {
            Ok(DockerCredential::IdentityToken(token)) => Ok(Credential::IdentityToken(token)),
            Ok(DockerCredential::UsernamePassword(username, secret)) => Ok(Credential::Basic {
                username,
                // Old dockers padded the password with zero bytes.
                secret: secret.trim_end_matches('\0').to_owned(),
            }),
            Err(_) => Err(CredentialError::Decode {
                host: host.to_owned(),
                place: self.place.clone(),
            }),
        }
    }

    /// The entry for `host`: by its exact name, else by a URL key whose host it is.
    ///
    /// A key with a path but no scheme is podman's way of naming one repository
    /// (`quay.io/team`); its password is for that repository, so it never answers for the
    /// whole host.
    fn find(&self, host: &str) -> Option<&Value> {
        let names = names(host);
        names
            .iter()
            .find_map(|name| self.auths.get(*name))
            .or_else(|| {
                self.auths
                    .iter()
                    .find(|(key, _)| url_host(key).is_some_and(|key| names.contains(&key)))
                    .map(|(_, entry)| entry)
            })
    }
}

fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The host of a key that is a URL, such as `https://quay.io/v1/`.
fn url_host(key: &str) -> Option<&str> {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))?;
    rest.split('/').next()
}

impl fmt::Debug for DockerConfig {
    /// Names the place; the content holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DockerConfig({})", self.place)
    }
}
