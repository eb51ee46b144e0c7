//! Which values are secrets, and how they are shown: nothing that mbuild prints may hold one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

/// What is shown instead of a secret.
pub const HIDDEN: &str = "***";
/// Keys whose values are secrets, in caches of every kind.
const SECRETS: &[&str] = &[
    "access_key_id",
    "ghtoken",
    "secret_access_key",
    "session_token",
    "token",
];

/// Says whether the value of a key is a secret. The id of an access key is not one by itself, but
/// it leads to whom the secret belongs.
pub fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// A value as it may be printed: secrets hidden, and the user within a URL too.
pub fn shown<'a>(key: &str, value: &'a str) -> Cow<'a, str> {
    if is_secret(key) && !value.is_empty() {
        return HIDDEN.into();
    }
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.into();
    };
    let place = after_user(rest);
    let user = match place.len() < rest.len() {
        true => format!("{HIDDEN}@"),
        false => String::new(),
    };
    // A URL may be signed by its query.
    match place.split_once('?') {
        Some((path, _)) => format!("{scheme}://{user}{path}?{HIDDEN}").into(),
        None => format!("{scheme}://{user}{place}").into(),
    }
}

/// Attributes as they may be printed.
pub fn shown_all(attrs: &BTreeMap<String, String>) -> BTreeMap<&str, Cow<'_, str>> {
    let pairs = attrs.iter();
    pairs
        .map(|(key, value)| (key.as_str(), shown(key, value)))
        .collect()
}

/// Hides the logins of caches among a frontend's attributes, which daemons keep in their records.
pub fn hide_imports(attrs: &mut BTreeMap<String, String>) {
    const IMPORTS: &str = "cache-imports";
    let Some(imports) = attrs.get_mut(IMPORTS) else {
        return;
    };
    let Ok(mut caches) = serde_json::from_str::<Vec<Value>>(imports) else {
        *imports = HIDDEN.to_owned();
        return;
    };
    let objects = caches
        .iter_mut()
        .filter_map(|cache| cache["Attrs"].as_object_mut());
    for (key, value) in objects.flat_map(|attrs| attrs.iter_mut()) {
        let text = value.as_str().unwrap_or_default();
        *value = shown(key, text).into_owned().into();
    }
    *imports = Value::from(caches).to_string();
}

/// A flag's value as it may be printed although it could not be read: from a secret's key on to
/// the next comma, and all of the rest if quotes are involved.
pub fn shown_text(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    let named = |key: &&str| lower.contains(&format!("{key}="));
    if !SECRETS.iter().any(named) && !text.contains("://") {
        return text.into();
    }
    if text.contains('"') {
        return HIDDEN.into();
    }
    let fields = text.split(',').map(|field| match field.split_once('=') {
        Some((key, value)) => {
            let name = key.to_ascii_lowercase();
            format!("{key}={}", shown(name.trim(), value))
        }
        // A piece of a value that should have been quoted, perhaps.
        None => HIDDEN.to_owned(),
    });
    fields.collect::<Vec<_>>().join(",").into()
}

/// What follows the user within the authority of a URL.
fn after_user(rest: &str) -> &str {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let at = rest[..end].rfind('@').map_or(0, |at| at + 1);
    &rest[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_other_values_are_not() {
        let check = |key: &str, value: &str, expect: &str| {
            assert_eq!(shown(key, value), expect, "{key}={value}");
        };
        check("secret_access_key", "abc", HIDDEN);
        check("session_token", "abc", HIDDEN);
        check("token", "abc", HIDDEN);
        check("token", "", "");
        check("ref", "host/app:token", "host/app:token");
        check("endpoint_url", "https://u:p@host/x", "https://***@host/x");
        check("endpoint_url", "https://u:p@q@host", "https://***@host");
        check("url", "https://host/x?sig=1", "https://host/x?***");
        check("url", "https://host/a@b", "https://host/a@b");
    }

    #[test]
    fn imports_in_a_record_keep_their_names_only() {
        let check = |imports: &str, expect: &str| {
            let mut attrs = BTreeMap::from([("cache-imports".to_owned(), imports.to_owned())]);
            hide_imports(&mut attrs);
            assert_eq!(attrs["cache-imports"], expect);
        };
        check(
            r#"[{"Type":"s3","Attrs":{"bucket":"b","secret_access_key":"s"}}]"#,
            r#"[{"Attrs":{"bucket":"b","secret_access_key":"***"},"Type":"s3"}]"#,
        );
        check("[]", "[]");
        check("s", HIDDEN);
    }

    #[test]
    fn text_that_cannot_be_read_shows_no_secret_either() {
        let check = |text: &str, expect: &str| assert_eq!(shown_text(text), expect, "{text}");
        check("type=s3,bucket", "type=s3,bucket");
        check(
            "type=s3,Secret_Access_Key=a,b",
            "type=s3,Secret_Access_Key=***,***",
        );
        check("type=s3,\"token=a,b", HIDDEN);
    }
}
