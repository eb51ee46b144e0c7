//! The verbs on objects: get, list, create, update, patch, delete, and scale.

use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::Ask;
use super::kinds::Kind;
use super::merge;
use super::refusal::Refusal;
use super::select::Selector;
use super::store::{Key, Store};

type Answer = Result<(u16, Value), Refusal>;

/// Does what a request asks for that is no stream.
pub(super) fn act(store: &mut Store, ask: &Ask, kind: Kind, media: &str, body: &Bytes) -> Answer {
    match (ask.sub.as_str(), ask.verb) {
        ("scale", _) => scale(store, ask, media, body),
        ("eviction", "create") => delete(store, ask),
        ("", "list") => Ok((200, list(store, ask, kind))),
        ("" | "status", "get") => Ok((200, find(store, ask)?)),
        ("", "create") => create(store, ask, kind, read(body)?),
        ("" | "status", "update") => update(store, ask, read(body)?),
        ("" | "status", "patch") => patch(store, ask, media, &read(body)?),
        ("", "delete") => delete(store, ask),
        ("", "deletecollection") => {
            for object in select(store, ask) {
                store.remove(&Key::of_object(&object));
            }
            Ok((200, list(store, ask, kind)))
        }
        _ => Err(Refusal::new(
            405,
            "the server does not allow this method on the requested resource",
        )),
    }
}

fn read(body: &Bytes) -> Result<Value, Refusal> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let object = serde_saphyr::from_str(text);
    object.map_err(|error| Refusal::new(400, format!("error decoding the body: {error}")))
}

fn select(store: &Store, ask: &Ask) -> Vec<Value> {
    store.list(&ask.api, &ask.base, &ask.namespace, &Selector::of(ask))
}

fn list(store: &Store, ask: &Ask, kind: Kind) -> Value {
    json!({
        "kind": format!("{}List", kind.kind), "apiVersion": kind.api,
        "metadata": {"resourceVersion": store.version().to_string()},
        "items": select(store, ask),
    })
}

fn find(store: &Store, ask: &Ask) -> Result<Value, Refusal> {
    let found = store.get(&Key::of(ask)).cloned();
    found.ok_or_else(|| Refusal::not_found(ask))
}

fn create(store: &mut Store, ask: &Ask, kind: Kind, object: Value) -> Answer {
    let name = match object["metadata"]["name"].as_str() {
        Some(name) => name.to_owned(),
        None => return Err(Refusal::new(422, "metadata.name: Required value")),
    };
    let key = Key::new(&ask.api, &ask.base, &ask.namespace, &name);
    if store.get(&key).is_some() {
        return Err(Refusal::exists(ask, &name));
    }
    check_namespace(store, ask, kind)?;
    if ask.param("dryRun").is_some() {
        return Ok((201, object));
    }
    Ok((201, store.put(&key, object)))
}

fn check_namespace(store: &Store, ask: &Ask, kind: Kind) -> Result<(), Refusal> {
    let key = Key::new("v1", "namespaces", "", &ask.namespace);
    match kind.namespaced && store.get(&key).is_none() {
        true => {
            let text = format!("namespaces \"{}\" not found", ask.namespace);
            Err(Refusal::new(404, text))
        }
        false => Ok(()),
    }
}

fn update(store: &mut Store, ask: &Ask, mut object: Value) -> Answer {
    let old = find(store, ask)?;
    let given = object["metadata"]["resourceVersion"].as_str();
    if given.is_some_and(|given| old["metadata"]["resourceVersion"] == *given) || given.is_none() {
        if ask.sub == "status" {
            let status = object["status"].take();
            object = old;
            object["status"] = status;
        } else {
            check_changes(ask, &old, &object)?;
        }
        return Ok((200, store.put(&Key::of(ask), object)));
    }
    Err(Refusal::conflict(ask))
}

