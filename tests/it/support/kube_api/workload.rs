//! A tiny controller: gives workloads the pods that they ask for.
//!
//! Replaced pods go and come in one step; nothing is rolled out slowly.

use serde_json::{Value, json};

use super::select::Selector;
use super::store::{Key, Store};

/// Brings pods in line with workloads, one step; tells whether anything changed.
pub(super) fn reconcile(store: &mut Store) -> bool {
    let before = store.version();
    let mut owners = Vec::new();
    for resource in ["statefulsets", "deployments"] {
        for workload in store.list("apps/v1", resource, "", &Selector::default()) {
            scale(store, resource, &workload);
            tell_status(store, resource, &workload);
            owners.push(workload["metadata"]["uid"].clone());
        }
    }
    for pod in pods(store, "") {
        let owner = &pod["metadata"]["ownerReferences"][0]["uid"];
        if !owner.is_null() && !owners.contains(owner) {
            store.remove(&Key::of_object(&pod));
        }
    }
    store.version() != before
}

fn pods(store: &Store, namespace: &str) -> Vec<Value> {
    store.list("v1", "pods", namespace, &Selector::default())
}

fn own(store: &Store, workload: &Value) -> Vec<Value> {
    let metadata = &workload["metadata"];
    let mut pods = pods(store, metadata["namespace"].as_str().unwrap());
    pods.retain(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == metadata["uid"]);
    pods
}

fn replicas(workload: &Value) -> u64 {
    workload["spec"]["replicas"].as_u64().unwrap_or(1)
}

/// What tells pods of one template from those of another.
fn revision(workload: &Value) -> String {
    let text = workload["spec"]["template"].to_string();
    let digest = mbuild::digest::Digest::of(text.as_bytes()).to_string();
    digest.trim_start_matches("sha256:")[..10].to_owned()
}

fn scale(store: &mut Store, resource: &str, workload: &Value) {
    let name = workload["metadata"]["name"].as_str().unwrap();
    let namespace = workload["metadata"]["namespace"].as_str().unwrap();
    let revision = revision(workload);
    let middle = match resource {
        "deployments" => format!("-{revision}"),
        _ => String::new(),
    };
    let names = (0..replicas(workload)).map(|number| format!("{name}{middle}-{number}"));
    let names: Vec<_> = names.collect();
    for pod in own(store, workload) {
        let metadata = &pod["metadata"];
        let wanted = names.iter().any(|name| metadata["name"] == **name);
        let current = metadata["labels"]["controller-revision-hash"] == *revision;
        let over = pod["status"]["phase"] == "Failed";
        if !wanted || !current || over {
            store.remove(&Key::of_object(&pod));
        }
    }
    for (number, name) in names.iter().enumerate() {
        let key = Key::pod(namespace, name);
        if store.get(&key).is_none() {
            store.put(&key, pod(workload, name, number, &revision));
            claim(store, workload, name);
        }
    }
}

fn pod(workload: &Value, name: &str, number: usize, revision: &str) -> Value {
    let template = &workload["spec"]["template"];
    let mut metadata = match &template["metadata"] {
        Value::Null => json!({}),
        metadata => metadata.clone(),
    };
    metadata["labels"]["controller-revision-hash"] = revision.into();
    metadata["labels"]["statefulset.kubernetes.io/pod-name"] = name.into();
    metadata["labels"]["apps.kubernetes.io/pod-index"] = number.to_string().into();
    metadata["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": workload["kind"], "controller": true,
        "blockOwnerDeletion": true, "name": workload["metadata"]["name"],
        "uid": workload["metadata"]["uid"],
    }]);
    let mut spec = template["spec"].clone();
    let service = &workload["spec"]["serviceName"];
    if !service.is_null() {
        spec["hostname"] = name.into();
        spec["subdomain"] = service.clone();
    }
    json!({"metadata": metadata, "spec": spec})
}

/// Makes the claims of a pod, which outlive it.
fn claim(store: &mut Store, workload: &Value, pod: &str) {
    let templates = workload["spec"]["volumeClaimTemplates"].as_array();
    let namespace = workload["metadata"]["namespace"].as_str().unwrap();
    for template in templates.into_iter().flatten() {
        let name = format!("{}-{pod}", template["metadata"]["name"].as_str().unwrap());
        let key = Key::new("v1", "persistentvolumeclaims", namespace, &name);
        if store.get(&key).is_none() {
            let mut claim = template.clone();
            claim["metadata"]["labels"] = workload["spec"]["selector"]["matchLabels"].clone();
            claim["status"] = json!({"phase": "Bound"});
            store.put(&key, claim);
        }
    }
}

fn tell_status(store: &mut Store, resource: &str, workload: &Value) {
    let pods = own(store, workload);
    let is_ready = |pod: &&Value| {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
        ready.any(|condition| condition["status"] == "True")
    };
    let (count, ready) = (pods.len(), pods.iter().filter(is_ready).count());
    let mut key = Key::of_object(workload);
    key.resource = resource.into();
    store.change(&key, |workload| {
        workload["status"] = json!({
            "replicas": count, "readyReplicas": ready, "availableReplicas": ready,
            "currentReplicas": count, "updatedReplicas": count,
            "observedGeneration": workload["metadata"]["generation"],
        });
    });
}
