//! The flags that describe a node: `--endpoint` with its fields, and buildx's way of saying it.
//!
//! Gives a [`NodeChange`]: what was said of a node and nothing else, so that the same flags
//! make a node or change one.

use std::path::{Path, PathBuf};

use crate::attrs::{FlagError, split_flag, split_pair};
use crate::builder::{NodeSpec, Reach};
use crate::buildkit::dial::TlsFiles;
use crate::buildkit::endpoint::{Endpoint, EndpointError};
use crate::platform::Platform;
use crate::request::parse_platforms;

const ENDPOINT: &str = "--endpoint";
const DRIVER_OPT: &str = "--driver-opt";
const FIELDS: &[&str] = &[
    "name",
    "endpoint",
    "platforms",
    "slots",
    "ca",
    "cert",
    "key",
    "server_name",
];
const DRIVER_OPTS: &[&str] = &["cacert", "cert", "key", "servername"];
/// Options of buildx's remote driver that say nothing about how a daemon is reached.
const IGNORED_OPTS: &[&str] = &["default-load", "timeout"];

/// What was said of a node; `None` and empty mean nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NodeChange {
    pub(super) name: Option<String>,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) platforms: Vec<Platform>,
    pub(super) slots: Option<usize>,
    pub(super) tls: TlsFiles,
}

/// Why a node cannot be made of flags.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    /// A value is not of the flag's form.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// An endpoint is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A key is given twice.
    #[error("{ENDPOINT}: `{0}` is given twice")]
    Twice(String),
    /// A number of slots is none.
    #[error("{ENDPOINT}: slots must be a whole number from 1, not `{0}`")]
    Slots(String),
    /// A new node has no endpoint.
    #[error("node `{0}` has no endpoint")]
    NoEndpoint(String),
    /// There are TLS files for an endpoint without TLS.
    #[error("node `{name}` has TLS files, which mean nothing for {endpoint}")]
    TlsUnused {
        /// The node.
        name: String,
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// The node's daemons are pods.
    #[error(
        "node `{0}` has its daemons in the pods of a cluster; change it with --driver kubernetes"
    )]
    Pods(String),
    /// A certificate has no key, or the other way round.
    #[error("node `{0}` has only one of certificate and key; the two go together")]
    HalfPair(String),
}

/// Parses the value of `--endpoint`: an endpoint alone, or fields that name one.
pub(super) fn parse_endpoint(
    value: &str,
    cwd: &Path,
    host: &Platform,
) -> Result<NodeChange, NodeError> {
    let mut change = NodeChange::default();
    let fields = split_flag(ENDPOINT, value)?;
    if let [only] = &fields[..]
        && !only.starts_with("endpoint=")
    {
        change.endpoint = Some(only.parse()?);
        return Ok(change);
    }
    let mut seen = Vec::new();
    for field in &fields {
        let (key, text) = split_pair(ENDPOINT, field)?;
        let path = || Some(cwd.join(text));
        match key.as_str() {
            "name" => change.name = Some(text.to_owned()),
            "endpoint" => change.endpoint = Some(text.parse()?),
            // A list has commas and so needs quotes; the key may be repeated instead.
            "platforms" | "platform" => {
                change.platforms.extend(parse_platforms(&[text], host)?);
                continue;
            }
            "slots" => {
                let slots = text.parse().ok().filter(|slots| *slots > 0);
                change.slots = Some(slots.ok_or_else(|| NodeError::Slots(text.to_owned()))?);
            }
            "ca" => change.tls.ca = path(),
            "cert" => change.tls.cert = path(),
            "key" => change.tls.key = path(),
            "server_name" => change.tls.server_name = Some(text.to_owned()),
            _ => return Err(unknown(ENDPOINT, key, FIELDS)),
        }
        if seen.contains(&key) {
            return Err(NodeError::Twice(key));
        }
        seen.push(key);
    }
    Ok(change)
}

/// Reads values of buildx's `--driver-opt` into a change; gives back the keys it left out.
pub(super) fn apply_driver_opts(
    change: &mut NodeChange,
    values: &[String],
    cwd: &Path,
) -> Result<Vec<String>, NodeError> {
    let mut left_out = Vec::new();
    for value in values {
        for field in split_flag(DRIVER_OPT, value)? {
            let (key, text) = split_pair(DRIVER_OPT, &field)?;
            let path: PathBuf = cwd.join(text);
            match key.as_str() {
                "cacert" => change.tls.ca = Some(path),
                "cert" => change.tls.cert = Some(path),
                "key" => change.tls.key = Some(path),
                "servername" => change.tls.server_name = Some(text.to_owned()),
                other if IGNORED_OPTS.contains(&other) => left_out.push(key),
                _ => return Err(unknown(DRIVER_OPT, key, DRIVER_OPTS)),
            }
        }
    }
    Ok(left_out)
}

