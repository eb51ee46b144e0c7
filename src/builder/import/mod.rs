//! Reads what `docker buildx create` kept: an instance's JSON becomes a [`BuilderSpec`].
//!
//! Knows the remote, docker, docker-container and kubernetes drivers. Daemons are not made or changed:
//! settings that only count when one is created are left out, and a note says so.

mod error;
mod node;
mod pods;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::docker_host::docker_dir;
use super::spec::{BuilderSpec, NodeSpec, Origin};
use crate::config::{Env, is_name};
use node::{InstanceNode, NodeReader};

pub use error::ImportError;

/// A builder made of a buildx instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The builder.
    pub spec: BuilderSpec,
    /// What the user should know of it, one sentence each.
    pub notes: Vec<String>,
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

#[cfg(test)]
mod tests {
    use super::super::spec::Reach;
    use super::*;
    use crate::buildkit::dial::TlsFiles;

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
