//! Reads options from the words of `--driver-opt`: [`PoolOptions::set`].
//!
//! Splitting the flag's value into keys and values is the command line's; here a key has its
//! whole value.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::values::{self, Wrong};
use super::{
    Autoscale, DaemonConfig, Isolation, MOST_PODS, OptionError, PoolOptions, QEMU_IMAGE, ReadFile,
};

/// Every option, those of buildx first.
pub const OPTION_NAMES: &[&str] = &[
    "image",
    "namespace",
    "replicas",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "persistent-volume-claim.requests.storage",
    "buildkit-root-volume-memory",
    "rootless",
    "nodeselector",
    "annotations",
    "labels",
    "tolerations",
    "serviceaccount",
    "schedulername",
    "loadbalance",
    "qemu.install",
    "qemu.image",
    "timeout",
    "default-load",
    "env.NAME",
    "storageclass",
    "hostusers",
    "affinity",
    "topologyspread",
    "imagepullsecrets",
    "priorityclass",
    "podtemplate",
    "mtls",
    "grace",
    "autoscale.image",
    "autoscale.max",
    "autoscale.idle",
];

const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Labels that find a pool's pods.
const RESERVED: &str = "app.kubernetes.io/";
const RESERVED_NAMES: [&str; 4] = ["name", "instance", "component", "managed-by"];
/// How long an autoscaled pod is idle before it goes, as in `deploy/buildkit`.
const IDLE: &str = "30m";

impl PoolOptions {
    /// Sets an option by its name; `affinity`, `topologyspread` and `podtemplate` name files.
    ///
    /// # Errors
    ///
    /// When there is no such option, a part of the value cannot be meant, or its file cannot
    /// be read.
    pub fn set(
        &mut self,
        option: &str,
        value: &str,
        read: ReadFile<'_>,
    ) -> Result<(), OptionError> {
        let result = match option {
            "affinity" => return self.set_file(option, value, read),
            "topologyspread" => return self.set_file(option, value, read),
            "podtemplate" => return self.set_file(option, value, read),
            _ => match option.split_once('.') {
                Some(("requests" | "limits", resource)) if RESOURCES.contains(&resource) => {
                    self.set_resource(option, resource, value)
                }
                Some(("env", name)) => self.set_env(name, value),
                Some(("autoscale", _)) => self.set_autoscale(option, value),
                Some(_) => self.set_storage(option, value),
                None => self.set_word(option, value),
            },
        };
        match result {
            Ok(true) => Ok(()),
            Ok(false) => Err(OptionError::Unknown {
                option: option.to_owned(),
                known: OPTION_NAMES,
            }),
            Err(Wrong { part, problem }) => Err(OptionError::Invalid {
                option: option.to_owned(),
                part,
                problem,
            }),
        }
    }

    /// Sets the daemons' configuration from a file, with the certificates that it names.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is no TOML.
    pub fn set_config(&mut self, path: &Path, read: ReadFile<'_>) -> Result<(), OptionError> {
        self.config = Some(DaemonConfig::read(path, read)?);
        Ok(())
    }

