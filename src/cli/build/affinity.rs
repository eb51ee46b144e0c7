//! The key by which a project meets the same daemon of a node, build after build.
//!
//! A CI agent's directory has another name each time, or the same one for every project, so
//! the git remote counts before the path; a remote context is its own name. The key is hashed here and sent to nobody.

use std::fs;
use std::path::{Path, PathBuf};

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
            format!("{} {dir}", plain(&repository))
        }
        RemoteContext::Web(_) => plain(&remote.shown()),
    }
}

/// The remote and the directory's place in the repository, or the directory's path.
fn project(dir: &Path) -> String {
    let remote = dir.ancestors().find_map(|root| {
        let remote = origin(&fs::read_to_string(config(root)?).ok()?)?;
        let below = dir.strip_prefix(root).unwrap_or(Path::new(""));
        Some(format!("{remote} {}", below.display()))
    });
    remote.unwrap_or_else(|| dir.display().to_string())
}

/// The repository's configuration, if a directory is the root of a work tree.
fn config(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git.join("config"));
    }
    // A linked work tree's file leads to its own part; the configuration is two levels up.
    let text = fs::read_to_string(&git).ok()?;
    let own = root.join(text.strip_prefix("gitdir:")?.trim());
    let common = fs::read_to_string(own.join("commondir"));
    let common = common.map_or_else(|_| own.clone(), |common| own.join(common.trim()));
    Some(common.join("config"))
}

/// The URL of `origin`, or of the only remote there is, without user and password.
fn origin(config: &str) -> Option<String> {
    let (mut section, mut remotes) = ("", Vec::new());
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section.starts_with("[remote ")
            && let Some((key, url)) = line.split_once('=')
            && key.trim() == "url"
        {
            remotes.push((section, url.trim()));
        }
    }
    let origin = remotes
        .iter()
        .find(|(section, _)| section.contains("\"origin\""));
    let (_, url) = origin.or_else(|| remotes.first())?;
    Some(plain(url))
}

/// The same for every way to write it: without scheme, user, password and `.git`.
fn plain(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let host_end = rest.find('/').unwrap_or(rest.len());
    let rest = match rest[..host_end].rfind('@') {
        Some(at) => &rest[at + 1..],
        None => rest,
    };
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix(".git").unwrap_or(rest);
    match url.contains("://") {
        true => rest.to_owned(),
        // git@host:path is host/path.
        false => rest.replacen(':', "/", 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_name() {
        for url in [
            "https://host.example/team/app.git",
            "https://user:token@host.example/team/app",
            "git@host.example:team/app.git",
            "ssh://git@host.example/team/app.git/",
        ] {
            assert_eq!(plain(url), "host.example/team/app", "{url}");
        }
        let config = "[core]\n\tbare = false\n[remote \"fork\"]\n\turl = https://h/fork\n\
                      [remote \"origin\"]\n\turl = https://h/app.git\n\tfetch = +x\n";
        assert_eq!(origin(config).as_deref(), Some("h/app"));
        assert_eq!(
            origin(&config.replace("origin", "up")).as_deref(),
            Some("h/fork")
        );
        assert_eq!(origin("[core]\n"), None);
    }

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
