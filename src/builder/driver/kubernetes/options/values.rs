//! The grammars of Kubernetes and Go that options' values follow: names, labels, quantities,
//! durations, tolerations.
//!
//! Each function says what is wrong with a part, as the end of a sentence that begins with it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// What is wrong with which part of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) part: String,
    pub(super) problem: String,
}

const LABEL_LIMIT: usize = 63;
const NAME_LIMIT: usize = 253;
const SUFFIXES: [&str; 15] = [
    "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi",
];
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn wrong<T>(part: &str, problem: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong {
        part: part.to_owned(),
        problem: problem.into(),
    })
}

/// A DNS label that begins with a letter, as a Service needs it.
pub(super) fn label_name(text: &str, limit: usize) -> Result<String, Wrong> {
    let fits = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.ends_with('-');
    match () {
        () if !fits => wrong(
            text,
            "must be lower-case letters, digits and `-`, with a letter first and no `-` last",
        ),
        () if text.len() > limit => wrong(text, format!("is longer than {limit} characters")),
        () => Ok(text.to_owned()),
    }
}

/// A namespace: a DNS label.
pub(super) fn namespace(text: &str) -> Result<String, Wrong> {
    match object_name(text) {
        Ok(name) if name.len() <= LABEL_LIMIT && !name.contains('.') => Ok(name),
        _ => wrong(
            text,
            "is not a namespace: at most 63 lower-case letters, digits and `-`",
        ),
    }
}

/// The name of an object: DNS labels joined by dots.
pub(super) fn object_name(text: &str) -> Result<String, Wrong> {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= NAME_LIMIT && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    wrong(
        text,
        "is not a name: lower-case letters, digits, `-` and `.`",
    )
}

/// A boolean as Go's `strconv.ParseBool` takes it.
pub(super) fn boolean(text: &str) -> Result<bool, Wrong> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => wrong(text, "is neither true nor false"),
    }
}

/// A number of pods.
pub(super) fn count(text: &str) -> Result<u32, Wrong> {
    // Kubernetes counts in 32 bits with a sign.
    let number = text.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok());
    number.map_or_else(|| wrong(text, "is not a whole number"), Ok)
}

/// A resource quantity such as `500m`, `1.5` or `8Gi`.
pub(super) fn quantity(text: &str) -> Result<String, Wrong> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let is_number = (!whole.is_empty() || !part.is_empty()) && !part.contains('.');
    let exponent = suffix
        .strip_prefix(['e', 'E'])
        .is_some_and(|exponent| !exponent.is_empty() && exponent.parse::<i8>().is_ok());
    if is_number && (SUFFIXES.contains(&suffix) || suffix == "Ei" || exponent) {
        return Ok(text.to_owned());
    }
    wrong(text, "is not a quantity such as 500m, 1.5 or 8Gi")
}

/// A span of time as Go writes it, such as `90s` or `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let problem = "is not a duration such as 90s or 1h30m";
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        let (number, after) = rest.split_at(end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return wrong(text, problem),
        };
        let span = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(millis));
        let sum = span.and_then(|span| total.checked_add(Duration::from_millis(span)));
        let Some(sum) = sum else {
            return wrong(text, problem);
        };
        total = sum;
        rest = after;
    }
    if total.is_zero() {
        return wrong(text, problem);
    }
    Ok(total)
}

/// `key=value` pairs between commas, with keys and values of labels.
pub(super) fn labels(text: &str) -> Result<BTreeMap<String, String>, Wrong> {
    pairs(text, |value| {
        value.is_empty() || (value.len() <= LABEL_LIMIT && is_label_word(value))
    })
}

/// `key=value` pairs between commas, with keys of annotations; a value may hold `=`.
pub(super) fn annotations(text: &str) -> Result<BTreeMap<String, String>, Wrong> {
    pairs(text, |_| true)
}

fn pairs(text: &str, fits: fn(&str) -> bool) -> Result<BTreeMap<String, String>, Wrong> {
    let mut pairs = BTreeMap::new();
    for pair in text.split(',') {
        let Some((key, value)) = pair.split_once('=') else {
            return wrong(pair, "is not of the form key=value");
        };
        if !is_qualified(key) {
            return wrong(
                key,
                "is not a key: letters, digits, `-`, `_`, `.`, after `domain/` or not",
            );
        }
        if !fits(value) {
            return wrong(
                value,
                "is not a label's value: at most 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends",
            );
        }
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return wrong(key, "is given twice");
        }
    }
    Ok(pairs)
}

fn is_qualified(key: &str) -> bool {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    name.len() <= LABEL_LIMIT
        && is_label_word(name)
        && domain.is_none_or(|domain| object_name(domain).is_ok())
}