fn patch(store: &mut Store, ask: &Ask, media: &str, given: &Value) -> Answer {
    let key = Key::of(ask);
    if media.starts_with("application/apply-patch") {
        return apply(store, ask, given);
    }
    let old = find(store, ask)?;
    let mut object = old.clone();
    match media {
        "application/merge-patch+json" => merge::merge_patch(&mut object, given),
        "application/strategic-merge-patch+json" => merge::overlay(&mut object, given),
        _ => return Err(Refusal::new(415, format!("unknown patch type {media}"))),
    }
    check_changes(ask, &old, &object)?;
    if ask.param("dryRun").is_some() {
        return Ok((200, object));
    }
    Ok((200, store.put(&key, object)))
}

fn apply(store: &mut Store, ask: &Ask, given: &Value) -> Answer {
    let Some(manager) = ask.param("fieldManager") else {
        let text = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is \
                    required for apply patch";
        return Err(Refusal::new(422, text));
    };
    let kind = Kind::of_object(given).filter(|kind| kind.resource == ask.base);
    let Some(kind) = kind else {
        return Err(Refusal::new(
            400,
            "the object is of another kind than the path says",
        ));
    };
    check_namespace(store, ask, kind)?;
    let key = Key::of(ask);
    let old = store.get(&key).cloned();
    if let Some(old) = &old {
        let mut new = old.clone();
        merge::overlay(&mut new, given);
        check_changes(ask, old, &new)?;
    }
    if ask.param("dryRun").is_some() {
        return Ok((200, given.clone()));
    }
    let code = if old.is_some() { 200 } else { 201 };
    Ok((code, store.apply(&key, manager, given)))
}

/// Refuses changes of what is fixed in a stateful set.
fn check_changes(ask: &Ask, old: &Value, new: &Value) -> Result<(), Refusal> {
    const FREE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|key, _| !FREE.contains(&key.as_str()));
        }
        spec
    };
    if ask.base != "statefulsets" || fixed(old) == fixed(new) {
        return Ok(());
    }
    let (last, rest) = FREE.split_last().unwrap();
    let text = format!(
        "StatefulSet.apps \"{}\" is invalid: spec: Forbidden: updates to statefulset spec for \
         fields other than '{}' and '{last}' are forbidden",
        ask.name,
        rest.join("', '")
    );
    Err(Refusal::new(422, text))
}

fn delete(store: &mut Store, ask: &Ask) -> Answer {
    let object = find(store, ask)?;
    store.remove(&Key::of(ask));
    let details = json!({
        "name": ask.name, "group": ask.group(), "kind": ask.base,
        "uid": object["metadata"]["uid"],
    });
    Ok((
        200,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": details,
        }),
    ))
}

fn scale(store: &mut Store, ask: &Ask, media: &str, body: &Bytes) -> Answer {
    let key = Key::of(ask);
    let show = |object: &Value| {
        let labels = object["spec"]["selector"]["matchLabels"].as_object();
        let labels = labels.into_iter().flatten();
        let labels = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap()));
        json!({
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": object["metadata"],
            "spec": {"replicas": object["spec"]["replicas"].as_u64().unwrap_or(1)},
            "status": {
                "replicas": object["status"]["replicas"].as_u64().unwrap_or(0),
                "selector": labels.collect::<Vec<_>>().join(","),
            },
        })
    };
    let object = find(store, ask)?;
    let known = [
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ];
    match ask.verb {
        "get" => return Ok((200, show(&object))),
        "patch" if !known.contains(&media) => {
            return Err(Refusal::new(415, format!("unknown patch type {media}")));
        }
        _ => {}
    }
    let given = read(body)?;
    let version = given["metadata"]["resourceVersion"].as_str();
    if version.is_some_and(|version| object["metadata"]["resourceVersion"] != *version) {
        return Err(Refusal::conflict(ask));
    }
    let replicas = given["spec"]["replicas"].clone();
    let changed = store.change(&key, |object| object["spec"]["replicas"] = replicas);
    Ok((200, show(&changed.unwrap())))
}
