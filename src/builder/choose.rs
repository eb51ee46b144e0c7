//! Which builder is used: an explicit choice first, else what this machine offers.
//!
//! [`choose`] decides from plain data and asks nobody; whether a place that it lists answers
//! is found out in `discover`.

use super::docker_host::DockerEngine;
use super::spec::{BuilderSpec, NodeSpec};
use crate::buildkit::endpoint::Endpoint;
use crate::config::Env;

/// The name of what is found when nothing is configured.
pub const DEFAULT_BUILDER: &str = "default";

/// The name of the node of a builder that was found.
const FOUND_BUILDKIT: &str = "buildkit";
/// The same where a Docker engine was found.
const FOUND_DOCKER: &str = "docker";

const BUILDKIT_SOCKET: &str = "/run/buildkit/buildkitd.sock";

/// What may name a builder, in the order in which it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The flag `--builder`, or the command's argument.
    Flag,
    /// `MBUILD_BUILDER`.
    MbuildEnv,
    /// `BUILDX_BUILDER`.
    BuildxEnv,
    /// `mbuild builder use`.
    Use,
    /// `builder =` in the configuration.
    Config,
}

/// A builder's name and what gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// What gave it.
    pub by: NamedBy,
}

/// Everything that can name a builder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choosers<'a> {
    /// The value of `--builder`.
    pub(super) flag: Option<&'a str>,
    /// The environment.
    pub(super) env: &'a Env,
    /// What `mbuild builder use` chose.
    pub(super) current: Option<&'a str>,
    /// What the configuration chooses.
    pub(super) config: Option<&'a str>,
}

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

impl NamedBy {
    /// The end of a sentence that starts with the builder: `which BUILDX_BUILDER names`.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Flag => "which was asked for",
            Self::MbuildEnv => "which MBUILD_BUILDER names",
            Self::BuildxEnv => "which BUILDX_BUILDER names",
            Self::Use => "which `mbuild builder use` chose",
            Self::Config => "which the configuration chooses",
        }
    }
}

