//! What the Dockerfile frontend is told of a request: the effect of every flag on the wire.
//!
//! Pure. The names and forms of the attributes are BuildKit's. Where the files come from is
//! [`context`]'s part.

mod context;
mod question;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::attrs;
use crate::platform::Platform;
use crate::request::{BuildRequest, HostAddress, HostEntry, Network, NoCache};

pub(super) use context::{CONTEXT_MOUNT, DOCKERFILE_MOUNT, named_mount};

/// The build argument that names another frontend, as `# syntax=` does.
const SYNTAX_ARG: &str = "BUILDKIT_SYNTAX";

/// What of a unit's surroundings the attributes depend on.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    /// The session that serves the context to several units; `None` means the unit's own.
    pub(super) context_session: Option<String>,
    /// The id of the uploaded context archive.
    pub(super) upload: Option<String>,
    /// The ids of the stores that serve layouts, by the names of their contexts.
    pub(super) layouts: BTreeMap<String, String>,
    /// Whether the daemon is a Docker engine, which prefers the images that it already has.
    pub(super) is_docker: bool,
    /// What `host-gateway` means on this daemon.
    pub(super) host_gateway: Option<IpAddr>,
}

/// A frontend and its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frontend {
    pub(super) name: &'static str,
    pub(super) attrs: BTreeMap<String, String>,
}

/// Why a request cannot be told to this daemon's frontend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--add-host {host}:host-gateway: only a Docker engine knows its host's address")]
pub struct NoGateway {
    /// The name that was to be resolved.
    pub host: String,
}

/// Translates the request for one platform.
pub(super) fn frontend(
    request: &BuildRequest,
    platform: &Platform,
    around: &Surroundings,
) -> Result<Frontend, NoGateway> {
    let options = &request.frontend;
    let mut attrs = BTreeMap::new();
    let mut set = |key: &str, value: String| drop(attrs.insert(key.to_owned(), value));

    set("platform", platform.to_string());
    context::set(request, around, &mut set);
    if let Some(target) = &options.target {
        set("target", target.clone());
    }
    for (name, value) in &options.vcs {
        set(&format!("vcs:{name}"), value.clone());
    }
    for (name, value) in &options.build_args {
        set(&format!("build-arg:{name}"), value.clone());
    }
    for (name, value) in &options.labels {
        set(&format!("label:{name}"), value.clone());
    }
    match &options.no_cache {
        NoCache::Use => {}
        // Present and empty means every stage.
        NoCache::All => set("no-cache", String::new()),
        NoCache::Stages(stages) => set("no-cache", stages.join(",")),
    }
    match (options.pull, around.is_docker) {
        (true, _) => set("image-resolve-mode", "pull".to_owned()),
        (false, true) => set("image-resolve-mode", "local".to_owned()),
        (false, false) => {}
    }
    if !options.add_hosts.is_empty() {
        set(
            "add-hosts",
            add_hosts(&options.add_hosts, around.host_gateway)?,
        );
    }
    if !options.ulimits.is_empty() {
        set(
            "ulimit",
            attrs::join(options.ulimits.iter().map(ToString::to_string)),
        );
    }
    if let Some(size) = options.shm_size {
        set("shm-size", size.to_string());
    }
    if let Some(parent) = &options.cgroup_parent {
        set("cgroup-parent", parent.clone());
    }
    match options.network {
        None => {}
        Some(Network::Host) => set("force-network-mode", "host".to_owned()),
        Some(Network::None) => set("force-network-mode", "none".to_owned()),
    }
    let mut frontend = choose(attrs);
    question::set(request, &mut frontend);
    Ok(frontend)
}

/// The built-in frontend, or the image that `BUILDKIT_SYNTAX` names: old daemons know that
/// build argument only when the client acts on it.
fn choose(mut attrs: BTreeMap<String, String>) -> Frontend {
    let Some(syntax) = attrs.get(&format!("build-arg:{SYNTAX_ARG}")).cloned() else {
        return Frontend {
            name: "dockerfile.v0",
            attrs,
        };
    };
    let source = syntax
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    attrs.insert("source".to_owned(), source);
    attrs.insert("cmdline".to_owned(), syntax);
    Frontend {
        name: "gateway.v0",
        attrs,
    }
}

