//! Kubernetes' strategic merge of a patch into an object: [`merge`].
//!
//! As much of it as pods and workloads need: maps are merged, `null` removes, lists of named
//! things are merged by what names them and other lists are replaced, `$patch: delete` and
//! `$patch: replace`. New elements come first, as kustomize has it. Other directives are
//! refused, not skipped.

use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";

/// Lists that are merged, and the key that tells their elements apart. (All from the API's own
/// `patchMergeKey`; `ports` is below.)
const KEYS: &[(&str, &str)] = &[
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("hostAliases", "ip"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("resourceClaims", "name"),
    ("topologySpreadConstraints", "topologyKey"),
    ("volumeDevices", "devicePath"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
];

/// Why a patch cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A directive that is not known.
    #[error("`{0}` is not understood; `$patch` may be `delete` or `replace`")]
    Directive(String),
    /// An element of a merged list does not say which one it is.
    #[error("an element of `{list}` has no `{key}`")]
    NoKey {
        /// The list.
        list: String,
        /// What names its elements.
        key: &'static str,
    },
}

/// What a map says of itself.
#[derive(PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Merges a patch into a value of the same type.
///
/// # Errors
///
/// When the patch has directives that are not known, or elements without their key.
pub(super) fn merge(base: &mut Value, patch: &Value) -> Result<(), MergeError> {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => merge_map(base, patch),
        (base, patch) => {
            *base = clean("", patch)?.unwrap_or_default();
            Ok(())
        }
    }
}

fn merge_map(base: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), MergeError> {
    match directive(patch)? {
        Directive::Merge => {}
        Directive::Replace => base.clear(),
        Directive::Delete => {
            base.clear();
            return Ok(());
        }
    }
    for (key, change) in patch.iter().filter(|(key, _)| *key != DIRECTIVE) {
        match (base.get_mut(key), change) {
            (Some(Value::Object(_)), Value::Object(map))
                if directive(map)? == Directive::Delete =>
            {
                base.remove(key);
            }
            (Some(Value::Object(old)), Value::Object(map)) => merge_map(old, map)?,
            (Some(Value::Array(old)), Value::Array(list)) => merge_list(key, old, list)?,
            _ => match clean(key, change)? {
                Some(value) => {
                    base.insert(key.clone(), value);
                }
                None => {
                    base.remove(key);
                }
            },
        }
    }
    Ok(())
}

fn merge_list(name: &str, base: &mut Vec<Value>, patch: &[Value]) -> Result<(), MergeError> {
    let maps = || patch.iter().filter_map(Value::as_object);
    let Some(key) = merge_key(name, patch) else {
        *base = clean_list(name, patch)?;
        return Ok(());
    };
    for map in maps() {
        if directive(map)? == Directive::Replace && map.len() == 1 {
            *base = clean_list(name, patch)?;
            return Ok(());
        }
    }
    let mut new = Vec::new();
    for map in maps() {
        let id = map.get(key).ok_or_else(|| MergeError::NoKey {
            list: name.to_owned(),
            key,
        })?;
        let at = base.iter().position(|element| element.get(key) == Some(id));
        let deleted = directive(map)? == Directive::Delete;
        match at.and_then(|at| Some((at, base.get_mut(at)?))) {
            Some((at, _)) if deleted => {
                base.remove(at);
            }
            Some((_, Value::Object(old))) => merge_map(old, map)?,
            _ if deleted => {}
            _ => new.extend(clean(name, &Value::Object(map.clone()))?),
        }
    }
    base.splice(0..0, new);
    Ok(())
}

/// What names the elements of a list; `None` for a list that is replaced as a whole.
fn merge_key(name: &str, elements: &[Value]) -> Option<&'static str> {
    if name == "ports" {
        // A container's and a Service's are of different types.
        let of_container = elements.iter().any(|e| e.get("containerPort").is_some());
        return Some(if of_container {
            "containerPort"
        } else {
            "port"
        });
    }
    let found = KEYS.iter().find(|(list, _)| *list == name);
    found.map(|(_, key)| *key)
}

/// A patch's value where there was none: without what it only removes.
fn clean(name: &str, value: &Value) -> Result<Option<Value>, MergeError> {
    Ok(match value {
        Value::Null => None,
        Value::Object(map) => match directive(map)? {
            Directive::Delete => None,
            _ => {
                let mut cleaned = Map::new();
                for (key, value) in map.iter().filter(|(key, _)| *key != DIRECTIVE) {
                    if let Some(value) = clean(key, value)? {
                        cleaned.insert(key.clone(), value);
                    }
                }
                Some(Value::Object(cleaned))
            }
        },
        Value::Array(list) => Some(Value::Array(clean_list(name, list)?)),
        other => Some(other.clone()),
    })
}

