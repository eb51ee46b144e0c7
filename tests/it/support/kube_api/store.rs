//! The objects and how they came to be: [`Store`], with a version for every change.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ask::Ask;
use super::kinds::Kind;
use super::merge;
use super::select::Selector;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// `v1`, or group and version: `apps/v1`.
    pub(super) api: String,
    pub(super) resource: String,
    /// Empty where there is none.
    pub(super) namespace: String,
    pub(super) name: String,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) key: Key,
    /// `None` for a new object.
    pub(super) before: Option<Value>,
    /// What it was then, in its last version.
    pub(super) object: Value,
    pub(super) is_gone: bool,
}

/// The objects.
#[derive(Debug, Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Value>,
    /// What an applier gave the last time.
    applied: BTreeMap<(Key, String), Value>,
    version: u64,
    /// From versions before this one nobody can watch.
    oldest: u64,
    log: Vec<Change>,
}

impl Key {
    pub(super) fn pod(namespace: &str, name: &str) -> Self {
        Self::new("v1", "pods", namespace, name)
    }

    pub(super) fn new(api: &str, resource: &str, namespace: &str, name: &str) -> Self {
        Self {
            api: api.into(),
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The object that a request is about.
    pub(super) fn of(ask: &Ask) -> Self {
        Self::new(&ask.api, &ask.base, &ask.namespace, &ask.name)
    }

    /// Where an object belongs; one without a namespace belongs to `default`.
    pub(super) fn of_object(object: &Value) -> Self {
        let kind = Kind::of_object(object).unwrap_or_else(|| panic!("unknown kind: {object}"));
        let metadata = &object["metadata"];
        let namespace = match kind.namespaced {
            true => metadata["namespace"].as_str().unwrap_or("default"),
            false => "",
        };
        let name = metadata["name"].as_str().unwrap();
        Self::new(kind.api, kind.resource, namespace, name)
    }
}

impl Store {
    /// The version of the last change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Forgets the changes until now.
    pub(super) fn compact(&mut self) {
        self.oldest = self.version;
        self.log.clear();
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// The objects of a kind, in all namespaces if none is named.
    pub(super) fn list(
        &self,
        api: &str,
        resource: &str,
        namespace: &str,
        selector: &Selector,
    ) -> Vec<Value> {
        let is_meant = |(key, object): &(&Key, &Value)| {
            key.api == api
                && key.resource == resource
                && (namespace.is_empty() || key.namespace == namespace)
                && selector.takes(object)
        };
        let meant = self.objects.iter().filter(is_meant);
        meant.map(|(_, object)| object.clone()).collect()
    }

    /// The changes after a version.
    pub(super) fn since(&self, version: u64) -> Vec<Change> {
        let later = self.log.iter().filter(|change| change.version > version);
        later.cloned().collect()
    }

    /// Puts an object in its place, and gives it as it is kept. What does not change it is no
    /// change.
    pub(super) fn put(&mut self, key: &Key, mut object: Value) -> Value {
        let before = self.objects.get(key).cloned();
        let kind = Kind::of_resource(&key.api, &key.resource).unwrap();
        object["apiVersion"] = kind.api.into();
        object["kind"] = kind.kind.into();
        let spec = object["spec"].take();
        if !spec.is_null() {
            object["spec"] = spec;
        } else if let Some(members) = object.as_object_mut() {
            members.remove("spec");
        }
        self.stamp(key, before.as_ref(), &mut object);
        if before.as_ref() == Some(&object) {
            return object;
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(key.clone(), object.clone());
        self.note(key, before, object.clone(), false);
        object
    }

    fn stamp(&self, key: &Key, before: Option<&Value>, object: &mut Value) {
        let changes = before.is_some_and(|before| before["spec"] != object["spec"]);
        let metadata = &mut object["metadata"];
        if !key.namespace.is_empty() {
            metadata["namespace"] = key.namespace.clone().into();
        }
        metadata["name"] = key.name.clone().into();
        metadata.as_object_mut().unwrap().remove("managedFields");
        let was = before.map(|before| &before["metadata"]);
        match was {
            Some(was) => {
                for member in ["uid", "creationTimestamp", "resourceVersion"] {
                    metadata[member] = was[member].clone();
                }
                let generation = was["generation"].as_u64().unwrap_or(1);
                metadata["generation"] = (generation + u64::from(changes)).into();
            }
            None => {
                let number = self.version + 1;
                metadata["uid"] = format!("00000000-0000-4000-8000-{number:012x}").into();
                metadata["creationTimestamp"] = now().into();
                metadata["generation"] = 1.into();
            }
        }
    }

    /// Changes an object that is there.
    pub(super) fn change(&mut self, key: &Key, change: impl FnOnce(&mut Value)) -> Option<Value> {
        let mut object = self.objects.get(key)?.clone();
        change(&mut object);
        Some(self.put(key, object))
    }

    /// Takes an object away.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Value> {
        let before = self.objects.remove(key)?;
        self.applied.retain(|(applied, _), _| applied != key);
        self.version += 1;
        let mut object = before.clone();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.note(key, Some(before.clone()), object, true);
        Some(before)
    }

    /// Applies what a manager gives.
    pub(super) fn apply(&mut self, key: &Key, manager: &str, given: &Value) -> Value {
        let id = (key.clone(), manager.to_owned());
        let mut object = self.objects.get(key).cloned().unwrap_or(json!({}));
        if let Some(last) = self.applied.get(&id) {
            merge::take_back(&mut object, last, given);
        }
        merge::overlay(&mut object, given);
        self.applied.insert(id, given.clone());
        self.put(key, object)
    }

    fn note(&mut self, key: &Key, before: Option<Value>, object: Value, is_gone: bool) {
        self.log.push(Change {
            version: self.version,
            key: key.clone(),
            before,
            object,
            is_gone,
        });
    }
}

/// The time as Kubernetes writes it, in whole seconds.
pub(super) fn now() -> String {
    let now = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(now).unwrap().to_string()
}
