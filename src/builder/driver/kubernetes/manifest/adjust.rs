//! Options that no overlay has, put into a pool's objects: [`adjust`].
//!
//! The objects are those of `pool`; what an option does not name stays as the files have it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::options::{CERTS_DIR, PoolOptions};
use super::pool::{COMPONENT_LABEL, INSTANCE_LABEL};
use super::{ManifestError, merge};
use crate::digest::Digest;

/// The annotation that changes with the daemons' configuration, so that pods follow it.
const CONFIG_ANNOTATION: &str = "mbuild/config";
/// The container of the daemon.
const DAEMON: &str = "buildkitd";
const CERTS_VOLUME: &str = "registry-certs";

/// Puts the options into the objects, and adds those that only options ask for.
pub(super) fn adjust(objects: &mut Vec<Value>, options: &PoolOptions) -> Result<(), ManifestError> {
    configure(objects, options);
    for object in objects {
        match object["kind"].as_str() {
            Some("StatefulSet") => workload(object, options)?,
            Some("HorizontalPodAutoscaler") => scaler(object, options),
            Some("CronJob") => scale_down(object, options),
            _ => {}
        }
    }
    Ok(())
}

/// The daemons' configuration, and a Secret for the files that it names.
fn configure(objects: &mut Vec<Value>, options: &PoolOptions) {
    let Some(config) = &options.config else {
        return;
    };
    let map = objects.iter_mut().find(|o| o["kind"] == "ConfigMap");
    if let Some(map) = map {
        map["data"]["buildkitd.toml"] = json!(config.toml);
    }
    if config.files.is_empty() {
        return;
    }
    // Keys of registries are no matter for a ConfigMap, which anybody may read.
    let data: BTreeMap<_, _> = config
        .files
        .iter()
        .map(|(name, bytes)| (name, STANDARD.encode(bytes)))
        .collect();
    objects.insert(
        0,
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": certs_secret(options),
                "namespace": options.namespace,
                "labels": {"app.kubernetes.io/name": "buildkitd", INSTANCE_LABEL: options.name},
            },
            "data": data,
        }),
    );
}

fn certs_secret(options: &PoolOptions) -> String {
    format!("{}-registry-certs", options.name)
}

fn workload(object: &mut Value, options: &PoolOptions) -> Result<(), ManifestError> {
    if options.autoscale.is_none() {
        object["spec"]["replicas"] = json!(options.replicas);
    }
    extend(&mut object["metadata"], "annotations", &options.annotations);
    extend(&mut object["metadata"], "labels", &options.labels);
    claim(&mut object["spec"], options);
    let arch = object["metadata"]["labels"][COMPONENT_LABEL].clone();
    let template = &mut object["spec"]["template"];
    extend(
        &mut template["metadata"],
        "annotations",
        &options.annotations,
    );
    extend(&mut template["metadata"], "labels", &options.labels);
    if let Some(config) = &options.config {
        let text = format!("{}{:?}", config.toml, config.files);
        template["metadata"]["annotations"][CONFIG_ANNOTATION] =
            json!(Digest::of(text.as_bytes()).short());
    }
    pod(&mut template["spec"], options);
    // A label of the option's own is no match for the architecture's nodes.
    template["spec"]["nodeSelector"]["kubernetes.io/arch"] = arch;
    if let Some(patch) = &options.pod_template {
        merge::merge(template, patch).map_err(ManifestError::PodTemplate)?;
    }
    Ok(())
}

/// The size and class of the claims.
fn claim(spec: &mut Value, options: &PoolOptions) {
    let claims = spec.get_mut("volumeClaimTemplates");
    let claims = claims.and_then(Value::as_array_mut);
    for claim in claims.into_iter().flatten() {
        if let Some(size) = &options.claim {
            claim["spec"]["resources"]["requests"]["storage"] = json!(size);
        }
        if let Some(class) = &options.storage_class {
            claim["spec"]["storageClassName"] = json!(class);
        }
    }
}

