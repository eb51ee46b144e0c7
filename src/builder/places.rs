//! Where a daemon may be when no builder is named: `BUILDKIT_HOST`, Docker, the usual sockets.
//!
//! What is tried and what comes of it is decided here; asking is `probe`'s.

use std::path::Path;

use super::choose::DEFAULT_BUILDER;
use super::docker_host::DockerEngine;
use super::open::OpenError;
use super::probe::Probed;
use super::spec::{BuilderSpec, NodeSpec, Origin, Reach};
use super::{Builder, FoundBuilder, Node};
use crate::buildkit::ConnectError;
use crate::buildkit::dial::DialError;
use crate::buildkit::endpoint::Endpoint;
use crate::causes::causes;
use crate::config::{self, Env};

/// The name of the node of a builder that was found.
const FOUND_BUILDKIT: &str = "buildkit";
/// The same where a Docker engine was found.
const FOUND_DOCKER: &str = "docker";

const BUILDKIT_SOCKET: &str = "/run/buildkit/buildkitd.sock";

/// A place where a daemon may be when nothing is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What led there, as a phrase: `BUILDKIT_HOST`, `the usual socket of Docker`.
    pub what: String,
    /// The node it would be, or why it can be none.
    pub node: Result<NodeSpec, String>,
}

impl Place {
    fn new(what: impl Into<String>, name: &str, endpoint: Endpoint) -> Self {
        Self {
            what: what.into(),
            node: Ok(NodeSpec::new(name, endpoint)),
        }
    }
}

/// No builder is named, and no place where a daemon may be answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no builder is configured, and no daemon answers; tried{}",
    lines(tried)
)]
pub struct NothingAnswers {
    /// What was tried: the place, and why it failed.
    pub tried: Vec<(String, String)>,
    /// What the user can do about it.
    pub hints: Vec<String>,
}

impl NothingAnswers {
    /// Adds what was tried before all else: the pool of the pod's namespace.
    pub(super) fn after(mut self, passed: Option<(String, Option<String>)>) -> Self {
        if let Some((why, hint)) = passed {
            let what = "the pool of this pod's namespace".to_owned();
            let hint = hint.map(|hint| format!("{what}: {hint}"));
            self.hints.splice(0..0, hint);
            self.tried.insert(0, (what, why));
        }
        self
    }
}

fn lines(tried: &[(String, String)]) -> String {
    tried
        .iter()
        .map(|(place, why)| format!("\n  {place}: {why}"))
        .collect()
}

/// Lists where a daemon may be when nothing is configured, in the order to try.
///
/// `docker` is the engine that the docker client would speak to. A `BUILDKIT_HOST` that does
/// not answer is not passed over: who sets it means that daemon and no other.
pub(super) fn places(env: &Env, docker: Result<DockerEngine, String>) -> Vec<Place> {
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
    if let Some(host) = set("BUILDKIT_HOST") {
        let node = match host.parse() {
            Ok(endpoint) => Ok(NodeSpec::new(FOUND_BUILDKIT, endpoint)),
            Err(error) => Err(format!("{error}")),
        };
        return vec![Place {
            what: "BUILDKIT_HOST".to_owned(),
            node,
        }];
    }
    let runtime_dir = set("XDG_RUNTIME_DIR").map(Path::new);
    let mut places = Vec::new();
    match docker {
        Err(why) => places.push(Place {
            what: "Docker".to_owned(),
            node: Err(why),
        }),
        Ok(engine) => {
            let usual = engine.named_by.is_none();
            let what = engine
                .named_by
                .unwrap_or_else(|| "Docker's socket".to_owned());
            let DockerEngine { endpoint, tls, .. } = engine;
            let node = NodeSpec::reached(FOUND_DOCKER, Reach::Endpoint { endpoint, tls });
            places.push(Place {
                what,
                node: Ok(node),
            });
            if let Some(dir) = runtime_dir.filter(|_| usual) {
                let endpoint = Endpoint::DockerUnix(dir.join("docker.sock"));
                places.push(Place::new(
                    "rootless Docker's socket",
                    FOUND_DOCKER,
                    endpoint,
                ));
            }
        }
    }
    let socket = Endpoint::Unix(BUILDKIT_SOCKET.into());
    places.push(Place::new("buildkitd's socket", FOUND_BUILDKIT, socket));
    if let Some(dir) = runtime_dir {
        let socket = Endpoint::Unix(dir.join("buildkit/buildkitd.sock"));
        places.push(Place::new(
            "rootless buildkitd's socket",
            FOUND_BUILDKIT,
            socket,
        ));
    }
    places
}

