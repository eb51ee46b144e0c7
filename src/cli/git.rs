//! What a directory's git repository says of itself, read from its files: [`WorkTree`].
//!
//! No git program is needed, and nothing is asked over the network. Whether files differ from
//! the commit is not looked at.

use std::fs;
use std::path::{Path, PathBuf};

/// A work tree with git's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkTree {
    /// Its root.
    pub(super) root: PathBuf,
    /// Its own part of git's files.
    own: PathBuf,
    /// The part that linked work trees share.
    common: PathBuf,
}

impl WorkTree {
    /// The work tree that a directory is in; `None` where it is in none.
    pub(super) fn of(dir: &Path) -> Option<Self> {
        dir.ancestors().find_map(Self::at)
    }

    fn at(root: &Path) -> Option<Self> {
        let git = root.join(".git");
        let root = root.to_owned();
        if git.is_dir() {
            let (own, common) = (git.clone(), git);
            return Some(Self { root, own, common });
        }
        // A linked work tree's file leads to its own part, which leads to the shared one.
        let text = fs::read_to_string(&git).ok()?;
        let own = root.join(text.strip_prefix("gitdir:")?.trim());
        let common = fs::read_to_string(own.join("commondir"));
        let common = common.map_or_else(|_| own.clone(), |common| own.join(common.trim()));
        Some(Self { root, own, common })
    }

    /// The URL of `origin`, or of the only remote there is, without user and password.
    pub(super) fn remote(&self) -> Option<String> {
        let config = fs::read_to_string(self.common.join("config")).ok()?;
        origin(&config).map(without_login)
    }

    /// The commit that is checked out; `None` before the first one.
    pub(super) fn head(&self) -> Option<String> {
        let head = fs::read_to_string(self.own.join("HEAD")).ok()?;
        let commit = match head.trim().strip_prefix("ref:") {
            None => head.trim().to_owned(),
            Some(name) => self.reference(name.trim())?,
        };
        let is_hex = commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_hex && commit.len() >= 40).then_some(commit)
    }

    fn reference(&self, name: &str) -> Option<String> {
        if let Ok(commit) = fs::read_to_string(self.common.join(name)) {
            return Some(commit.trim().to_owned());
        }
        let packed = fs::read_to_string(self.common.join("packed-refs")).ok()?;
        let mut lines = packed.lines().filter_map(|line| line.split_once(' '));
        lines
            .find(|(_, known)| *known == name)
            .map(|(commit, _)| commit.to_owned())
    }
}

fn origin(config: &str) -> Option<&str> {
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
    Some(url)
}

/// A URL whose host has no user and password before it; `git@host:path` has no password.
fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let host_end = rest.find('/').unwrap_or(rest.len());
    match rest[..host_end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// The same for every way to write it: without scheme, user, password and `.git`.
pub(super) fn plain_url(url: &str) -> String {
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
    fn one_repository_has_one_plain_url() {
        for url in [
            "https://host.example/team/app.git",
            "https://user:token@host.example/team/app",
            "git@host.example:team/app.git",
            "ssh://git@host.example/team/app.git/",
        ] {
            assert_eq!(plain_url(url), "host.example/team/app", "{url}");
        }
    }

    #[test]
    fn origin_counts_and_keeps_no_password() {
        let config = "[core]\n\tbare = false\n[remote \"fork\"]\n\turl = https://h/fork\n\
                      [remote \"origin\"]\n\turl = https://u:p@h/app.git\n\tfetch = +x\n";
        let remote = |config: &str| origin(config).map(without_login);
        assert_eq!(remote(config).as_deref(), Some("https://h/app.git"));
        let renamed = config.replace("origin", "up");
        assert_eq!(remote(&renamed).as_deref(), Some("https://h/fork"));
        assert_eq!(remote("[core]\n"), None);
        assert_eq!(without_login("git@h:a"), "git@h:a");
    }

    #[test]
    fn the_commit_is_found_loose_packed_detached_and_linked() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let tree = |dir: &str| WorkTree::of(&home.path().join(dir)).unwrap();
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        write("r/.git/HEAD", "ref: refs/heads/main\n");
        fs::create_dir_all(home.path().join("r/sub")).unwrap();
        assert_eq!(tree("r/sub").head(), None);
        write(
            "r/.git/packed-refs",
            &format!("# pack\n{two} refs/heads/main\n"),
        );
        assert_eq!(tree("r/sub").head(), Some(two.clone()));
        write("r/.git/refs/heads/main", &format!("{one}\n"));
        assert_eq!(tree("r/sub").head(), Some(one));
        assert_eq!(tree("r/sub").root, home.path().join("r"));
        write("r/.git/worktrees/l/HEAD", &two);
        write("r/.git/worktrees/l/commondir", "../..\n");
        let own = home.path().join("r/.git/worktrees/l");
        write("l/.git", &format!("gitdir: {}\n", own.display()));
        write("r/.git/config", "[remote \"origin\"]\nurl = git@h:x\n");
        assert_eq!(tree("l").head(), Some(two));
        assert_eq!(tree("l").remote().as_deref(), Some("git@h:x"));
    }
}