fn pod(spec: &mut Value, options: &PoolOptions) {
    extend(spec, "nodeSelector", &options.node_selector);
    let words = [
        ("serviceAccountName", &options.service_account),
        ("schedulerName", &options.scheduler),
        ("priorityClassName", &options.priority_class),
    ];
    for (field, word) in words {
        if let Some(word) = word {
            spec[field] = json!(word);
        }
    }
    if !options.tolerations.is_empty() {
        spec["tolerations"] = json!(options.tolerations);
    }
    if !options.pull_secrets.is_empty() {
        let secrets = options.pull_secrets.iter();
        spec["imagePullSecrets"] = secrets.map(|name| json!({"name": name})).collect();
    }
    if let Some(affinity) = &options.affinity {
        spec["affinity"] = affinity.clone();
    }
    if let Some(spread) = &options.topology_spread {
        spec["topologySpreadConstraints"] = spread.clone();
    }
    if let Some(grace) = options.grace {
        // At least a second: zero would be killing.
        spec["terminationGracePeriodSeconds"] = json!(grace.as_secs().max(1));
    }
    volumes(spec, options);
    if let Some(image) = &options.image {
        for list in ["initContainers", "containers"] {
            for container in elements(spec, list) {
                container["image"] = json!(image);
            }
        }
    }
    if let Some(image) = &options.qemu {
        let installer = json!({
            "name": "qemu",
            "image": image,
            "args": ["--install", "all"],
            "securityContext": {"privileged": true},
            "resources": {
                "requests": {"cpu": "10m", "memory": "16Mi"},
                "limits": {"memory": "128Mi"},
            },
        });
        push(spec, "initContainers", installer);
    }
    for container in elements(spec, "containers") {
        if container["name"] == DAEMON {
            daemon(container, options);
        }
    }
}

fn volumes(spec: &mut Value, options: &PoolOptions) {
    if let Some(size) = &options.root_memory {
        for volume in elements(spec, "volumes") {
            if volume["name"] == "root" {
                volume["emptyDir"] = json!({"medium": "Memory", "sizeLimit": size});
            }
        }
    }
    if options
        .config
        .as_ref()
        .is_some_and(|config| !config.files.is_empty())
    {
        let secret = json!({"secretName": certs_secret(options)});
        push(
            spec,
            "volumes",
            json!({"name": CERTS_VOLUME, "secret": secret}),
        );
    }
}

fn daemon(container: &mut Value, options: &PoolOptions) {
    for (resource, (request, limit)) in resources(options) {
        for (field, quantity) in [("requests", request), ("limits", limit)] {
            let Some(map) = container["resources"][field].as_object_mut() else {
                continue;
            };
            // One that is not named is left out: a default of the files could contradict it.
            map.remove(resource);
            if let Some(quantity) = quantity {
                map.insert(resource.to_owned(), json!(quantity));
            }
        }
    }
    for (name, value) in &options.env {
        let known = elements(container, "env").find(|variable| variable["name"] == **name);
        match known {
            Some(variable) => variable["value"] = json!(value),
            None => push(container, "env", json!({"name": name, "value": value})),
        }
    }
    for flag in &options.flags {
        push(container, "args", json!(flag));
    }
    if options
        .config
        .as_ref()
        .is_some_and(|config| !config.files.is_empty())
    {
        let mount = json!({"name": CERTS_VOLUME, "mountPath": CERTS_DIR, "readOnly": true});
        push(container, "volumeMounts", mount);
    }
}

/// Resources that the options name, with request and limit.
fn resources(options: &PoolOptions) -> BTreeMap<&str, (Option<&String>, Option<&String>)> {
    let named = options.requests.keys().chain(options.limits.keys());
    named
        .map(|name| {
            let values = (options.requests.get(name), options.limits.get(name));
            (name.as_str(), values)
        })
        .collect()
}

fn scaler(object: &mut Value, options: &PoolOptions) {
    if let Some(scale) = &options.autoscale {
        object["spec"]["minReplicas"] = json!(options.replicas.max(1));
        object["spec"]["maxReplicas"] = json!(scale.most);
    }
}

fn scale_down(object: &mut Value, options: &PoolOptions) {
    let Some(scale) = &options.autoscale else {
        return;
    };
    let spec = &mut object["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    for container in elements(spec, "containers") {
        container["image"] = json!(scale.image);
        let mut args = container["args"].as_array_mut().into_iter().flatten();
        if let Some(pool) = args.find(|word| **word == DAEMON) {
            *pool = json!(options.name);
        }
        if let Some(idle) = args.skip_while(|word| **word != "--idle").nth(1) {
            *idle = json!(scale.idle);
        }
    }
    if !options.pull_secrets.is_empty() {
        let secrets = options.pull_secrets.iter();
        spec["imagePullSecrets"] = secrets.map(|name| json!({"name": name})).collect();
    }
}

fn extend(object: &mut Value, field: &str, more: &BTreeMap<String, String>) {
    for (key, value) in more {
        object[field][key] = json!(value);
    }
}

/// The elements of a list; none where there is no list.
fn elements<'a>(object: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = object.get_mut(list).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

fn push(object: &mut Value, list: &str, element: Value) {
    match object.get_mut(list).and_then(Value::as_array_mut) {
        Some(list) => list.push(element),
        None => object[list] = json!([element]),
    }
}