fn add_hosts(entries: &[HostEntry], gateway: Option<IpAddr>) -> Result<String, NoGateway> {
    let resolved = entries
        .iter()
        .map(|entry| match (entry.address, gateway) {
            (HostAddress::Ip(ip), _) | (HostAddress::Gateway, Some(ip)) => {
                Ok(format!("{}={ip}", entry.host))
            }
            (HostAddress::Gateway, None) => Err(NoGateway {
                host: entry.host.clone(),
            }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(attrs::join(resolved))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{BuildContext, Dockerfile, FrontendOptions, Ulimit};

    fn request(options: FrontendOptions) -> BuildRequest {
        let dockerfile = Dockerfile::Local {
            dir: "/src".into(),
            name: "Dockerfile".to_owned(),
        };
        BuildRequest {
            frontend: options,
            ..BuildRequest::new(BuildContext::Directory("/src".into()), dockerfile)
        }
    }

    /// Each line of `expect`: `key=value`; `filename` and `platform` are always there.
    fn check(request: &BuildRequest, around: &Surroundings, expect: &[&str]) {
        let frontend = frontend(request, &"linux/arm64".parse().unwrap(), around).unwrap();
        let got: Vec<_> = frontend
            .attrs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .filter(|line| line != "filename=Dockerfile" && line != "platform=linux/arm64")
            .collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn a_plain_build_says_platform_and_file_name_only() {
        check(
            &request(FrontendOptions::default()),
            &Surroundings::default(),
            &[],
        );
    }

    #[test]
    fn every_option_has_its_attribute() {
        let options = FrontendOptions {
            target: Some("app".to_owned()),
            vcs: [("revision".to_owned(), "c".to_owned())].into(),
            build_args: [("A".to_owned(), "1,2".to_owned())].into(),
            labels: [("l".to_owned(), String::new())].into(),
            no_cache: NoCache::Stages(vec!["a".to_owned(), "b".to_owned()]),
            pull: true,
            add_hosts: HostEntry::parse("h:10.0.0.1,::1").unwrap(),
            ulimits: vec![Ulimit::parse("nofile=1024:2048").unwrap()],
            shm_size: Some(64 << 20),
            cgroup_parent: Some("cg".to_owned()),
            network: Some(Network::None),
        };
        check(
            &request(options),
            &Surroundings::default(),
            &[
                "add-hosts=h=10.0.0.1,h=::1",
                "build-arg:A=1,2",
                "cgroup-parent=cg",
                "force-network-mode=none",
                "image-resolve-mode=pull",
                "label:l=",
                "no-cache=a,b",
                "shm-size=67108864",
                "target=app",
                "ulimit=nofile=1024:2048",
                "vcs:revision=c",
            ],
        );
    }

    #[test]
    fn no_cache_for_all_is_present_and_empty() {
        let options = FrontendOptions {
            no_cache: NoCache::All,
            ..Default::default()
        };
        check(&request(options), &Surroundings::default(), &["no-cache="]);
    }

    #[test]
    fn units_on_one_daemon_take_the_context_from_a_session_they_share() {
        let around = Surroundings {
            context_session: Some("s1".to_owned()),
            ..Default::default()
        };
        check(
            &request(FrontendOptions::default()),
            &around,
            &[
                "local-sessionid:context=s1",
                "local-sessionid:dockerfile=s1",
            ],
        );
    }

    #[test]
    fn an_archive_is_fetched_from_the_session() {
        let mut request = request(FrontendOptions::default());
        request.context = BuildContext::Archive("/tmp/x".into());
        request.dockerfile = Dockerfile::InContext("Dockerfile".to_owned());
        let around = Surroundings {
            upload: Some("u1".to_owned()),
            ..Default::default()
        };
        check(&request, &around, &["context=http://buildkit-session/u1"]);
    }

    #[test]
    fn the_gateway_of_the_host_is_the_daemons_to_know() {
        let options = FrontendOptions {
            add_hosts: HostEntry::parse("h:host-gateway").unwrap(),
            ..Default::default()
        };
        let request = request(options);
        let gateway = Some("172.17.0.1".parse().unwrap());
        let around = Surroundings {
            host_gateway: gateway,
            ..Default::default()
        };
        check(&request, &around, &["add-hosts=h=172.17.0.1"]);
        let platform = "linux/arm64".parse().unwrap();
        assert!(frontend(&request, &platform, &Surroundings::default()).is_err());
    }

    #[test]
    fn a_syntax_argument_switches_the_frontend() {
        let options = FrontendOptions {
            build_args: [("BUILDKIT_SYNTAX".to_owned(), "r/dockerfile:1 -x".to_owned())].into(),
            ..Default::default()
        };
        let platform = "linux/arm64".parse().unwrap();
        let frontend = frontend(&request(options), &platform, &Surroundings::default()).unwrap();
        assert_eq!(frontend.name, "gateway.v0");
        assert_eq!(frontend.attrs["source"], "r/dockerfile:1");
        assert_eq!(frontend.attrs["cmdline"], "r/dockerfile:1 -x");
    }
}
