//! Which Docker engine the user means: `DOCKER_HOST`, a docker context, or the usual socket.
//!
//! Follows the docker client's own order. Reads its context files; asks no engine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::buildkit::dial::TlsFiles;
use crate::buildkit::endpoint::{Endpoint, EndpointError};
use crate::config::Env;
use crate::digest::Digest;

/// Where the docker client looks when it is told nothing.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The context that stands for `DOCKER_HOST` or the usual socket.
pub(super) const DEFAULT_CONTEXT: &str = "default";

/// A Docker engine and what named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerEngine {
    /// Where it is.
    pub endpoint: Endpoint,
    /// How it is authenticated; `None` means plain text.
    pub tls: Option<TlsFiles>,
    /// What named it; `None` when nothing did and this is the usual socket.
    pub named_by: Option<String>,
}

/// Why it is not known which engine is meant.
#[derive(Debug, thiserror::Error)]
pub enum DockerHostError {
    /// A variable or a context holds no endpoint of a Docker engine.
    #[error("{named_by} does not lead to a Docker engine")]
    Endpoint {
        /// What holds it.
        named_by: String,
        /// Why.
        source: EndpointError,
    },
    /// There is no context of that name.
    #[error("{named_by} names docker context `{context}`, and there is no {}", path.display())]
    NoContext {
        /// What names it.
        named_by: String,
        /// The context.
        context: String,
        /// The file that would define it.
        path: PathBuf,
    },
    /// A context's file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A context's file is not of the docker client's form.
    #[error("{} defines no Docker engine", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why, if it is no JSON at all.
        source: Option<serde_json::Error>,
    },
}

#[derive(Deserialize)]
struct ContextFile {
    #[serde(rename = "Endpoints", default)]
    endpoints: ContextEndpoints,
}

#[derive(Deserialize, Default)]
struct ContextEndpoints {
    docker: Option<ContextEndpoint>,
}

#[derive(Deserialize)]
struct ContextEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(rename = "currentContext")]
    current_context: Option<String>,
}

/// Returns the docker client's directory; `None` without a home directory.
pub(super) fn docker_dir(env: &Env) -> Option<PathBuf> {
    let set = |name: &str| {
        env.get(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))
}

/// Finds the engine that the docker client would speak to.
///
/// # Errors
///
/// When what is named is not there or leads to no engine.
pub fn docker_engine(env: &Env) -> Result<DockerEngine, DockerHostError> {
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
    if let Some(host) = set("DOCKER_HOST") {
        return from_host(env, host);
    }
    if let Some(context) = set("DOCKER_CONTEXT") {
        return docker_context(env, context, "DOCKER_CONTEXT");
    }
    let config = docker_dir(env).map(|dir| dir.join("config.json"));
    let current = config.as_deref().and_then(current_context);
    match (current, config) {
        (Some(name), Some(path)) => docker_context(env, &name, &path.display().to_string()),
        _ => Ok(usual_engine()),
    }
}

/// Finds the engine of one docker context that something else names.
///
/// # Errors
///
/// When there is no such context, or it leads to no engine.
pub fn docker_engine_of(
    env: &Env,
    context: &str,
    named_by: &str,
) -> Result<DockerEngine, DockerHostError> {
    docker_context(env, context, named_by)
}

/// Finds the engine of one docker context; `named_by` is what names it, for messages.
///
/// # Errors
///
/// When there is no such context, or it leads to no engine.
pub(super) fn docker_context(
    env: &Env,
    context: &str,
    named_by: &str,
) -> Result<DockerEngine, DockerHostError> {
    if context == DEFAULT_CONTEXT {
        return match env.get("DOCKER_HOST").filter(|value| !value.is_empty()) {
            Some(host) => from_host(env, host),
            None => Ok(usual_engine()),
        };
    }
    let id = Digest::of(context.as_bytes()).hex();
    let dir = docker_dir(env).unwrap_or_default().join("contexts");
    let path = dir.join("meta").join(&id).join("meta.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (named_by, context) = (named_by.to_owned(), context.to_owned());
            return Err(DockerHostError::NoContext {
                named_by,
                context,
                path,
            });
        }
        Err(source) => return Err(DockerHostError::Read { path, source }),
    };
    let file: ContextFile = match serde_json::from_slice(&text) {
        Ok(file) => file,
        Err(error) => {
            return Err(DockerHostError::Form {
                path,
                source: Some(error),
            });
        }
    };
    let Some(engine) = file.endpoints.docker else {
        return Err(DockerHostError::Form { path, source: None });
    };
    let tls = tls_files(&dir.join("tls").join(&id).join("docker"));
    let named_by = format!("docker context `{context}`");
    let endpoint = Endpoint::from_docker_host(&engine.host, tls.is_some()).map_err(|source| {
        DockerHostError::Endpoint {
            named_by: named_by.clone(),
            source,
        }
    })?;
    let tls = tls.filter(|_| endpoint.allows_tls());
    Ok(DockerEngine {
        endpoint,
        tls,
        named_by: Some(named_by),
    })
}

