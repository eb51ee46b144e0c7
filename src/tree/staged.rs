//! The Dockerfile as a daemon asks for it, with the context's ignore file beside it.
//!
//! BuildKit's frontend asks for `Dockerfile.dockerignore` along with the Dockerfile, and only
//! where there is none for the context's `.dockerignore`: a transfer of its own, which costs two
//! round trips of nine and a step of the daemon's. So the one is handed out as the other. What
//! is asked for in any other way is served as it is.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use tempfile::TempDir;

use super::beneath::open_beneath;
use super::selection::Filter;

/// What the frontend adds to the Dockerfile's name.
const IGNORE: &[u8] = b".dockerignore";
/// What is handed out where the context ignores nothing. An empty file counts as none for
/// frontends that run apart from the daemon.
const NOTHING: &[u8] = b"# nothing is ignored\n";
/// Files are copied up to this size; larger ones are no Dockerfiles that anyone has seen.
const MOST: u64 = 1024 * 1024;

/// Copies what is asked for, and the ignore file of `context`, to a place of their own; `None`
/// where that is not how a frontend asks, or is not that simple.
pub(super) fn stage(root: BorrowedFd<'_>, filter: &Filter, context: &Path) -> Option<TempDir> {
    let name = ignore_name(filter)?;
    let dir = TempDir::with_prefix("mbuild-dockerfile-").ok()?;
    let mut staged = false;
    for path in &filter.follow {
        match read(root, path) {
            Ok(_) if path == name => return None,
            Ok(bytes) => fs::write(dir.path().join(OsStr::from_bytes(path)), bytes).ok()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => return None,
        }
        staged = true;
    }
    let ignored = match read_ignore_file(context) {
        Ok(bytes) if bytes.is_empty() => NOTHING.to_vec(),
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => NOTHING.to_vec(),
        Err(_) => return None,
    };
    fs::write(dir.path().join(OsStr::from_bytes(name)), ignored).ok()?;
    staged.then_some(dir)
}

/// The name of the Dockerfile's own ignore file, if plain names are asked for, and it is one.
fn ignore_name(filter: &Filter) -> Option<&Vec<u8>> {
    let special = |path: &Vec<u8>| path.iter().any(|byte| b"/*?[\\".contains(byte));
    let follow = &filter.follow;
    if !filter.exclude.is_empty() || !filter.include.is_empty() || follow.iter().any(special) {
        return None;
    }
    let is_own = |path: &&Vec<u8>| {
        let owner = path.strip_suffix(IGNORE);
        owner.is_some_and(|owner| follow.iter().any(|other| other == owner))
    };
    follow.iter().find(is_own)
}

fn read_ignore_file(context: &Path) -> io::Result<Vec<u8>> {
    let root = File::open(context)?;
    read(root.as_fd(), IGNORE)
}

/// Reads a small regular file, never through a link.
fn read(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(open_beneath(root, path, flags).map_err(io::Error::from)?);
    let stat = file.metadata()?;
    if !stat.is_file() || stat.len() > MOST {
        return Err(Errno::INVAL.into());
    }
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &[&str] = &["Dockerfile", "Dockerfile.dockerignore", "dockerfile"];

    fn staged(files: &[(&str, &str)], asked: &[&str]) -> Option<Vec<(String, String)>> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, root.path().join(name)).unwrap(),
                None => fs::write(root.path().join(name), text).unwrap(),
            }
        }
        let filter = Filter {
            follow: asked.iter().map(|path| path.as_bytes().to_vec()).collect(),
            ..Filter::default()
        };
        let opened = File::open(root.path()).unwrap();
        let dir = stage(opened.as_fd(), &filter, root.path())?;
        let entries = fs::read_dir(dir.path()).unwrap().flatten();
        let mut found: Vec<_> = entries
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        found.sort();
        Some(found)
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], asked: &[&str], expect: &[(&str, &str)]) {
        let expect: Vec<_> = expect
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        let expect = (!expect.is_empty()).then_some(expect);
        assert_eq!(staged(files, asked), expect);
    }

    #[test]
    fn the_contexts_ignore_file_comes_with_the_dockerfile() {
        check(
            &[("Dockerfile", "FROM x"), (".dockerignore", "a"), ("b", "")],
            ASKED,
            &[("Dockerfile", "FROM x"), ("Dockerfile.dockerignore", "a")],
        );
        check(
            &[("dockerfile", "FROM x")],
            ASKED,
            &[
                ("Dockerfile.dockerignore", "# nothing is ignored\n"),
                ("dockerfile", "FROM x"),
            ],
        );
    }

    #[test]
    fn a_dockerfile_with_an_ignore_file_of_its_own_keeps_it() {
        let files = [
            ("Dockerfile", "FROM x"),
            ("Dockerfile.dockerignore", "mine"),
            (".dockerignore", "a"),
        ];
        check(&files, ASKED, &[]);
    }

    #[test]
    fn what_is_not_that_simple_is_left_as_it_is() {
        let both = [("Dockerfile", "FROM x"), (".dockerignore", "a")];
        check(&both, &["Dockerfile"], &[]);
        check(&both, &["Dockerfile", "a/Dockerfile.dockerignore"], &[]);
        check(&both, &["Docker*", "Docker*.dockerignore"], &[]);
        check(&both, &[".dockerignore"], &[]);
        check(&both, &[], &[]);
        check(
            &[("Dockerfile", "-> other"), ("other", "FROM x")],
            ASKED,
            &[],
        );
        check(
            &[("Dockerfile", "x"), (".dockerignore", "-> Dockerfile")],
            ASKED,
            &[],
        );
        check(&[(".dockerignore", "a")], ASKED, &[]);
    }
}