/// Finds the name that counts; it may be `default`. `None` means that none is given.
pub(super) fn choose(choosers: &Choosers<'_>) -> Option<Named> {
    let var = |name: &str| choosers.env.get(name).map(String::as_str);
    let candidates = [
        (choosers.flag, NamedBy::Flag),
        (var("MBUILD_BUILDER"), NamedBy::MbuildEnv),
        (var("BUILDX_BUILDER"), NamedBy::BuildxEnv),
        (choosers.current, NamedBy::Use),
        (choosers.config, NamedBy::Config),
    ];
    let given = |(name, by): (Option<&str>, NamedBy)| {
        let name = name.filter(|name| !name.is_empty())?.to_owned();
        Some(Named { name, by })
    };
    candidates.into_iter().find_map(given)
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
    let runtime_dir = set("XDG_RUNTIME_DIR").map(std::path::Path::new);
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
            let node = NodeSpec {
                tls: engine.tls,
                ..NodeSpec::new(FOUND_DOCKER, engine.endpoint)
            };
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

/// Why a builder that is named cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no builder `{}`, {}{}", named.name, named.by.phrase(), list(known))]
pub struct UnknownBuilder {
    /// The name, and what gave it.
    pub named: Named,
    /// The builders there are, each with where it is defined.
    pub known: Vec<(String, String)>,
    /// What the user can do about it.
    pub hints: Vec<String>,
}

fn list(known: &[(String, String)]) -> String {
    if known.is_empty() {
        return "; none is defined".to_owned();
    }
    let known = known
        .iter()
        .map(|(name, origin)| format!("{name} ({origin})"));
    format!("; known are {}", known.collect::<Vec<_>>().join(", "))
}

impl UnknownBuilder {
    /// Makes the error; `elsewhere` says where else the name may be known.
    pub(super) fn new(named: Named, known: &[BuilderSpec], elsewhere: &Elsewhere) -> Self {
        let mut hints = Vec::new();
        if elsewhere.buildx {
            let name = &named.name;
            hints.push(format!(
                "buildx has one of this name: mbuild builder import {name}"
            ));
        }
        if let Some((unread, read)) = &elsewhere.unread {
            hints.push(format!(
                "{unread} was not read, since {read} was found first; keep the builder in the \
                 state directory (mbuild builder create), or name the file with --config or \
                 MBUILD_CONFIG"
            ));
        }
        if named.by == NamedBy::Use {
            hints.push("take the choice back with: mbuild builder use default".to_owned());
        }
        let known = known
            .iter()
            .map(|spec| (spec.name.clone(), spec.origin.to_string()));
        Self {
            known: known.collect(),
            named,
            hints,
        }
    }
}

/// Where else a builder that is not known may be defined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// Whether buildx has a builder of that name.
    pub(super) buildx: bool,
    /// The user's own file that was not read, and the one that was instead.
    pub(super) unread: Option<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn engine(endpoint: &str, named_by: Option<&str>) -> DockerEngine {
        DockerEngine {
            endpoint: endpoint.parse().unwrap(),
            tls: None,
            named_by: named_by.map(str::to_owned),
        }
    }

    /// Takes sources away one by one, the strongest first.
    #[test]
    fn the_strongest_source_names_the_builder() {
        let both = env(&[("MBUILD_BUILDER", "m"), ("BUILDX_BUILDER", "x")]);
        let buildx = env(&[("MBUILD_BUILDER", ""), ("BUILDX_BUILDER", "x")]);
        let none = Env::new();
        let check = |flag, env, current, config, expect: &str| {
            let named = choose(&Choosers {
                flag,
                env,
                current,
                config,
            });
            let named = named.map_or("nothing".into(), |n| format!("{} by {:?}", n.name, n.by));
            assert_eq!(named, expect);
        };
        check(Some("f"), &both, Some("u"), Some("c"), "f by Flag");
        check(None, &both, Some("u"), Some("c"), "m by MbuildEnv");
        check(Some(""), &buildx, Some("u"), Some("c"), "x by BuildxEnv");
        check(None, &none, Some("u"), Some("c"), "u by Use");
        check(None, &none, None, Some("c"), "c by Config");
        check(None, &none, None, None, "nothing");
        check(
            Some("default"),
            &both,
            Some("u"),
            Some("c"),
            "default by Flag",
        );
    }

    /// One line a place.
    fn listed(env: &Env, docker: Result<DockerEngine, String>) -> Vec<String> {
        let line = |place: Place| match place.node {
            Ok(node) => format!("{}: {} {}", place.what, node.name, node.endpoint),
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

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let farm = BuilderSpec {
            name: "farm".into(),
            nodes: Vec::new(),
            origin: super::super::spec::Origin::Config("/etc/mbuild.toml".into()),
        };
        let named = Named {
            name: "barn".into(),
            by: NamedBy::BuildxEnv,
        };
        let elsewhere = Elsewhere {
            buildx: true,
            unread: Some(("/u".into(), "/w".into())),
        };
        let error = UnknownBuilder::new(named, &[farm], &elsewhere);
        assert_eq!(
            error.to_string(),
            "there is no builder `barn`, which BUILDX_BUILDER names; known are farm \
             (/etc/mbuild.toml)"
        );
        assert!(
            error.hints[0].ends_with("mbuild builder import barn"),
            "{:?}",
            error.hints
        );
        assert!(
            error.hints[1].starts_with("/u was not read, since /w"),
            "{:?}",
            error.hints
        );
        let named = Named {
            name: "barn".into(),
            by: NamedBy::Use,
        };
        let error = UnknownBuilder::new(named, &[], &Elsewhere::default());
        assert!(error.to_string().ends_with("; none is defined"), "{error}");
        assert!(error.hints[0].contains("use default"), "{:?}", error.hints);
    }
}
