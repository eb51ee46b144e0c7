//! What a build is called, from what its frontend was told: as buildx names it. Pure.

use std::collections::BTreeMap;

use crate::buildkit::history::BuildRecord;

/// The build argument with which a user names a build.
const NAME_ARG: &str = "build-arg:BUILDKIT_BUILD_NAME";

/// The name of a build; empty where nothing tells.
///
/// In this order: the user's own, the directory of the Dockerfile or the context in its
/// repository, a remote context, with the target behind it; else the target, the repository, or
/// the image that was made.
pub(super) fn build_name(record: &BuildRecord) -> String {
    let get = |key: &str| get(&record.attrs, key);
    if let Some(name) = get(NAME_ARG) {
        return name.to_owned();
    }
    let place = context(&record.attrs).or_else(|| dockerfile_dir(&record.attrs));
    match (place, get("target")) {
        (Some(place), Some(target)) => format!("{place} ({target})"),
        (Some(place), None) => place,
        (None, Some(target)) => target.to_owned(),
        (None, None) => repository(record)
            .or_else(|| image(record))
            .unwrap_or_default(),
    }
}

/// The repository that a build is of, by its attributes or its remote context.
pub(super) fn repository(record: &BuildRecord) -> Option<String> {
    if let Some(source) = get(&record.attrs, "vcs:source") {
        return Some(source.to_owned());
    }
    let context = get(&record.attrs, "context")?;
    let (remote, _) = context.split_once('#').unwrap_or((context, ""));
    let (remote, _) = remote.split_once('?').unwrap_or((remote, ""));
    let is_git = remote.ends_with(".git")
        || remote.starts_with("git@")
        || remote.starts_with("git://")
        || remote.starts_with("ssh://");
    is_git.then(|| remote.to_owned())
}

/// Where the context is: a remote one, or a directory below its repository's root.
fn context(attrs: &BTreeMap<String, String>) -> Option<String> {
    let local = get(attrs, "vcs:localdir:context").filter(|dir| *dir != ".");
    // An archive of the client's has no name of its own.
    let remote = get(attrs, "context").filter(|url| !url.starts_with("http://buildkit-session/"));
    remote.or(local).map(str::to_owned)
}

/// Where the Dockerfile is, if it is in a directory or has a name of its own.
fn dockerfile_dir(attrs: &BTreeMap<String, String>) -> Option<String> {
    let name = get(attrs, "filename").filter(|name| *name != "Dockerfile");
    let dir = get(attrs, "vcs:localdir:dockerfile").filter(|dir| *dir != ".");
    match (dir, name) {
        (Some(dir), Some(name)) => Some(format!("{dir}/{name}")),
        (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
        (None, None) => None,
    }
}

/// The images that were made, without the registry's host.
fn image(record: &BuildRecord) -> Option<String> {
    let names = record
        .exporters
        .iter()
        .find_map(|exporter| get(&exporter.attrs, "name"))?;
    let first = names.split(',').next().unwrap_or(names);
    Some(first.to_owned())
}

fn get<'a>(attrs: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    attrs
        .get(key)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildkit::ExporterSpec;

    fn record(attrs: &[(&str, &str)]) -> BuildRecord {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        BuildRecord {
            attrs: attrs.iter().map(pair).collect(),
            ..BuildRecord::default()
        }
    }

    #[test]
    fn names_are_buildxs() {
        let check = |attrs: &[(&str, &str)], expect: &str| {
            assert_eq!(build_name(&record(attrs)), expect, "{attrs:?}");
        };
        let git = ("context", "https://h/x.git#main:sub");
        let source = ("vcs:source", "https://h/x.git");
        check(&[], "");
        check(&[(NAME_ARG, "mine"), ("target", "t")], "mine");
        check(&[git], "https://h/x.git#main:sub");
        check(&[git, ("target", "t")], "https://h/x.git#main:sub (t)");
        check(&[source, ("vcs:localdir:context", ".")], "https://h/x.git");
        check(&[source, ("vcs:localdir:context", "app")], "app");
        check(
            &[
                ("vcs:localdir:dockerfile", "d"),
                ("filename", "a.Dockerfile"),
            ],
            "d/a.Dockerfile",
        );
        check(&[("target", "t"), ("filename", "Dockerfile")], "t");
        check(&[("context", "http://buildkit-session/x")], "");
    }

    #[test]
    fn an_image_names_a_build_that_nothing_else_does() {
        let mut record = record(&[]);
        record.exporters.push(ExporterSpec {
            kind: "image".into(),
            attrs: [("name".to_owned(), "r/a,r/b".to_owned())].into(),
        });
        assert_eq!(build_name(&record), "r/a");
    }

    #[test]
    fn a_repository_is_told_or_is_the_context() {
        let check = |attrs: &[(&str, &str)], expect: Option<&str>| {
            assert_eq!(repository(&record(attrs)).as_deref(), expect, "{attrs:?}");
        };
        check(
            &[("context", "https://h/x.git#main")],
            Some("https://h/x.git"),
        );
        check(&[("context", "git@h:x?ref=v1")], Some("git@h:x"));
        check(&[("context", "https://h/x.tar.gz")], None);
        check(&[("vcs:source", "s"), ("context", "c.git")], Some("s"));
    }
}