fn clean_list(name: &str, list: &[Value]) -> Result<Vec<Value>, MergeError> {
    let mut cleaned = Vec::new();
    for element in list {
        let only_directive = element
            .as_object()
            .is_some_and(|map| map.len() == 1 && map.contains_key(DIRECTIVE));
        if let Some(element) = clean(name, element)?.filter(|_| !only_directive) {
            cleaned.push(element);
        }
    }
    Ok(cleaned)
}

fn directive(map: &Map<String, Value>) -> Result<Directive, MergeError> {
    let unknown = map
        .keys()
        .find(|key| key.starts_with('$') && *key != DIRECTIVE);
    if let Some(key) = unknown {
        return Err(MergeError::Directive(key.clone()));
    }
    match map.get(DIRECTIVE).map(Value::as_str) {
        None => Ok(Directive::Merge),
        Some(Some("merge")) => Ok(Directive::Merge),
        Some(Some("replace")) => Ok(Directive::Replace),
        Some(Some("delete")) => Ok(Directive::Delete),
        Some(other) => Err(MergeError::Directive(format!(
            "$patch: {}",
            other.unwrap_or("?")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(mut base: Value, patch: Value, expect: Value) {
        merge(&mut base, &patch).unwrap();
        assert_eq!(base, expect, "{patch}");
    }

    #[test]
    fn maps_are_merged_and_null_removes() {
        check(
            json!({"a": 1, "b": {"c": 2, "d": 3}}),
            json!({"b": {"c": null, "e": 4}, "f": {"g": null, "h": 5}}),
            json!({"a": 1, "b": {"d": 3, "e": 4}, "f": {"h": 5}}),
        );
        check(
            json!({"v": {"emptyDir": {}}}),
            json!({"v": {"$patch": "replace", "secret": 1}}),
            json!({"v": {"secret": 1}}),
        );
        check(
            json!({"v": {"a": 1}}),
            json!({"v": {"$patch": "delete"}}),
            json!({}),
        );
    }

    #[test]
    fn named_things_are_merged_by_name_and_new_ones_come_first() {
        check(
            json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}),
            json!({"env": [{"name": "C", "value": "3"}, {"name": "B", "value": "4"}, {"name": "D"}]}),
            json!({"env": [{"name": "C", "value": "3"}, {"name": "D"}, {"name": "A", "value": "1"}, {"name": "B", "value": "4"}]}),
        );
        check(
            json!({"volumeMounts": [{"mountPath": "/a", "name": "x"}, {"mountPath": "/b", "name": "y"}]}),
            json!({"volumeMounts": [{"mountPath": "/a", "$patch": "delete"}, {"mountPath": "/none", "$patch": "delete"}]}),
            json!({"volumeMounts": [{"mountPath": "/b", "name": "y"}]}),
        );
        check(
            json!({"volumes": [{"name": "x"}]}),
            json!({"volumes": [{"$patch": "replace"}, {"name": "y"}]}),
            json!({"volumes": [{"name": "y"}]}),
        );
    }

    #[test]
    fn other_lists_are_replaced() {
        check(
            json!({"args": [1, 2]}),
            json!({"args": [3]}),
            json!({"args": [3]}),
        );
        check(
            json!({"tolerations": [{"key": "a"}]}),
            json!({"tolerations": [{"key": "b"}]}),
            json!({"tolerations": [{"key": "b"}]}),
        );
    }

    #[test]
    fn ports_are_told_apart_by_the_kind_of_their_owner() {
        check(
            json!({"ports": [{"containerPort": 1}]}),
            json!({"ports": [{"containerPort": 1, "name": "n"}]}),
            json!({"ports": [{"containerPort": 1, "name": "n"}]}),
        );
        check(
            json!({"ports": [{"port": 1}]}),
            json!({"ports": [{"port": 2}]}),
            json!({"ports": [{"port": 2}, {"port": 1}]}),
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refuse = |patch: Value, expect: &str| {
            let mut base = json!({"volumes": [{"name": "x"}], "a": {}});
            let error = merge(&mut base, &patch).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        refuse(json!({"a": {"$retainKeys": ["b"]}}), "`$retainKeys`");
        refuse(json!({"new": {"$patch": "remove"}}), "`$patch: remove`");
        refuse(
            json!({"volumes": [{"emptyDir": {}}]}),
            "`volumes` has no `name`",
        );
    }
}
