//! Directories by handle: listing them, and removing trees without following links.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fchmod, fstat, openat, statat, unlinkat};
use rustix::io::Errno;

/// Returns the names in a directory, sorted, so that what happens first is always the same.
pub(super) fn names(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Opens a directory for listing; a symbolic link is an error.
pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Returns the type of an entry, not following links; `None` when there is nothing.
pub(super) fn file_type(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Option<FileType>, Errno> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets the owner change what is in a directory. Fails silently: the change itself then says why.
pub(super) fn make_writable(directory: BorrowedFd<'_>) {
    if let Ok(stat) = fstat(directory)
        && stat.st_mode & 0o700 != 0o700
    {
        let _ = fchmod(
            directory,
            Mode::from_raw_mode((stat.st_mode & 0o7777) | 0o700),
        );
    }
}

/// Removes whatever has this name; a directory with everything in it.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    if file_type(parent, name)? != Some(FileType::Directory) {
        return unless_gone(unlinkat(parent, name, AtFlags::empty()));
    }
    let directory = open_directory(parent, name)?;
    make_writable(directory.as_fd());
    for name in names(directory.as_fd())? {
        remove(directory.as_fd(), &name)?;
    }
    drop(directory);
    unless_gone(unlinkat(parent, name, AtFlags::REMOVEDIR))
}

fn unless_gone(result: Result<(), Errno>) -> Result<(), Errno> {
    if result == Err(Errno::NOENT) {
        Ok(())
    } else {
        result
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn removing_a_tree_leaves_what_its_links_name() {
        let temp = tempfile::tempdir().unwrap();
        let kept = temp.path().join("kept");
        fs::create_dir_all(temp.path().join("tree/locked")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        fs::write(temp.path().join("tree/locked/file"), "x").unwrap();
        symlink(&kept, temp.path().join("tree/locked/link")).unwrap();
        fs::set_permissions(
            temp.path().join("tree/locked"),
            Permissions::from_mode(0o555),
        )
        .unwrap();
        let root = fs::File::open(temp.path()).unwrap();
        remove(root.as_fd(), b"tree").unwrap();
        remove(root.as_fd(), b"tree").unwrap();
        assert_eq!(names(root.as_fd()).unwrap(), [b"kept"]);
        assert!(kept.join("file").exists());
    }
}
