//! Reads what `docker buildx create` kept: an instance's JSON becomes a [`BuilderSpec`].
//!
//! Knows the remote, docker, docker-container and kubernetes drivers. Daemons are not made or changed:
//! settings that only count when one is created are left out, and a note says so.

mod pods;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::docker_host::{DEFAULT_CONTEXT, DockerHostError, docker_context, docker_dir};
use super::pool::PoolSpec;
use super::spec::{BuilderSpec, NodeSpec, Origin, Reach};
use crate::buildkit::dial::TlsFiles;
use crate::buildkit::endpoint::{Endpoint, EndpointError};
use crate::config::{Env, is_name};
use crate::platform::Platform;

/// What buildx puts before a node's name to name its container.
const CONTAINER_PREFIX: &str = "buildx_buildkit_";

/// A builder made of a buildx instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The builder.
    pub spec: BuilderSpec,
    /// What the user should know of it, one sentence each.
    pub notes: Vec<String>,
}

/// Why there is nothing to import.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// buildx keeps no instance of that name.
    #[error("buildx has no builder named `{name}`: there is no {}", path.display())]
    NoInstance {
        /// The name.
        name: String,
        /// The file that would define it.
        path: PathBuf,
    },
    /// There is no home directory, and so no place where buildx keeps its instances.
    #[error("it is not known where buildx keeps its builders: HOME is not set")]
    NoHome,
    /// The text is no instance.
    #[error("this is not a builder as buildx keeps it")]
    Form(#[source] serde_json::Error),
    /// A name cannot be used.
    #[error("`{0}` cannot name a builder or a node")]
    Name(String),
    /// Two nodes have one name.
    #[error("builder `{builder}` has two nodes named `{node}`")]
    Twins {
        /// The builder.
        builder: String,
        /// The node.
        node: String,
    },
    /// There are no nodes.
    #[error("builder `{0}` has no nodes")]
    Empty(String),
    /// The driver is not one that can be imported.
    #[error("builder `{builder}` uses driver `{driver}`, which this version cannot import")]
    Driver {
        /// The builder.
        builder: String,
        /// The driver.
        driver: String,
    },
    /// A node's endpoint is none that can be reached.
    #[error("node `{node}` of builder `{builder}`")]
    Endpoint {
        /// The builder.
        builder: String,
        /// The node.
        node: String,
        /// Why.
        source: EndpointError,
    },
    /// A node's Docker engine is not known.
    #[error("node `{node}` of builder `{builder}`")]
    Docker {
        /// The builder.
        builder: String,
        /// The node.
        node: String,
        /// Why.
        source: Box<DockerHostError>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    name: String,
    #[serde(default)]
    driver: String,
    #[serde(default)]
    nodes: Option<Vec<InstanceNode>>,
}

/// Go writes `null` for what is empty, hence the options.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceNode {
    name: String,
    #[serde(default)]
    endpoint: String,
    platforms: Option<Vec<InstancePlatform>>,
    driver_opts: Option<BTreeMap<String, String>>,
    flags: Option<Vec<String>>,
    files: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct InstancePlatform {
    architecture: String,
    os: String,
    #[serde(default)]
    variant: String,
}

/// Finds the directory where buildx keeps its instances; `None` without a home directory.
fn buildx_instances(env: &Env) -> Option<PathBuf> {
    let buildx = env
        .get("BUILDX_CONFIG")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from);
    let buildx = buildx.or_else(|| Some(docker_dir(env)?.join("buildx")))?;
    Some(buildx.join("instances"))
}

/// Tells whether buildx keeps a builder of that name.
pub(super) fn buildx_has(env: &Env, name: &str) -> bool {
    let file = |dir: PathBuf| dir.join(name.to_lowercase()).is_file();
    is_name(name) && buildx_instances(env).is_some_and(file)
}

/// Imports the builder that buildx keeps under a name, or that a file holds.
///
/// What has a slash in it is a file; so is what buildx does not know and is a file.
///
/// # Errors
///
/// When there is no such builder, or it cannot be understood or reached.
pub fn import(env: &Env, what: &str, cwd: &Path) -> Result<Imported, ImportError> {
    let file = cwd.join(what);
    let path = if what.contains('/') || (!buildx_has(env, what) && file.is_file()) {
        file
    } else {
        let dir = buildx_instances(env).ok_or(ImportError::NoHome)?;
        let path = dir.join(what.to_lowercase());
        if !is_name(what) || !path.is_file() {
            return Err(ImportError::NoInstance {
                name: what.to_owned(),
                path,
            });
        }
        path
    };
    match fs::read_to_string(&path) {
        Ok(text) => import_text(env, &text),
        Err(source) => Err(ImportError::Read { path, source }),
    }
}