/// Tells whether there simply is no such socket, which the error says well enough.
fn is_absent(error: &OpenError) -> bool {
    let OpenError::Connect(ConnectError::Dial(DialError::Connect { source, .. })) = error else {
        return false;
    };
    source.kind() == std::io::ErrorKind::NotFound
}

/// Makes the nodes that can be asked, in the order of their places.
pub fn nodes_at(places: &[Place], env: &Env) -> Vec<Node> {
    let specs = places.iter().filter_map(|place| place.node.clone().ok());
    specs.map(|spec| Node::new(spec, env)).collect()
}

/// Takes the first place that answered; `probed` are the answers of [`nodes_at`].
///
/// # Errors
///
/// When none did: then it says what was tried, and why each failed.
pub fn first_answering(
    places: Vec<Place>,
    probed: Vec<Probed>,
    env: &Env,
) -> Result<FoundBuilder, NothingAnswers> {
    let mut probed = probed.into_iter();
    let mut tried = Vec::new();
    let mut hints = Vec::new();
    for Place { what, node } in places {
        let answer = match node {
            Ok(node) => probed.next().map(|probed| (node, probed)),
            Err(why) => {
                tried.push((what, why));
                continue;
            }
        };
        let Some((node, probed)) = answer else {
            continue;
        };
        let Err(error) = &probed.outcome else {
            let builder = Builder::new(
                BuilderSpec {
                    name: DEFAULT_BUILDER.to_owned(),
                    nodes: vec![node],
                    origin: Origin::Found(what),
                },
                env,
            );
            return Ok(FoundBuilder {
                builder,
                probed: Some(probed),
            });
        };
        let hint = error.hint().filter(|_| !is_absent(error));
        hints.extend(hint.map(|hint| format!("{what}: {hint}")));
        tried.push((what, causes(error)));
    }
    hints.push(format!(
        "name a daemon: BUILDKIT_HOST=tcp://host:1234, mbuild builder create, or a builder in {}",
        config::FILE_NAME
    ));
    Err(NothingAnswers { tried, hints })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    }

    fn engine(endpoint: &str, named_by: Option<&str>) -> DockerEngine {
        DockerEngine {
            endpoint: endpoint.parse().unwrap(),
            tls: None,
            named_by: named_by.map(str::to_owned),
        }
    }

    /// One line a place.
    fn listed(env: &Env, docker: Result<DockerEngine, String>) -> Vec<String> {
        let line = |place: Place| match place.node {
            Ok(node) => format!("{}: {} {}", place.what, node.name, node.reach),
            Err(why) => format!("{}: {why}", place.what),
        };
        places(env, docker).into_iter().map(line).collect()
    }

    #[test]
    fn without_configuration_the_usual_sockets_are_tried() {
        let usual = engine("docker+unix:///var/run/docker.sock", None);
        assert_eq!(
            listed(&Env::new(), Ok(usual.clone())),
            [
                "Docker's socket: docker docker+unix:///var/run/docker.sock",
                "buildkitd's socket: buildkit unix:///run/buildkit/buildkitd.sock",
            ]
        );
        assert_eq!(
            listed(&env(&[("XDG_RUNTIME_DIR", "/run/user/7")]), Ok(usual)),
            [
                "Docker's socket: docker docker+unix:///var/run/docker.sock",
                "rootless Docker's socket: docker docker+unix:///run/user/7/docker.sock",
                "buildkitd's socket: buildkit unix:///run/buildkit/buildkitd.sock",
                "rootless buildkitd's socket: buildkit unix:///run/user/7/buildkit/buildkitd.sock",
            ]
        );
    }

    #[test]
    fn a_named_engine_takes_the_place_of_the_usual_sockets() {
        let named = engine("docker+tcp://h:2375", Some("DOCKER_HOST"));
        assert_eq!(
            listed(&Env::new(), Ok(named)),
            [
                "DOCKER_HOST: docker docker+tcp://h:2375",
                "buildkitd's socket: buildkit unix:///run/buildkit/buildkitd.sock",
            ]
        );
        assert_eq!(
            listed(&Env::new(), Err("no such context".into()))[0],
            "Docker: no such context"
        );
    }

    #[test]
    fn buildkit_host_is_meant_alone() {
        let usual = engine("docker+unix:///var/run/docker.sock", None);
        let host = env(&[("BUILDKIT_HOST", "tcp://h:1")]);
        assert_eq!(
            listed(&host, Ok(usual.clone())),
            ["BUILDKIT_HOST: buildkit tcp://h:1"]
        );
        let odd = listed(&env(&[("BUILDKIT_HOST", "h:1")]), Ok(usual));
        assert!(
            odd[0].starts_with("BUILDKIT_HOST: `h:1` is not an endpoint"),
            "{odd:?}"
        );
    }
}