    /// Sets an option whose name has no dot; false if there is none of that name.
    fn set_word(&mut self, option: &str, value: &str) -> Result<bool, Wrong> {
        match option {
            "image" => self.image = Some(image(value)?),
            "namespace" => self.namespace = values::namespace(value)?,
            "replicas" => self.replicas = values::count(value)?,
            "rootless" => self.set_isolation(values::boolean(value)?, Isolation::Rootless),
            "hostusers" => self.set_isolation(!values::boolean(value)?, Isolation::UserNamespace),
            "nodeselector" => self.node_selector = values::labels(value)?,
            "annotations" => self.annotations = values::annotations(value)?,
            "labels" => self.labels = unreserved(values::labels(value)?)?,
            "tolerations" => self.tolerations = values::tolerations(value)?,
            "serviceaccount" => self.service_account = Some(values::object_name(value)?),
            "schedulername" => self.scheduler = Some(values::object_name(value)?),
            "storageclass" => self.storage_class = Some(values::object_name(value)?),
            "priorityclass" => self.priority_class = Some(values::object_name(value)?),
            "imagepullsecrets" => {
                let names = value.split(',').map(values::object_name);
                self.pull_secrets = names.collect::<Result<_, _>>()?;
            }
            "mtls" => self.mtls = values::boolean(value)?,
            "grace" => self.grace = Some(values::duration(value)?),
            "timeout" => self.client.timeout = values::duration(value)?,
            "default-load" => self.client.default_load = values::boolean(value)?,
            "loadbalance" => {
                self.client.load_balance = value.parse().or_else(|_| {
                    values::wrong(
                        value,
                        "is not known; it can be sticky, random, least-loaded",
                    )
                })?;
            }
            "buildkit-root-volume-memory" => self.root_memory = Some(values::quantity(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_isolation(&mut self, on: bool, isolation: Isolation) {
        // `rootless=false` says no more than that it is not rootless.
        match on {
            true => self.isolation = isolation,
            false if self.isolation == isolation => self.isolation = Isolation::Privileged,
            false => {}
        }
    }

    fn set_resource(&mut self, option: &str, resource: &str, value: &str) -> Result<bool, Wrong> {
        let to = match option.starts_with("requests.") {
            true => &mut self.requests,
            false => &mut self.limits,
        };
        to.insert(resource.to_owned(), values::quantity(value)?);
        Ok(true)
    }

    fn set_env(&mut self, name: &str, value: &str) -> Result<bool, Wrong> {
        self.env.insert(values::variable(name)?, value.to_owned());
        Ok(true)
    }

    fn set_storage(&mut self, option: &str, value: &str) -> Result<bool, Wrong> {
        match option {
            "persistent-volume-claim.requests.storage" => {
                self.claim = Some(values::quantity(value)?);
            }
            "qemu.install" => {
                let image = self.qemu_image.as_deref().unwrap_or(QEMU_IMAGE);
                self.qemu = values::boolean(value)?.then(|| image.to_owned());
            }
            "qemu.image" => {
                let image = image(value)?;
                self.qemu = self.qemu.take().map(|_| image.clone());
                self.qemu_image = Some(image);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_autoscale(&mut self, option: &str, value: &str) -> Result<bool, Wrong> {
        let scale = self.autoscale.get_or_insert_with(|| Autoscale {
            image: String::new(),
            most: MOST_PODS,
            idle: IDLE.to_owned(),
        });
        match option {
            "autoscale.image" => scale.image = image(value)?,
            "autoscale.max" => scale.most = values::count(value)?,
            "autoscale.idle" => {
                values::duration(value)?;
                scale.idle = value.to_owned();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_file(
        &mut self,
        option: &str,
        path: &str,
        read: ReadFile<'_>,
    ) -> Result<(), OptionError> {
        let bytes = read(Path::new(path)).map_err(|source| OptionError::Unreadable {
            option: option.to_owned(),
            path: path.to_owned(),
            source,
        })?;
        let syntax = |reason: String| OptionError::Syntax {
            option: option.to_owned(),
            path: path.to_owned(),
            reason,
        };
        let text = String::from_utf8(bytes).map_err(|error| syntax(error.to_string()))?;
        let yaml: Value =
            serde_saphyr::from_str(&text).map_err(|error| syntax(error.to_string()))?;
        let (to, wanted) = match option {
            "affinity" => (&mut self.affinity, "a map, as `spec.affinity` of a pod"),
            "topologyspread" => (
                &mut self.topology_spread,
                "a list, as `spec.topologySpreadConstraints` of a pod",
            ),
            _ => (&mut self.pod_template, "a map with `metadata` or `spec`"),
        };
        let fits = match option {
            "topologyspread" => yaml.is_array(),
            "affinity" => yaml.is_object(),
            _ => yaml
                .as_object()
                .is_some_and(|map| map.keys().all(|key| key == "metadata" || key == "spec")),
        };
        if !fits {
            return Err(syntax(format!("it must be {wanted}")));
        }
        *to = Some(yaml);
        Ok(())
    }
}

/// The name of an image: anything that could be one; the registry knows the rest.
fn image(text: &str) -> Result<String, Wrong> {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if text.is_empty() || text.contains(odd) {
        return values::wrong(text, "is not the name of an image");
    }
    Ok(text.to_owned())
}

fn unreserved<V>(labels: BTreeMap<String, V>) -> Result<BTreeMap<String, V>, Wrong> {
    let reserved = labels.keys().find(|key| {
        let name = key.strip_prefix(RESERVED);
        name.is_some_and(|name| RESERVED_NAMES.contains(&name))
    });
    match reserved {
        Some(key) => values::wrong(key, "is the pool's own label"),
        None => Ok(labels),
    }
}
