//! Gives files and directories the modes, times and attributes that they had on the daemon.
//!
//! Owners stay the invoking user's.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{Mode, OFlags, Timespec, Timestamps, XattrFlags, fchmod, fsetxattr, futimens};
use rustix::io::Errno;

use super::beneath::open_beneath;
use super::entry::Xattrs;
use super::error::WriteError;
use super::sink::Directory;

/// Gives a directory its final mode, time and attributes.
///
/// # Errors
///
/// Fails when the mode or time cannot be set; attributes that cannot be set are ignored.
pub fn set_directory(root: BorrowedFd<'_>, directory: &Directory) -> Result<(), WriteError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Directory {
        path,
        permissions,
        mtime_ns,
        xattrs,
    } = directory;
    open_beneath(root, path, flags, Mode::empty())
        .and_then(|fd| set_attributes(fd.as_fd(), *permissions, *mtime_ns, xattrs))
        .map_err(|error| WriteError::new("set the mode and time of", path, error))
}

/// Sets what is known of an open file or directory. Attributes come first: a mode may forbid
/// writing, and the time is to be the last thing that changes.
pub(super) fn set_attributes(
    file: BorrowedFd<'_>,
    permissions: u32,
    mtime_ns: i64,
    xattrs: &Xattrs,
) -> Result<(), Errno> {
    for (name, value) in xattrs.iter().flat_map(|xattrs| xattrs.iter()) {
        // As buildx does: many need rights or a file system that the client doesn't have.
        let _ = fsetxattr(file, name.as_str(), value, XattrFlags::empty());
    }
    fchmod(file, Mode::from_raw_mode(permissions))?;
    futimens(file, &timestamps(mtime_ns))
}

/// Both times of a file that was changed at this time, in nanoseconds since 1970.
pub(super) fn timestamps(mtime_ns: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime_ns.div_euclid(1_000_000_000),
        tv_nsec: mtime_ns.rem_euclid(1_000_000_000),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
