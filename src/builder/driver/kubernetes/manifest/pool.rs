//! What kustomize would make of `deploy/buildkit` for some architectures and components, under
//! a pool's own name: [`assemble`].
//!
//! Options that no overlay has are for `adjust`.

use serde_json::{Value, json};

use super::super::options::{Isolation, PoolOptions};
use super::{ManifestError, files, merge};

/// The pool's name in the files.
const IN_FILES: &str = "buildkitd";
/// The label that names the architecture.
pub(in super::super) use crate::builder::pool::COMPONENT_LABEL;
/// The label that names the pool.
pub use crate::builder::pool::INSTANCE_LABEL;
/// The label that says who made an object and may remove it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Its value for what this program made.
pub const MANAGED_BY: &str = "mbuild";

/// The objects of the base and of the components that the options choose.
pub(super) fn assemble(options: &PoolOptions) -> Result<Vec<Value>, ManifestError> {
    let mut objects = Vec::new();
    for file in files::SHARED {
        objects.extend(files::documents(file)?);
    }
    objects.push(config_map());
    for arch in &options.architectures {
        for file in files::DAEMON {
            for mut object in files::documents(file)? {
                for_architecture(&mut object, arch);
                objects.push(object);
            }
        }
    }
    for patch in patches(options) {
        for patch in files::documents(patch)? {
            let same = |object: &&mut Value| object["kind"] == patch["kind"];
            for object in objects.iter_mut().filter(same) {
                apply(object, &patch)?;
            }
        }
    }
    if options.autoscale.is_some() {
        let known = files::documents(files::SCALE_UP)?;
        for arch in &options.architectures {
            objects.extend(known.first().map(|hpa| scaler(hpa, arch)));
        }
        objects.extend(files::documents(files::SCALE_DOWN)?);
    }
    for object in &mut objects {
        rename(object, &options.name);
        place(object, &options.namespace);
    }
    Ok(objects)
}

/// The namespace object.
pub(super) fn namespace(options: &PoolOptions) -> Result<Value, ManifestError> {
    let documents = files::documents(files::NAMESPACE)?;
    let mut object = documents.into_iter().next().unwrap_or_default();
    object["metadata"]["name"] = json!(options.namespace);
    Ok(object)
}

/// Marks everything as made by this program: what has the mark may be changed and removed.
pub(super) fn own(objects: &mut [Value], options: &PoolOptions) {
    for object in objects {
        object["metadata"]["labels"][MANAGED_BY_LABEL] = json!(MANAGED_BY);
        object["metadata"]["labels"][INSTANCE_LABEL] = json!(options.name);
        if object["kind"] == "StatefulSet" {
            let spec = &mut object["spec"];
            spec["template"]["metadata"]["labels"][MANAGED_BY_LABEL] = json!(MANAGED_BY);
            let claims = spec.get_mut("volumeClaimTemplates");
            for claim in claims.and_then(Value::as_array_mut).into_iter().flatten() {
                claim["metadata"]["labels"][MANAGED_BY_LABEL] = json!(MANAGED_BY);
            }
        }
    }
}

/// The files of the components, in the order in which kustomize would be told of them.
fn patches(options: &PoolOptions) -> Vec<&'static str> {
    let mut patches = Vec::new();
    match options.isolation {
        Isolation::Privileged => {}
        Isolation::UserNamespace => patches.extend(files::USERNS),
        Isolation::Rootless => patches.extend(files::ROOTLESS),
    }
    if options.claim.is_some() {
        patches.extend(files::PERSISTENT);
    }
    if options.mtls {
        patches.extend(files::MTLS);
    }
    if options.autoscale.is_some() {
        patches.extend(files::AUTOSCALE);
    }
    patches
}

/// Merges a file's patch, whose name says nothing.
fn apply(object: &mut Value, patch: &Value) -> Result<(), ManifestError> {
    let mut patch = patch.clone();
    if let Some(map) = patch.as_object_mut() {
        map.remove("metadata");
    }
    merge::merge(object, &patch).map_err(|error| ManifestError::Embedded(error.to_string()))
}

fn config_map() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": format!("{IN_FILES}-config"),
            "labels": {"app.kubernetes.io/name": IN_FILES, INSTANCE_LABEL: IN_FILES},
        },
        "data": {"buildkitd.toml": files::BUILDKITD_TOML},
    })
}

/// What `base/ARCH/kustomization.yaml` does: a suffix, a label, a node selector.
fn for_architecture(object: &mut Value, arch: &str) {
    let name = json!(format!("{IN_FILES}-{arch}"));
    object["metadata"]["name"] = name.clone();
    object["metadata"]["labels"][COMPONENT_LABEL] = json!(arch);
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let spec = &mut object["spec"];
    match kind.as_str() {
        "Service" => spec["selector"][COMPONENT_LABEL] = json!(arch),
        _ => spec["selector"]["matchLabels"][COMPONENT_LABEL] = json!(arch),
    }
    if kind == "StatefulSet" {
        spec["serviceName"] = name;
        let template = &mut spec["template"];
        template["metadata"]["labels"][COMPONENT_LABEL] = json!(arch);
        template["spec"]["nodeSelector"]["kubernetes.io/arch"] = json!(arch);
    }
}

fn scaler(hpa: &Value, arch: &str) -> Value {
    let mut hpa = hpa.clone();
    let name = json!(format!("{IN_FILES}-{arch}"));
    hpa["metadata"]["name"] = name.clone();
    hpa["metadata"]["labels"][COMPONENT_LABEL] = json!(arch);
    hpa["spec"]["scaleTargetRef"]["name"] = name;
    hpa
}

/// Gives everything that is named after the pool the pool's own name; containers keep theirs.
fn rename(value: &mut Value, pool: &str) {
    const NAMES: [&str; 4] = ["name", "secretName", "serviceAccountName", "serviceName"];
    const CONTAINERS: [&str; 2] = ["containers", "initContainers"];
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(name) if NAMES.contains(&key.as_str()) => {
                        *name = renamed(name, pool);
                    }
                    Value::String(name) if key == INSTANCE_LABEL => *name = pool.to_owned(),
                    Value::Array(list) if CONTAINERS.contains(&key.as_str()) => {
                        for container in list.iter_mut().filter_map(Value::as_object_mut) {
                            let own = container.iter_mut().filter(|(key, _)| *key != "name");
                            own.for_each(|(_, value)| rename(value, pool));
                        }
                    }
                    other => rename(other, pool),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| rename(value, pool)),
        _ => {}
    }
}

fn renamed(name: &str, pool: &str) -> String {
    match name.strip_prefix(IN_FILES) {
        Some(rest) if rest.is_empty() || rest.starts_with('-') => format!("{pool}{rest}"),
        _ => name.to_owned(),
    }
}

fn place(object: &mut Value, namespace: &str) {
    object["metadata"]["namespace"] = json!(namespace);
    let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        subject["namespace"] = json!(namespace);
    }
}
