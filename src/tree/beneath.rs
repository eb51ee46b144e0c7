//! Opens paths below a directory without ever following a symbolic link.
//!
//! Somebody may put a link where a directory was listed; the build must not be made to send
//! what lies elsewhere. Paths may be longer than the system takes in one call.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// The longest path handed to the system at once, under its limit of 4096 with the final NUL.
const LONGEST: usize = 4000;

/// Opens `path`, which must be relative and clean; an empty one is the root itself.
pub(super) fn open_beneath(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    match open_by(root, path, flags, LONGEST, open_strictly) {
        // No openat2 here: an old kernel, or a sandbox that refuses calls it doesn't know.
        Err(Errno::NOSYS | Errno::PERM) => open_by(root, path, flags, 1, open_component),
        opened => opened,
    }
}

type Opener = fn(BorrowedFd<'_>, &[u8], OFlags) -> Result<OwnedFd, Errno>;

/// Opens a path in pieces of at most `limit` bytes, and at least one component.
fn open_by(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    limit: usize,
    open: Opener,
) -> Result<OwnedFd, Errno> {
    let mut above: Option<OwnedFd> = None;
    let mut rest = path;
    loop {
        let dir = above.as_ref().map_or(root, AsFd::as_fd);
        let (piece, after) = split(rest, limit);
        if after.is_empty() {
            return open(dir, piece, flags);
        }
        let next = open(dir, piece, OFlags::PATH | OFlags::DIRECTORY)?;
        above = Some(next);
        rest = after;
    }
}

/// Cuts a path in two at a slash.
fn split(path: &[u8], limit: usize) -> (&[u8], &[u8]) {
    let is_slash = |byte: &u8| *byte == b'/';
    if path.len() <= limit {
        return (path, b"");
    }
    let within = path[..=limit].iter().rposition(is_slash);
    match within.or_else(|| path.iter().position(is_slash)) {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (path, b""),
    }
}

fn open_strictly(dir: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(dir, or_self(path), flags | always(), Mode::empty(), resolve)
}

/// Safe only for a single component.
fn open_component(dir: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(dir, or_self(name), flags | always(), Mode::empty())
}

fn or_self(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

fn always() -> OFlags {
    OFlags::NOFOLLOW | OFlags::CLOEXEC
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn check(path: &str, expected: Result<(), &[Errno]>) {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("a/b")).unwrap();
        fs::write(temp.path().join("a/b/file"), "x").unwrap();
        symlink("a", temp.path().join("link")).unwrap();
        symlink("file", temp.path().join("a/b/link")).unwrap();
        let root = fs::File::open(temp.path()).unwrap();
        let ways: [(usize, Opener); 3] = [
            (LONGEST, open_strictly),
            (3, open_strictly),
            (1, open_component),
        ];
        for (limit, open) in ways {
            let opened =
                open_by(root.as_fd(), path.as_bytes(), OFlags::RDONLY, limit, open).map(drop);
            match expected {
                Ok(()) => assert_eq!(opened, Ok(()), "{path} by {limit}"),
                Err(errors) => assert!(errors.contains(&opened.unwrap_err()), "{path} by {limit}"),
            }
        }
    }

    #[test]
    fn paths_below_open() {
        check("a/b/file", Ok(()));
        check("a/b", Ok(()));
        check("", Ok(()));
    }

    #[test]
    fn links_do_not() {
        check("link/b/file", Err(&[Errno::LOOP, Errno::NOTDIR]));
        check("a/b/link", Err(&[Errno::LOOP]));
        check("a/b/file/x", Err(&[Errno::NOTDIR]));
        check("a/none", Err(&[Errno::NOENT]));
    }

    #[test]
    fn splitting() {
        assert_eq!(split(b"aa/bb/cc", 5), (&b"aa/bb"[..], &b"cc"[..]));
        assert_eq!(split(b"aa/bb/cc", 4), (&b"aa"[..], &b"bb/cc"[..]));
        assert_eq!(split(b"aaaa/b", 2), (&b"aaaa"[..], &b"b"[..]));
        assert_eq!(split(b"aaaa", 2), (&b"aaaa"[..], &b""[..]));
    }
}