/// Imports the builder that a text describes.
///
/// # Errors
///
/// When the text cannot be understood, or what it describes cannot be reached.
pub fn import_text(env: &Env, text: &str) -> Result<Imported, ImportError> {
    let instance: Instance = serde_json::from_str(text).map_err(ImportError::Form)?;
    let builder = instance.name;
    let nodes = instance.nodes.unwrap_or_default();
    if nodes.is_empty() {
        return Err(ImportError::Empty(builder));
    }
    let mut notes = Vec::new();
    let mut specs: Vec<NodeSpec> = Vec::new();
    for node in nodes {
        if let Some(name) = [&builder, &node.name]
            .into_iter()
            .find(|name| !is_name(name))
        {
            return Err(ImportError::Name(name.clone()));
        }
        if specs.iter().any(|other| other.name == node.name) {
            return Err(ImportError::Twins {
                builder,
                node: node.name,
            });
        }
        let reader = NodeReader {
            env,
            builder: &builder,
            node: &node,
        };
        specs.push(match instance.driver.as_str() {
            "remote" => reader.remote(&mut notes)?,
            "docker" => reader.docker()?,
            "docker-container" => reader.container(&mut notes)?,
            "kubernetes" => reader.kubernetes(&mut notes)?,
            _ => {
                return Err(ImportError::Driver {
                    builder,
                    driver: instance.driver,
                });
            }
        });
    }
    Ok(Imported {
        spec: BuilderSpec {
            name: builder,
            nodes: specs,
            origin: Origin::New,
        },
        notes,
    })
}

/// One node of an instance, and what it takes to read it.
struct NodeReader<'a> {
    env: &'a Env,
    builder: &'a str,
    node: &'a InstanceNode,
}

