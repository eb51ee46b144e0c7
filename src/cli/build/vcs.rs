//! What daemons are told of the repository that a local context is in: buildx's `vcs:` attributes.
//!
//! They name the build in the daemons' records, and provenance repeats them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::super::git::WorkTree;
use crate::attrs::parse_bool;
use crate::request::{BuildContext, BuildRequest, Dockerfile};

/// The variable that says no to all of it.
pub(super) const GIT_INFO: &str = "BUILDX_GIT_INFO";

/// The attributes of a request by their names after `vcs:`; none where the context is remote or
/// in no repository. `wanted` is the variable's value.
pub(super) fn attrs(request: &BuildRequest, wanted: Option<&str>) -> BTreeMap<String, String> {
    let mut attrs = BTreeMap::new();
    let BuildContext::Directory(context) = &request.context else {
        return attrs;
    };
    if wanted.and_then(parse_bool) == Some(false) {
        return attrs;
    }
    let context = fs::canonicalize(context).unwrap_or_else(|_| context.clone());
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
        let got = attrs(&request("r/app", "r"), None);
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
        assert!(!attrs(&request("r", ""), None).contains_key("localdir:dockerfile"));
        assert!(attrs(&request("r", "r"), Some("false")).is_empty());
        assert!(attrs(&request("", ""), None).is_empty());
    }
}
