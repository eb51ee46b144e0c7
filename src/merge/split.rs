//! Gives a tree the directory of its platform where the daemon has not: [`prepare`].
//!
//! BuildKit up to 0.13 at least heeds `platform-split` only where one build has results for
//! several platforms, and each of ours has one. What newer daemons do in the paths that they
//! send is done here in the stage, so that old and new ones leave the same files.

use std::io;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, mkdirat, readlinkat, renameat, statat,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::entries::{file_type, names, open_directory};
use super::error::MergeError;
use super::local::PlatformTree;
use super::stage::Stage;
use crate::receive::{Directory, open_beneath, shown};

/// Where in the stage a platform's directory is filled: the tree may have an entry of its name.
const FILLED: &str = "split";
/// What newer daemons give a platform's directory.
const PERMISSIONS: u32 = 0o755;

/// Makes a complete tree hold the directories of its platforms and nothing else, and keeps the
/// list of its directories right.
///
/// A tree of one platform that is anything else than that platform's directory goes into it as
/// a whole. So an unsplit tree that consists of one directory of just this name counts as split:
/// nothing tells the two apart, and the daemon does not say which it is.
///
/// # Errors
///
/// Fails when a tree of several platforms has something beside their directories, since nobody
/// can say whose it is; and when the disk fails.
pub(super) fn prepare(
    stage: &Stage,
    tree: &PlatformTree,
    label: &str,
    directories: &mut Vec<Directory>,
) -> Result<(), MergeError> {
    let failed = |(path, error): (Vec<u8>, Errno)| MergeError::Split {
        platform: label.to_owned(),
        path: shown(&path),
        source: io::Error::from(error),
    };
    let root = tree.tree.root();
    let expected: Vec<String> = tree.directory_names().collect();
    let found = names(root).map_err(|error| failed((b".".to_vec(), error)))?;
    let stray = stray(root, &found, &expected).map_err(failed)?;
    match (&expected[..], stray) {
        ([name], Some(_)) => wrap(stage, root, name, directories).map_err(failed),
        // A directory without files: newer daemons send that, too.
        ([name], None) if found.is_empty() => wrap(stage, root, name, directories).map_err(failed),
        (_, None) => Ok(()),
        (_, Some(path)) => Err(MergeError::Stray {
            platform: label.to_owned(),
            path: shown(path),
        }),
    }
}

/// A failed call, and the path it was about.
type Failure = (Vec<u8>, Errno);

/// Finds an entry that is not one of the expected directories.
fn stray<'a>(
    root: BorrowedFd<'_>,
    found: &'a [Vec<u8>],
    expected: &[String],
) -> Result<Option<&'a [u8]>, Failure> {
    for name in found {
        let is_expected = expected.iter().any(|expected| expected.as_bytes() == name);
        let kind = file_type(root, name).map_err(|error| (name.clone(), error))?;
        if !is_expected || kind != Some(FileType::Directory) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Moves everything in a tree into a new directory in it.
fn wrap(
    stage: &Stage,
    root: BorrowedFd<'_>,
    name: &str,
    directories: &mut Vec<Directory>,
) -> Result<(), Failure> {
    let at = |path: &[u8]| {
        let path = path.to_vec();
        move |error| (path, error)
    };
    rebase_links(root, b"", name)?;
    for directory in &*directories {
        rebase_links(root, &directory.path, name)?;
    }
    mkdirat(stage.fd(), FILLED, Mode::RWXU).map_err(at(name.as_bytes()))?;
    let filled = open_directory(stage.fd(), FILLED.as_bytes()).map_err(at(name.as_bytes()))?;
    for entry in names(root).map_err(at(b"."))? {
        renameat(root, &entry[..], &filled, &entry[..]).map_err(at(&entry))?;
    }
    renameat(stage.fd(), FILLED, root, name).map_err(at(name.as_bytes()))?;

    for directory in &mut *directories {
        directory.path = [name.as_bytes(), b"/", &directory.path].concat().into();
    }
    directories.push(Directory {
        path: name.as_bytes().into(),
        permissions: PERMISSIONS,
        mtime_ns: 0,
        xattrs: None,
    });
    Ok(())
}

/// Lets the absolute links in one directory of a tree lead into the platform's directory.
fn rebase_links(root: BorrowedFd<'_>, path: &[u8], platform: &str) -> Result<(), Failure> {
    let at = |error| (path.to_vec(), error);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let directory = open_beneath(root, path, flags, Mode::empty()).map_err(at)?;
    for name in names(directory.as_fd()).map_err(at)? {
        rebase_link(directory.as_fd(), &name, platform)
            .map_err(|error| ([path, b"/", &name].concat(), error))?;
    }
    Ok(())
}

fn rebase_link(directory: BorrowedFd<'_>, name: &[u8], platform: &str) -> Result<(), Errno> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(());
    }
    let target = readlinkat(directory, name, Vec::new())?;
    let Some(target) = rebased(target.as_bytes(), platform) else {
        return Ok(());
    };
    unlinkat(directory, name, AtFlags::empty())?;
    symlinkat(&target[..], directory, name)?;
    let time = Timespec {
        tv_sec: stat.st_mtime,
        // The system's own value, below a thousand million.
        tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or_default(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// Puts a platform's directory before an absolute target, and cleans it by its letters, as
/// newer daemons do: leading `..` can lead out of the platform's directory. `None` for a
/// relative target, which stays as it is.
fn rebased(target: &[u8], platform: &str) -> Option<Vec<u8>> {
    let target = target.strip_prefix(b"/")?;
    let mut parts = vec![platform.as_bytes()];
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    Some([b"/", &parts.join(&b'/')[..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_targets_get_the_platform_and_relative_ones_do_not() {
        fn check(target: &str, expect: Option<&str>) {
            let got = rebased(target.as_bytes(), "linux_386");
            assert_eq!(got.as_deref(), expect.map(str::as_bytes), "{target}");
        }
        check("/bin/sh", Some("/linux_386/bin/sh"));
        check("/", Some("/linux_386"));
        check("//a/./b/../c/", Some("/linux_386/a/c"));
        check("/../x", Some("/x"));
        check("/../../..", Some("/"));
        check("bin/sh", None);
        check("../x", None);
        check("", None);
    }
}
