//! How patches change objects: merge patches, and what an applier says again or no more.
//!
//! Fields have no owners here: an applier changes what it names, and takes back what it named
//! the last time.

use serde_json::{Map, Value};

/// What tells the items of a list apart, where they have it.
const KEYS: [&str; 5] = ["name", "mountPath", "containerPort", "port", "type"];

/// Applies a merge patch of RFC 7386.
pub(super) fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    let target = object(target);
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.remove(key)),
            value => merge_patch(target.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

/// Puts what is given into the object; lists whose items have names are merged by them.
pub(super) fn overlay(target: &mut Value, given: &Value) {
    match given {
        Value::Object(given) => {
            let target = object(target);
            for (key, value) in given {
                match value {
                    Value::Null => drop(target.remove(key)),
                    value => overlay(target.entry(key.clone()).or_insert(Value::Null), value),
                }
            }
        }
        Value::Array(items) if key_of(items).is_some() && target.is_array() => {
            let key = key_of(items).unwrap();
            let list = target.as_array_mut().unwrap();
            for item in items {
                match list.iter_mut().find(|old| old[key] == item[key]) {
                    Some(old) => overlay(old, item),
                    None => list.push(item.clone()),
                }
            }
        }
        given => target.clone_from(given),
    }
}

/// Takes out what was given the last time and is not given now.
pub(super) fn take_back(target: &mut Value, last: &Value, now: &Value) {
    match (target, last) {
        (Value::Object(target), Value::Object(last)) => {
            for (key, value) in last {
                match now.get(key) {
                    None => drop(target.remove(key)),
                    Some(now) => {
                        if let Some(target) = target.get_mut(key) {
                            take_back(target, value, now);
                        }
                    }
                }
            }
        }
        (Value::Array(list), Value::Array(last)) => {
            let (Some(key), Some(now)) = (key_of(last), now.as_array()) else {
                return;
            };
            let among = |items: &[Value], item: &Value| {
                items.iter().find(|other| other[key] == item[key]).cloned()
            };
            list.retain(|item| among(last, item).is_none() || among(now, item).is_some());
            for item in list {
                if let (Some(last), Some(now)) = (among(last, item), among(now, item)) {
                    take_back(item, &last, &now);
                }
            }
        }
        _ => {}
    }
}

fn key_of(items: &[Value]) -> Option<&'static str> {
    let has_all =
        |key: &&str| !items.is_empty() && items.iter().all(|item| item.get(*key).is_some());
    KEYS.into_iter().find(has_all)
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_applier_changes_what_it_names_and_takes_back_the_rest_of_its_own() {
        let mut live = json!({
            "spec": {"replicas": 2, "x": 1, "containers": [
                {"name": "a", "image": "1", "args": ["x"]}, {"name": "injected"}, {"name": "b"},
            ]},
            "status": {"ready": 2},
        });
        let last = json!({"spec": {"x": 1, "containers": [
            {"name": "a", "image": "1", "args": ["x"]}, {"name": "b"},
        ]}});
        let now = json!({"spec": {"containers": [{"name": "a", "image": "2"}]}});
        take_back(&mut live, &last, &now);
        overlay(&mut live, &now);
        let expect = json!({
            "spec": {"replicas": 2, "containers": [
                {"name": "a", "image": "2"}, {"name": "injected"},
            ]},
            "status": {"ready": 2},
        });
        assert_eq!(live, expect);
    }

    #[test]
    fn a_merge_patch_removes_what_is_null() {
        let mut live = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge_patch(&mut live, &json!({"a": {"b": null}, "d": [2, 3]}));
        assert_eq!(live, json!({"a": {"c": 2}, "d": [2, 3]}));
    }
}
