//! Reads one directory from the file system.

use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, RawDir, readlinkat, statat};
use rustix::io::Errno;

use super::listing::{Detail, Listing};
use super::snapshot::Hidden;
use super::stat::{Stat, go_mode};
use super::xattr::XattrReader;

/// Room for a few hundred entries at a time.
const BUFFER: usize = 32 * 1024;

/// A name as the directory gives it, before anything else is known.
struct Name {
    start: usize,
    end: usize,
    kind: FileType,
}

/// What was found out about an entry.
struct Found {
    mode: u32,
    size: i64,
    mtime_ns: i64,
    details: Vec<Detail>,
}

/// Lists `directory`, which is at `path` below `root`. Entries that vanish meanwhile are left
/// out; one that may not be examined is listed with its error.
pub(super) fn read_directory(
    directory: &OwnedFd,
    root: &Path,
    path: &[u8],
    hidden: Hidden,
) -> Result<Listing, Errno> {
    let (text, mut names) = read_names(directory)?;
    names.retain(|name| !hidden(&text[name.start..name.end]));
    names.sort_unstable_by(|a, b| text[a.start..a.end].cmp(&text[b.start..b.end]));
    let mut xattrs = XattrReader::new(directory.as_fd(), root, path);
    let mut listing = Listing::default();
    for Name { start, end, kind } in names {
        let name = &text[start..end];
        let Some(mut found) = examine(directory.as_fd(), name, kind) else {
            continue;
        };
        let attributes = xattrs.read(name);
        if !attributes.is_empty() {
            found.details.push(Detail::Xattrs(attributes));
        }
        listing.push(
            name,
            (found.mode, found.size, found.mtime_ns),
            found.details,
        );
    }
    Ok(listing)
}

fn read_names(directory: &OwnedFd) -> Result<(Vec<u8>, Vec<Name>), Errno> {
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut text = Vec::new();
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let start = text.len();
        text.extend_from_slice(name);
        names.push(Name {
            start,
            end: text.len(),
            kind: entry.file_type(),
        });
    }
    Ok((text, names))
}

/// Returns what the system says of an entry, `None` if it is gone.
fn examine(directory: BorrowedFd<'_>, name: &[u8], kind: FileType) -> Option<Found> {
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return None,
        Err(errno) => {
            let mode = if kind == FileType::Directory {
                Stat::DIRECTORY
            } else {
                0
            };
            let details = vec![Detail::Failed(errno)];
            return Some(Found {
                mode,
                size: 0,
                mtime_ns: 0,
                details,
            });
        }
    };
    let mut details = Vec::new();
    let kind = FileType::from_raw_mode(stat.st_mode);
    match kind {
        FileType::Symlink => match readlinkat(directory, name, Vec::new()) {
            Ok(target) => details.push(Detail::Target(target.into_bytes().into())),
            Err(Errno::NOENT | Errno::INVAL) => return None,
            Err(errno) => details.push(Detail::Failed(errno)),
        },
        FileType::BlockDevice | FileType::CharacterDevice => {
            details.push(Detail::Device(stat.st_rdev));
        }
        _ => {}
    }
    let linkable = kind != FileType::Directory && kind != FileType::Symlink;
    if linkable && stat.st_nlink > 1 {
        details.push(Detail::Inode {
            device: stat.st_dev,
            number: stat.st_ino,
        });
    }
    let size = if kind == FileType::Directory {
        0
    } else {
        stat.st_size
    };
    let seconds = stat.st_mtime.saturating_mul(1_000_000_000);
    let mtime_ns = seconds.saturating_add(stat.st_mtime_nsec as i64);
    Some(Found {
        mode: go_mode(stat.st_mode),
        size,
        mtime_ns,
        details,
    })
}