impl NodeReader<'_> {
    fn platforms(&self) -> Vec<Platform> {
        let platforms = self.node.platforms.iter().flatten().map(|platform| {
            let plain = Platform::new(&platform.os, &platform.architecture);
            plain.with_variant(&platform.variant).normalized()
        });
        platforms.collect()
    }

    fn spec(&self, endpoint: Endpoint, tls: Option<TlsFiles>) -> NodeSpec {
        NodeSpec {
            platforms: self.platforms(),
            ..NodeSpec::reached(&self.node.name, Reach::Endpoint { endpoint, tls })
        }
    }

    fn remote(&self, notes: &mut Vec<String>) -> Result<NodeSpec, ImportError> {
        if let Some(pod) = pods::of_endpoint(&self.node.endpoint) {
            return Ok(self.pods(pod));
        }
        let endpoint: Endpoint = self
            .node
            .endpoint
            .parse()
            .map_err(|e| self.not_reached(e))?;
        let mut tls = TlsFiles::default();
        for (key, value) in self.node.driver_opts.iter().flatten() {
            match key.as_str() {
                "cacert" => tls.ca = Some(value.into()),
                "cert" => tls.cert = Some(value.into()),
                "key" => tls.key = Some(value.into()),
                "servername" => tls.server_name = Some(value.clone()),
                _ => notes.push(self.left_out(&format!("driver option `{key}`"))),
            }
        }
        // As with buildx, a server's name alone asks for TLS too.
        let tls = Some(tls).filter(|tls| *tls != TlsFiles::default() && endpoint.allows_tls());
        Ok(self.spec(endpoint, tls))
    }

    fn kubernetes(&self, notes: &mut Vec<String>) -> Result<NodeSpec, ImportError> {
        let options = self.node.driver_opts.clone().unwrap_or_default();
        let (pool, left_out) = pods::of_deployment(&self.node.name, &self.node.endpoint, &options);
        for option in left_out {
            notes.push(self.left_out(&format!("driver option `{option}`")));
        }
        Ok(self.pods(pool))
    }

    fn pods(&self, pool: PoolSpec) -> NodeSpec {
        NodeSpec {
            platforms: self.platforms(),
            ..NodeSpec::reached(&self.node.name, Reach::Pods(pool))
        }
    }

    fn docker(&self) -> Result<NodeSpec, ImportError> {
        let text = self.node.endpoint.as_str();
        if text.contains("://") {
            let endpoint =
                Endpoint::from_docker_host(text, false).map_err(|e| self.not_reached(e))?;
            return Ok(self.spec(endpoint, None));
        }
        let context = if text.is_empty() {
            DEFAULT_CONTEXT
        } else {
            text
        };
        let named_by = format!("node `{}`", self.node.name);
        let engine = docker_context(self.env, context, &named_by).map_err(|source| {
            let (builder, node) = (self.builder.to_owned(), self.node.name.clone());
            ImportError::Docker {
                builder,
                node,
                source: Box::new(source),
            }
        })?;
        Ok(self.spec(engine.endpoint, engine.tls))
    }

    fn container(&self, notes: &mut Vec<String>) -> Result<NodeSpec, ImportError> {
        let name = format!("{CONTAINER_PREFIX}{}", self.node.name);
        let endpoint = Endpoint::DockerContainer(name);
        let local = ["", DEFAULT_CONTEXT, "unix:///var/run/docker.sock"];
        if !local.contains(&self.node.endpoint.as_str()) {
            notes.push(format!(
                "node `{}` runs on Docker engine `{}`; its container is found only while that \
                 is the one DOCKER_HOST or DOCKER_CONTEXT leads to",
                self.node.name, self.node.endpoint
            ));
        }
        if self
            .node
            .driver_opts
            .as_ref()
            .is_some_and(|opts| !opts.is_empty())
        {
            notes.push(self.left_out("driver options"));
        }
        if self
            .node
            .flags
            .as_ref()
            .is_some_and(|flags| !flags.is_empty())
        {
            notes.push(self.left_out("flags of buildkitd"));
        }
        if self
            .node
            .files
            .as_ref()
            .is_some_and(|files| !files.is_empty())
        {
            notes.push(self.left_out("configuration files of buildkitd"));
        }
        Ok(self.spec(endpoint, None))
    }

    fn left_out(&self, what: &str) -> String {
        format!(
            "node `{}`: {what} left out; the running daemon keeps its own",
            self.node.name
        )
    }

    fn not_reached(&self, source: EndpointError) -> ImportError {
        let (builder, node) = (self.builder.to_owned(), self.node.name.clone());
        ImportError::Endpoint {
            builder,
            node,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `docker buildx create --driver remote` writes for two nodes.
    const REMOTE: &str = r#"{"Name":"farm","Driver":"remote","Nodes":[
        {"Name":"amd64","Endpoint":"tcp://10.0.0.5:1234",
         "Platforms":[{"architecture":"amd64","os":"linux"},
                      {"architecture":"arm","os":"linux","variant":"v7"}],
         "DriverOpts":{"cacert":"/c/ca.pem","cert":"/c/cert.pem","key":"/c/key.pem",
                       "servername":"buildkit","default-load":"true"},
         "Flags":["--allow-insecure-entitlement=network.host"],"Files":null},
        {"Name":"arm64","Endpoint":"unix:///run/buildkit/buildkitd.sock",
         "Platforms":null,"DriverOpts":null,"Flags":null,"Files":null}],"Dynamic":false}"#;

    fn read(text: &str) -> Result<Imported, ImportError> {
        import_text(&Env::new(), text)
    }

    /// An instance of one node.
    fn one(driver: &str, endpoint: &str, more: &str) -> String {
        format!(
            r#"{{"Name":"b","Driver":"{driver}","Nodes":[{{"Name":"b0","Endpoint":"{endpoint}","Platforms":null{more}}}],"Dynamic":false}}"#
        )
    }

    fn tls_of(node: &NodeSpec) -> Option<&TlsFiles> {
        match &node.reach {
            Reach::Endpoint { tls, .. } => tls.as_ref(),
            Reach::Pods(pool) => pool.tls.as_ref(),
        }
    }

    #[test]
    fn remote_nodes_keep_endpoint_platforms_and_tls() {
        let Imported { spec, notes } = read(REMOTE).unwrap();
        assert_eq!((spec.name.as_str(), &spec.origin), ("farm", &Origin::New));
        let [amd64, arm64] = &spec.nodes[..] else {
            panic!("{spec:?}")
        };
        assert_eq!(amd64.reach.to_string(), "tcp://10.0.0.5:1234");
        let platforms: Vec<_> = amd64.platforms.iter().map(ToString::to_string).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm/v7"]);
        let tls = tls_of(amd64).unwrap();
        assert_eq!(tls.ca, Some("/c/ca.pem".into()));
        assert_eq!(tls.server_name.as_deref(), Some("buildkit"));
        assert_eq!(
            arm64.reach.to_string(),
            "unix:///run/buildkit/buildkitd.sock"
        );
        assert_eq!((tls_of(arm64), arm64.platforms.len()), (None, 0));
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(
            notes[0].contains("driver option `default-load` left out"),
            "{notes:?}"
        );
    }

    #[test]
    fn a_container_is_reached_by_its_name() {
        let flags = r#","DriverOpts":{},"Flags":["--debug"],"Files":{"buildkitd.toml":"eA=="}"#;
        let text = one("docker-container", "unix:///var/run/docker.sock", flags);
        let Imported { spec, notes } = read(&text).unwrap();
        assert_eq!(
            spec.nodes[0].reach.to_string(),
            "docker-container://buildx_buildkit_b0"
        );
        assert_eq!(notes.len(), 2, "{notes:?}");

        let far = read(&one("docker-container", "far", "")).unwrap();
        assert!(
            far.notes[0].contains("Docker engine `far`"),
            "{:?}",
            far.notes
        );
    }

    #[test]
    fn a_docker_node_follows_its_context() {
        let spec = read(&one("docker", "default", "")).unwrap().spec;
        assert_eq!(
            spec.nodes[0].reach.to_string(),
            "docker+unix:///var/run/docker.sock"
        );
        let spec = read(&one("docker", "tcp://h:2375", "")).unwrap().spec;
        assert_eq!(spec.nodes[0].reach.to_string(), "docker+tcp://h:2375");
        let error = read(&one("docker", "gone", "")).unwrap_err();
        assert!(matches!(error, ImportError::Docker { .. }), "{error}");
    }

    #[test]
    fn what_cannot_be_imported_says_why() {
        let check = |text: &str, expect: &str| {
            let text = read(text).unwrap_err().to_string();
            assert!(text.contains(expect), "{text}");
        };
        check("{", "not a builder as buildx keeps it");
        check(r#"{"Driver":"remote"}"#, "not a builder as buildx keeps it");
        check(
            r#"{"Name":"b","Driver":"remote","Nodes":null}"#,
            "`b` has no nodes",
        );
        check(&one("cloud", "x", ""), "uses driver `cloud`");
        check(&one("remote", "podman://x", ""), "node `b0` of builder `b`");
        check(
            &one("remote", "tcp://h:1", "").replace("b0", "a b"),
            "`a b` cannot name",
        );
        check(&REMOTE.replace("arm64", "amd64"), "two nodes named `amd64`");
    }

    #[test]
    fn pods_are_found_as_buildx_labels_them() {
        let endpoint = "kubernetes:///b?deployment=b0&kubeconfig=";
        let options = r#","DriverOpts":{"namespace":"ci","image":"x"}"#;
        let Imported { spec, notes } = read(&one("kubernetes", endpoint, options)).unwrap();
        assert_eq!(
            spec.nodes[0].reach.to_string(),
            "pods app=b0 in namespace ci"
        );
        assert!(notes[0].contains("driver option `image`"), "{notes:?}");
        let spec = read(&one("remote", "kube-pod://p?namespace=ci", ""))
            .unwrap()
            .spec;
        assert_eq!(spec.nodes[0].reach.to_string(), "pods p in namespace ci");
    }

    #[test]
    fn a_name_is_looked_up_where_buildx_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let instances = dir.path().join("buildx/instances");
        fs::create_dir_all(&instances).unwrap();
        fs::write(instances.join("farm"), REMOTE).unwrap();
        fs::write(dir.path().join("my.json"), REMOTE).unwrap();
        let check = |key: &str, value: PathBuf| {
            let value = value.to_str().unwrap().to_owned();
            let env = Env::from([(key.to_owned(), value)]);
            for what in ["farm", "FARM", "my.json", "./my.json"] {
                assert_eq!(
                    import(&env, what, dir.path()).unwrap().spec.name,
                    "farm",
                    "{what}"
                );
            }
            assert!(buildx_has(&env, "farm") && !buildx_has(&env, "barn"));
            let error = import(&env, "barn", dir.path()).unwrap_err();
            assert!(matches!(error, ImportError::NoInstance { .. }), "{error}");
            let error = import(&env, "./barn", dir.path()).unwrap_err();
            assert!(matches!(error, ImportError::Read { .. }), "{error}");
        };
        check("DOCKER_CONFIG", dir.path().to_owned());
        check("BUILDX_CONFIG", dir.path().join("buildx"));
        let error = import(&Env::new(), "farm", dir.path()).unwrap_err();
        assert!(matches!(error, ImportError::NoHome), "{error}");
    }
}