fn is_label_word(word: &str) -> bool {
    let end = |c: char| c.is_ascii_alphanumeric();
    word.starts_with(end)
        && word.ends_with(end)
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Names of an environment variable: what a shell could set, and dots and dashes.
pub(super) fn variable(name: &str) -> Result<String, Wrong> {
    let fits = name.starts_with(|c: char| !c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    match fits {
        true => Ok(name.to_owned()),
        false => wrong(name, "is not the name of a variable"),
    }
}

/// Tolerations as buildx writes them: `key=K,operator=Exists;key=K2,value=V,effect=NoSchedule`.
pub(super) fn tolerations(text: &str) -> Result<Vec<Value>, Wrong> {
    text.split(';').map(toleration).collect()
}

fn toleration(text: &str) -> Result<Value, Wrong> {
    let mut fields = Map::new();
    for pair in text.split(',') {
        let Some((key, value)) = pair.split_once('=') else {
            return wrong(pair, "is not of the form key=value");
        };
        let (key, value) = (key.trim(), value.trim());
        let value = match key {
            "key" if is_qualified(value) => json!(value),
            "key" => return wrong(value, "is not the key of a taint"),
            "value" if value.is_empty() || is_label_word(value) => json!(value),
            "value" => return wrong(value, "is not the value of a taint"),
            "operator" if ["Exists", "Equal"].contains(&value) => json!(value),
            "operator" => return wrong(value, "is not an operator; it can be Exists or Equal"),
            "effect" if EFFECTS.contains(&value) => json!(value),
            "effect" => {
                return wrong(
                    value,
                    format!("is not an effect; it can be {}", EFFECTS.join(", ")),
                );
            }
            "tolerationSeconds" => match value.parse::<i64>() {
                Ok(seconds) => json!(seconds),
                Err(_) => return wrong(value, "is not a whole number"),
            },
            _ => {
                return wrong(
                    key,
                    "is not a field of a toleration; they are key, operator, value, effect, tolerationSeconds",
                );
            }
        };
        if fields.insert(key.to_owned(), value).is_some() {
            return wrong(key, "is given twice");
        }
    }
    let exists = fields.get("operator").is_some_and(|o| o == "Exists");
    if !exists && !fields.contains_key("key") {
        return wrong(
            text,
            "has no key, which only the operator Exists can do without",
        );
    }
    if exists && fields.get("value").is_some_and(|v| v != "") {
        return wrong(text, "has a value, which the operator Exists does not take");
    }
    let evicts = fields.get("effect").is_some_and(|e| e == "NoExecute");
    if fields.contains_key("tolerationSeconds") && !evicts {
        return wrong(
            text,
            "has tolerationSeconds, which only the effect NoExecute takes",
        );
    }
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: std::fmt::Debug>(result: Result<T, Wrong>) -> String {
        result.unwrap_err().part
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for good in [
            "1", "0.5", ".5", "5.", "500m", "8Gi", "1e3", "1E-3", "2Ei", "3E",
        ] {
            assert_eq!(quantity(good).as_deref(), Ok(good));
        }
        for bad in [
            "", ".", "1GB", "lots", "-1", "+1", "1 Gi", "1..2", "1.2.3", "1e", "1gi", "m",
        ] {
            assert_eq!(refused(quantity(bad)), bad);
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in [
            "",
            "90",
            "s",
            "1d",
            "1h-3m",
            "0s",
            "99999999999999999999s",
            "90000000000000000h",
        ] {
            assert_eq!(refused(duration(bad)), bad);
        }
    }

    #[test]
    fn a_selector_names_the_pair_that_is_wrong() {
        let pairs = labels("disk=ssd,example.com/zone=a_b.c,empty=").unwrap();
        assert_eq!(pairs["example.com/zone"], "a_b.c");
        assert_eq!(refused(labels("disk=ssd,zone")), "zone");
        assert_eq!(refused(labels("disk=ssd,-zone=a")), "-zone");
        assert_eq!(refused(labels("disk=s d")), "s d");
        assert_eq!(refused(labels("a=1,a=2")), "a");
        assert_eq!(refused(labels("UPPER.domain/a=1")), "UPPER.domain/a");
        assert_eq!(refused(labels("")), "");
        assert_eq!(annotations("a=b=c d").unwrap()["a"], "b=c d");
    }

    #[test]
    fn a_toleration_that_means_nothing_is_refused() {
        let list = tolerations(
            "key=a,operator=Exists;key=b,value=c,effect=NoExecute,tolerationSeconds=30",
        );
        assert_eq!(
            list.unwrap(),
            [
                json!({"key": "a", "operator": "Exists"}),
                json!({"key": "b", "value": "c", "effect": "NoExecute", "tolerationSeconds": 30}),
            ]
        );
        assert_eq!(tolerations("operator=Exists").unwrap().len(), 1);
        assert_eq!(refused(tolerations("key=a,colour=red")), "colour");
        assert_eq!(refused(tolerations("key=a;b")), "b");
        assert_eq!(refused(tolerations("key=a,operator=In")), "In");
        assert_eq!(refused(tolerations("key=a,effect=Never")), "Never");
        assert_eq!(refused(tolerations("value=a")), "value=a");
        assert_eq!(refused(tolerations("key=a,key=b")), "key");
        assert_eq!(refused(tolerations("key=a,operator=Exists;")), "");
        assert_eq!(
            refused(tolerations("key=a,tolerationSeconds=1")),
            "key=a,tolerationSeconds=1"
        );
    }

    #[test]
    fn names_are_those_of_kubernetes() {
        assert!(label_name("builds-1", 63).is_ok());
        for bad in ["", "Builds", "1builds", "a_b", "a.b", "a-", "-a"] {
            assert_eq!(refused(label_name(bad, 63)), bad);
        }
        assert_eq!(refused(label_name("abcd", 3)), "abcd");
        assert!(object_name("a.b-c").is_ok());
        assert_eq!(refused(object_name("a..b")), "a..b");
        assert_eq!(refused(variable("1A")), "1A");
        assert_eq!(refused(boolean("yes")), "yes");
        assert_eq!(refused(count("-1")), "-1");
    }
}