fn unknown(flag: &'static str, key: String, allowed: &'static [&'static str]) -> NodeError {
    FlagError::UnknownKey { flag, key, allowed }.into()
}

impl NodeChange {
    /// Makes a node of this name.
    pub(super) fn into_node(self, name: String) -> Result<NodeSpec, NodeError> {
        let Some(endpoint) = self.endpoint.clone() else {
            return Err(NodeError::NoEndpoint(name));
        };
        let mut node = NodeSpec::new(name, endpoint);
        self.apply(&mut node)?;
        Ok(node)
    }

    /// Changes a node where something was said.
    pub(super) fn apply(self, node: &mut NodeSpec) -> Result<(), NodeError> {
        if !self.platforms.is_empty() {
            node.platforms = self.platforms;
        }
        node.slots = self.slots.or(node.slots);
        let Reach::Endpoint { endpoint, tls } = &mut node.reach else {
            return Err(NodeError::Pods(node.name.clone()));
        };
        if let Some(said) = self.endpoint {
            *endpoint = said;
        }
        if self.tls != TlsFiles::default() {
            *tls = Some(self.tls);
        }
        match tls {
            Some(_) if !endpoint.allows_tls() => Err(NodeError::TlsUnused {
                name: node.name.clone(),
                endpoint: endpoint.clone(),
            }),
            Some(tls) if tls.cert.is_some() != tls.key.is_some() => {
                Err(NodeError::HalfPair(node.name.clone()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<NodeChange, NodeError> {
        parse_endpoint(value, Path::new("/src"), &Platform::new("linux", "amd64"))
    }

    #[test]
    fn an_endpoint_may_stand_alone() {
        let change = parse("tcp://h:1").unwrap();
        assert_eq!(change.endpoint.unwrap().to_string(), "tcp://h:1");
        assert_eq!(parse("endpoint=unix:///s").unwrap().name, None);
    }

    #[test]
    fn fields_say_all_that_a_file_could() {
        let change = parse(
            "name=arm,endpoint=tcp://h:1,platform=linux/arm64,\"platforms=linux/arm/v7,linux/arm64\",\
             slots=2,ca=ca.pem,cert=/c.pem,key=k.pem,server_name=buildkit",
        );
        let node = change.unwrap().into_node("arm".into()).unwrap();
        let platforms: Vec<_> = node.platforms.iter().map(ToString::to_string).collect();
        assert_eq!(platforms, ["linux/arm64", "linux/arm/v7", "linux/arm64"]);
        assert_eq!(node.slots, Some(2));
        let Reach::Endpoint { tls: Some(tls), .. } = node.reach else {
            panic!("{node:?}");
        };
        assert_eq!(tls.ca, Some("/src/ca.pem".into()));
        assert_eq!(tls.cert, Some("/c.pem".into()));
        assert_eq!(tls.server_name.as_deref(), Some("buildkit"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let check = |value: &str, expect: &str| {
            let error = parse(value)
                .and_then(|change| change.into_node("n".into()))
                .unwrap_err();
            assert!(error.to_string().contains(expect), "{error}");
        };
        check("h:1", "`h:1` is not an endpoint");
        check("endpoint=h:1", "`h:1` is not an endpoint");
        check("endpoint=tcp://h:1,color=red", "unknown key `color`");
        check(
            "endpoint=tcp://h:1,slots=0",
            "slots must be a whole number from 1, not `0`",
        );
        check("endpoint=tcp://h:1,slots=many", "not `many`");
        check(
            "endpoint=tcp://h:1,endpoint=tcp://h:2",
            "`endpoint` is given twice",
        );
        check("name=n,slots=1", "node `n` has no endpoint");
        check(
            "endpoint=unix:///s,ca=c",
            "TLS files, which mean nothing for unix:///s",
        );
        check(
            "endpoint=tcp://h:1,cert=c",
            "only one of certificate and key",
        );
        check("endpoint=tcp://h:1,platform=x", "platform");
    }

    #[test]
    fn buildx_options_become_tls_files() {
        let mut change = NodeChange::default();
        let opts = [
            "cacert=/ca,cert=c.pem".to_owned(),
            "key=/k,default-load=true".to_owned(),
        ];
        let left_out = apply_driver_opts(&mut change, &opts, Path::new("/src")).unwrap();
        assert_eq!(left_out, ["default-load"]);
        assert_eq!(change.tls.cert, Some("/src/c.pem".into()));
        assert_eq!(change.tls.key, Some("/k".into()));
        let odd = ["image=moby/buildkit".to_owned()];
        let error = apply_driver_opts(&mut change, &odd, Path::new("/")).unwrap_err();
        assert!(error.to_string().contains("unknown key `image`"), "{error}");
    }
}