fn from_host(env: &Env, host: &str) -> Result<DockerEngine, DockerHostError> {
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
    let wanted = set("DOCKER_TLS_VERIFY")
        .or_else(|| set("DOCKER_TLS"))
        .is_some();
    let endpoint =
        Endpoint::from_docker_host(host, wanted).map_err(|source| DockerHostError::Endpoint {
            named_by: "DOCKER_HOST".to_owned(),
            source,
        })?;
    let dir = set("DOCKER_CERT_PATH")
        .map(PathBuf::from)
        .or_else(|| docker_dir(env));
    let tls = (wanted && endpoint.allows_tls())
        .then(|| dir.as_deref().and_then(tls_files).unwrap_or_default());
    Ok(DockerEngine {
        endpoint,
        tls,
        named_by: Some("DOCKER_HOST".to_owned()),
    })
}

fn usual_engine() -> DockerEngine {
    let endpoint = Endpoint::DockerUnix(DEFAULT_SOCKET.into());
    DockerEngine {
        endpoint,
        tls: None,
        named_by: None,
    }
}

/// Reads `currentContext`. A file that cannot be read chooses none here: who needs its
/// credentials will say what is wrong with it.
fn current_context(path: &Path) -> Option<String> {
    let file: ConfigFile = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    file.current_context.filter(|name| !name.is_empty())
}

/// The files of the docker client's names that are in `dir`; `None` when there are none.
fn tls_files(dir: &Path) -> Option<TlsFiles> {
    let file = |name: &str| Some(dir.join(name)).filter(|path| path.is_file());
    let files = TlsFiles {
        ca: file("ca.pem"),
        cert: file("cert.pem"),
        key: file("key.pem"),
        server_name: None,
    };
    (files != TlsFiles::default()).then_some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(dir: &Path, pairs: &[(&str, &str)]) -> Env {
        let dir = ("DOCKER_CONFIG", dir.to_str().unwrap());
        let pairs = pairs.iter().chain(std::iter::once(&dir));
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Defines a context as the docker client does.
    fn context(dir: &Path, name: &str, host: &str) -> String {
        let id = Digest::of(name.as_bytes()).hex();
        let meta = format!(
            r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#
        );
        write(&dir.join(format!("contexts/meta/{id}/meta.json")), &meta);
        id
    }

    fn found(dir: &Path, pairs: &[(&str, &str)]) -> String {
        let engine = docker_engine(&env(dir, pairs)).unwrap();
        let by = engine.named_by.unwrap_or_else(|| "usual".into());
        format!("{by} {}", engine.endpoint)
    }

    #[test]
    fn the_order_is_the_docker_clients() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(found(dir, &[]), "usual docker+unix:///var/run/docker.sock");
        context(dir, "far", "tcp://far:2375");
        context(dir, "near", "unix:///run/near.sock");
        write(
            &dir.join("config.json"),
            r#"{"auths":{},"currentContext":"far"}"#,
        );
        assert_eq!(
            found(dir, &[]),
            "docker context `far` docker+tcp://far:2375"
        );
        let near = ("DOCKER_CONTEXT", "near");
        assert_eq!(
            found(dir, &[near]),
            "docker context `near` docker+unix:///run/near.sock"
        );
        let host = ("DOCKER_HOST", "ssh://me@h");
        assert_eq!(found(dir, &[near, host]), "DOCKER_HOST docker+ssh://me@h");
        let default = ("DOCKER_CONTEXT", "default");
        assert_eq!(
            found(dir, &[default]),
            "usual docker+unix:///var/run/docker.sock"
        );
    }

    #[test]
    fn tls_files_come_from_where_docker_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let id = context(dir, "far", "tcp://far");
        write(&dir.join(format!("contexts/tls/{id}/docker/ca.pem")), "x");
        let engine = docker_context(&env(dir, &[]), "far", "a test").unwrap();
        assert_eq!(engine.endpoint.to_string(), "docker+tcp://far:2376");
        let ca = dir.join(format!("contexts/tls/{id}/docker/ca.pem"));
        assert_eq!(engine.tls.unwrap().ca, Some(ca));

        for name in ["ca.pem", "cert.pem", "key.pem"] {
            write(&dir.join("certs").join(name), "x");
        }
        let certs = dir.join("certs");
        let host = ("DOCKER_HOST", "tcp://far");
        let path = ("DOCKER_CERT_PATH", certs.to_str().unwrap());
        let engine = docker_engine(&env(dir, &[host, path, ("DOCKER_TLS_VERIFY", "1")])).unwrap();
        assert_eq!(engine.tls.unwrap().key, Some(certs.join("key.pem")));
        let engine = docker_engine(&env(dir, &[host, path])).unwrap();
        assert_eq!(engine.tls, None, "certificates alone do not ask for TLS");
    }

    #[test]
    fn what_leads_nowhere_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let check = |pairs: &[(&str, &str)], expect: &str| {
            let text = docker_engine(&env(dir, pairs)).unwrap_err().to_string();
            assert!(text.contains(expect), "{text}");
        };
        check(
            &[("DOCKER_HOST", "fd://")],
            "DOCKER_HOST does not lead to a Docker engine",
        );
        check(
            &[("DOCKER_CONTEXT", "gone")],
            "DOCKER_CONTEXT names docker context `gone`",
        );
        let id = context(dir, "odd", "");
        check(
            &[("DOCKER_CONTEXT", "odd")],
            "docker context `odd` does not lead to",
        );
        let meta = dir.join(format!("contexts/meta/{id}/meta.json"));
        write(&meta, "{}");
        check(&[("DOCKER_CONTEXT", "odd")], "defines no Docker engine");
        write(&meta, "no");
        check(&[("DOCKER_CONTEXT", "odd")], "defines no Docker engine");
    }
}
