//! The key by which a project meets the same daemon of a node, build after build.
//!
//! A CI agent's directory has another name each time, or the same one for every project, so
//! the git remote counts before the path; a remote context is its own name. The key is hashed here and sent to nobody.

use std::fs;
use std::path::Path;

use super::super::git::{WorkTree, plain_url};
use crate::request::{BuildContext, BuildRequest, Dockerfile, RemoteContext};

/// The key of a request: the one that is given, else the git remote and the target, else the
/// context's real path and the target.
pub(super) fn key(request: &BuildRequest) -> String {
    if let Some(key) = &request.context_key {
        return key.clone();
    }
    let dir = match (&request.context, &request.dockerfile) {
        (BuildContext::Directory(dir), _) => dir,
        (BuildContext::Remote(remote), _) => return target(request, address(remote)),
        (_, Dockerfile::Local { dir, .. }) => dir,
        _ => return target(request, String::new()),
    };
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.clone());
    target(request, project(&dir))
}

fn target(request: &BuildRequest, project: String) -> String {
    let target = request.frontend.target.as_deref().unwrap_or_default();
    format!("{project} {target}")
}

/// The repository and the directory in it, whatever the commit; or where a file is.
fn address(remote: &RemoteContext) -> String {
    match remote {
        RemoteContext::Git(git) => {
            let (repository, dir) = git.place();
            format!("{} {dir}", plain_url(&repository))
        }
        RemoteContext::Web(_) => plain_url(&remote.shown()),
    }
}

/// The remote and the directory's place in the repository, or the directory's path.
fn project(dir: &Path) -> String {
    let tree = WorkTree::of(dir);
    let remote = tree.and_then(|tree| {
        let remote = plain_url(&tree.remote()?);
        let below = dir.strip_prefix(&tree.root).unwrap_or(Path::new(""));
        Some(format!("{remote} {}", below.display()))
    });
    remote.unwrap_or_else(|| dir.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_context_has_the_name_of_its_checkout() {
        let address = |text: &str| address(&RemoteContext::parse(text).unwrap());
        assert_eq!(
            address("https://u:p@h/team/app.git#v1:sub"),
            "h/team/app sub"
        );
        assert_eq!(address("git@h:team/app.git?subdir=sub"), "h/team/app sub");
        assert_eq!(address("https://h/a.tar?sig=x"), "h/a.tar");
    }

    #[test]
    fn the_remote_counts_before_the_path() {
        let home = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let git = home.path().join(name).join(".git");
            fs::create_dir_all(home.path().join(name).join("sub")).unwrap();
            fs::create_dir(&git).unwrap();
            fs::write(
                git.join("config"),
                "[remote \"origin\"]\nurl = git@h:team/app.git\n",
            )
            .unwrap();
        };
        make("one");
        make("two");
        let at = |path: &str| project(&home.path().join(path));
        assert_eq!(at("one/sub"), "h/team/app sub");
        assert_eq!(at("one"), at("two"));
        let linked = home.path().join("linked");
        fs::create_dir(&linked).unwrap();
        let own = home.path().join("one/.git/worktrees/linked");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("commondir"), "../..\n").unwrap();
        fs::write(linked.join(".git"), format!("gitdir: {}\n", own.display())).unwrap();
        assert_eq!(at("linked"), at("one"));
        let bare = home.path().join("bare");
        fs::create_dir(&bare).unwrap();
        assert_eq!(project(&bare), bare.display().to_string());
    }
}
