//! What daemons are told of the repository that a local context is in: buildx's `vcs:` attributes,
//! and the labels that its variables ask for.
//!
//! They name the build in the daemons' records, and provenance repeats them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::app::App;
use super::super::git::WorkTree;
use crate::attrs::parse_bool;
use crate::causes::causes;
use crate::remote::is_dirty;
use crate::request::{BuildContext, BuildRequest, Dockerfile};

/// The variable that says no to all of it.
const GIT_INFO: &str = "BUILDX_GIT_INFO";

/// The variable that wants labels of the image as well.
const GIT_LABELS: &str = "BUILDX_GIT_LABELS";
/// The variable that wants a commit to be marked when files differ from it.
const CHECK_DIRTY: &str = "BUILDX_GIT_CHECK_DIRTY";
/// How long `git` may take to compare a work tree with its commit.
const DIRTY_LIMIT: Duration = Duration::from_secs(30);

/// Sets the attributes and labels that the environment wants; labels that were given stay.
pub(super) async fn tell(request: &mut BuildRequest, app: &App) {
    let mut known = known(request);
    if app.is_on(CHECK_DIRTY)
        && let (Some((root, _)), Some(revision)) = (place(request), known.get_mut("revision"))
    {
        match is_dirty(&root, DIRTY_LIMIT).await {
            Ok(false) => {}
            Ok(true) => revision.push_str("-dirty"),
            Err(error) => app.warn(&format!("{CHECK_DIRTY}: {}", causes(&error))),
        }
    }
    if app.is_on(GIT_LABELS) || app.var(GIT_LABELS) == Some("full") {
        for (name, value) in labels(request, &known) {
            let labels = &mut request.frontend.labels;
            labels.entry(name.to_owned()).or_insert(value);
        }
    }
    if app.var(GIT_INFO).and_then(parse_bool) != Some(false) {
        request.frontend.vcs = known;
    }
}

/// The repository's root and the context, if it is a directory in one.
fn place(request: &BuildRequest) -> Option<(PathBuf, PathBuf)> {
    let BuildContext::Directory(context) = &request.context else {
        return None;
    };
    let context = fs::canonicalize(context).unwrap_or_else(|_| context.clone());
    Some((WorkTree::of(&context)?.root, context))
}

/// buildx's labels of an image that is built from a repository.
fn labels(request: &BuildRequest, known: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
    let of = |name: &str| known.get(name).cloned();
    let dockerfile = match (&request.dockerfile, of("localdir:dockerfile")) {
        (Dockerfile::Local { name, .. }, Some(dir)) if dir == "." => Some(name.clone()),
        (Dockerfile::Local { name, .. }, Some(dir)) => Some(format!("{dir}/{name}")),
        _ => None,
    };
    let labels = [
        ("org.opencontainers.image.revision", of("revision")),
        ("org.opencontainers.image.source", of("source")),
        ("com.docker.image.source.entrypoint", dockerfile),
    ];
    let present = labels.into_iter();
    present
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// The attributes of a request by their names after `vcs:`; none where the context is remote or
/// in no repository.
fn known(request: &BuildRequest) -> BTreeMap<String, String> {
    let mut attrs = BTreeMap::new();
    let Some((_, context)) = place(request) else {
        return attrs;
    };
    let Some(tree) = WorkTree::of(&context) else {
        return attrs;
    };
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            attrs.insert(name.to_owned(), value);
        }
    };
    set("source", tree.remote());
    set("revision", tree.head());
    set("localdir:context", below(&tree, &context));
    if let Dockerfile::Local { dir, .. } = &request.dockerfile {
        let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.clone());
        set("localdir:dockerfile", below(&tree, &dir));
    }
    attrs
}

/// A directory's path below the root; `.` is the root itself.
fn below(tree: &WorkTree, dir: &Path) -> Option<String> {
    let path = dir.strip_prefix(&tree.root).ok()?.to_str()?;
    Some(if path.is_empty() { "." } else { path }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_in_a_repository_is_told_of() {
        let home = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(home.path()).unwrap();
        fs::create_dir_all(root.join("r/app")).unwrap();
        fs::create_dir_all(root.join("r/.git")).unwrap();
        let commit = "a".repeat(40);
        fs::write(root.join("r/.git/HEAD"), &commit).unwrap();
        let config = "[remote \"origin\"]\nurl = https://u:p@h/x.git\n";
        fs::write(root.join("r/.git/config"), config).unwrap();
        let request = |context: &str, dockerfile: &str| {
            let dockerfile = Dockerfile::Local {
                dir: root.join(dockerfile),
                name: "Dockerfile".into(),
            };
            BuildRequest::new(BuildContext::Directory(root.join(context)), dockerfile)
        };
        let got = known(&request("r/app", "r"));
        let got: Vec<_> = got
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let revision = format!("revision={commit}");
        let expect = [
            "localdir:context=app",
            "localdir:dockerfile=.",
            &revision,
            "source=https://h/x.git",
        ];
        assert_eq!(got, expect);
        assert!(!known(&request("r", "")).contains_key("localdir:dockerfile"));
        let own = request("r/app", "r/app");
        let expect = [
            ("org.opencontainers.image.revision", commit),
            (
                "org.opencontainers.image.source",
                "https://h/x.git".to_owned(),
            ),
            (
                "com.docker.image.source.entrypoint",
                "app/Dockerfile".to_owned(),
            ),
        ];
        assert_eq!(labels(&own, &known(&own)), expect);
        assert!(known(&request("", "")).is_empty());
    }
}
