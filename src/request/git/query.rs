//! The query of a repository's address: `?branch=main&subdir=app`.

use std::fmt;

use super::spelling::{decode, encode};
use super::{GitContext, GitError, clean, some};
use crate::attrs::parse_bool;

/// The keys that BuildKit knows.
pub(super) const KEYS: &[&str] = &[
    "ref",
    "tag",
    "branch",
    "subdir",
    "checksum",
    "commit",
    "keep-git-dir",
    "submodules",
    "mtime",
    "fetch-by-commit",
];

/// Adds what a query says.
pub(super) fn apply(context: &mut GitContext, query: &str) -> Result<(), GitError> {
    let mut seen: Vec<&'static str> = Vec::new();
    let (mut tag, mut branch) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |text: &str| decode(&text.replace('+', " "));
        let (key, value) = (plain(key), plain(value));
        let Some(known) = KEYS.iter().copied().find(|known| *known == key) else {
            return Err(GitError::UnknownKey { key });
        };
        if seen.contains(&known) {
            return Err(GitError::Twice { key });
        }
        seen.push(known);
        match known {
            "keep-git-dir" | "submodules" | "fetch-by-commit" => {
                context.more.push((known, boolean(key, value)?));
                continue;
            }
            _ if value.is_empty() => return Err(wrong(key, value, "a value")),
            _ => {}
        }
        match known {
            "ref" => name(&mut context.reference, value)?,
            "tag" => tag = Some(below("refs/tags/", value)),
            "branch" => branch = Some(below("refs/heads/", value)),
            "subdir" => subdir(context, &value)?,
            "mtime" if matches!(&*value, "checkout" | "commit") => {
                context.more.push((known, value));
            }
            "mtime" => return Err(wrong(key, value, "checkout or commit")),
            _ => checksum(context, key, value)?,
        }
    }
    for named in [tag, branch].into_iter().flatten() {
        name(&mut context.reference, named)?;
    }
    Ok(())
}

fn wrong(key: String, value: String, expected: &'static str) -> GitError {
    GitError::Value {
        key,
        value,
        expected,
    }
}

/// `true` or `false`; a key alone says yes.
fn boolean(key: String, value: String) -> Result<String, GitError> {
    match parse_bool(&value) {
        _ if value.is_empty() => Ok("true".to_owned()),
        Some(yes) => Ok(yes.to_string()),
        None => Err(wrong(key, value, "true or false")),
    }
}

fn below(prefix: &str, name: String) -> String {
    match name.starts_with(prefix) {
        true => name,
        false => format!("{prefix}{name}"),
    }
}

/// Names the commit, which nothing else may have named otherwise.
fn name(reference: &mut Option<String>, value: String) -> Result<(), GitError> {
    match reference.replace(value.clone()) {
        Some(one) if one != value => Err(GitError::Conflict { one, other: value }),
        _ => Ok(()),
    }
}

fn subdir(context: &mut GitContext, value: &str) -> Result<(), GitError> {
    let value = some(clean(value));
    match (context.subdir.take(), value) {
        (Some(one), Some(other)) if one != other => Err(GitError::Conflict { one, other }),
        (one, other) => {
            context.subdir = other.or(one);
            Ok(())
        }
    }
}

fn checksum(context: &mut GitContext, key: String, value: String) -> Result<(), GitError> {
    if !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong(key, value, "a commit, in hexadecimal digits"));
    }
    name(&mut context.checksum, value.to_ascii_lowercase())
}

/// Prints all that there is to say as a query.
pub(super) fn write(context: &GitContext, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let own = [
        ("ref", &context.reference),
        ("subdir", &context.subdir),
        ("checksum", &context.checksum),
    ];
    let own = own
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_ref()?)));
    let more = context.more.iter().map(|(key, value)| (*key, value));
    for (number, (key, value)) in own.chain(more).enumerate() {
        let sign = if number == 0 { '?' } else { '&' };
        write!(f, "{sign}{key}={}", encode(value, true))?;
    }
    Ok(())
}
