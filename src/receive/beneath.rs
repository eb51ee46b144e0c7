//! Opens and makes files below a directory without ever following a symbolic link.
//!
//! The kernel's own check (`openat2`) where there is one; else one component at a time.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// Opens `path`, which must be relative, clean and shorter than 4096 bytes; an empty one is the
/// directory itself. `mode` counts only with `O_CREAT`.
///
/// # Errors
///
/// Fails like the system's call, and with `ELOOP` or `ENOTDIR` where a symbolic link is met.
pub fn open_beneath(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    match open_strictly(root, path, flags, mode) {
        // No openat2 here: an old kernel, or a sandbox that refuses calls it doesn't know. The
        // walk gives the same answer where the path itself was what is not permitted.
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(root, path, flags, mode),
        opened => opened,
    }
}

fn open_strictly(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    // `openat2` refuses a mode that would be ignored.
    let mode = if flags.contains(OFlags::CREATE) {
        mode
    } else {
        Mode::empty()
    };
    loop {
        match openat2(root, or_self(path), strict(flags), mode, resolve) {
            // Somewhere else a directory was renamed meanwhile, so the kernel could not be sure.
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
}

fn open_stepwise(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let mut above: Option<OwnedFd> = None;
    let mut rest = path;
    loop {
        let dir = above.as_ref().map_or(root, AsFd::as_fd);
        let Some(slash) = rest.iter().position(|byte| *byte == b'/') else {
            return open_component(dir, rest, flags, mode);
        };
        let next = OFlags::PATH | OFlags::DIRECTORY;
        let next = open_component(dir, &rest[..slash], next, Mode::empty())?;
        above = Some(next);
        rest = &rest[slash + 1..];
    }
}

/// Safe only for a single component.
fn open_component(
    dir: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    if name == b".." || name.contains(&b'/') {
        return Err(Errno::INVAL);
    }
    openat(dir, or_self(name), strict(flags), mode)
}

fn or_self(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

/// `openat2` refuses flags that have no meaning together with `O_PATH`.
fn strict(flags: OFlags) -> OFlags {
    let always = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if flags.contains(OFlags::PATH) {
        flags | always
    } else {
        flags | always | OFlags::NOCTTY
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn check(path: &str, flags: OFlags, expect: Result<(), &[Errno]>) {
        type Opener = fn(BorrowedFd<'_>, &[u8], OFlags, Mode) -> Result<OwnedFd, Errno>;
        let ways: [(&str, Opener); 2] = [("openat2", open_strictly), ("stepwise", open_stepwise)];
        for (way, open) in ways {
            let temp = tempfile::tempdir().unwrap();
            fs::create_dir_all(temp.path().join("root/a/b")).unwrap();
            fs::write(temp.path().join("root/a/b/file"), "x").unwrap();
            symlink("a", temp.path().join("root/link")).unwrap();
            symlink("../new", temp.path().join("root/out")).unwrap();
            let root = fs::File::open(temp.path().join("root")).unwrap();
            let mode = Mode::from_raw_mode(0o600);
            let opened = open(root.as_fd(), path.as_bytes(), flags, mode).map(drop);
            match expect {
                Ok(()) => assert_eq!(opened, Ok(()), "{path} {way}"),
                Err(errors) => assert!(errors.contains(&opened.unwrap_err()), "{path} {way}"),
            }
            assert!(!temp.path().join("new").exists(), "{path} {way}");
        }
    }

    #[test]
    fn paths_below_open_and_links_do_not() {
        let read = OFlags::RDONLY;
        check("a/b/file", read, Ok(()));
        check("", read, Ok(()));
        check("link/b/file", read, Err(&[Errno::LOOP, Errno::NOTDIR]));
        check("a/b/file/x", read, Err(&[Errno::NOTDIR]));
        check("..", read, Err(&[Errno::XDEV, Errno::INVAL]));
    }

    #[test]
    fn new_files_are_made_below_only() {
        let new = OFlags::WRONLY | OFlags::CREATE;
        check("a/new", new, Ok(()));
        check("link/new", new, Err(&[Errno::LOOP, Errno::NOTDIR]));
        check("out", new, Err(&[Errno::LOOP]));
        check("../new", new, Err(&[Errno::XDEV, Errno::INVAL]));
        check("a/b/file", new | OFlags::EXCL, Err(&[Errno::EXIST]));
    }
}
