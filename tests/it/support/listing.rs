//! What a directory tree holds, down to what is easily lost on the way: [`listing`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use mbuild::digest::Digest;

/// Every entry below a directory, by path: kind, mode, owner, time, content, and the first of
/// its hard links.
pub(crate) type Listing = BTreeMap<String, String>;

/// Lists a tree; the directory itself is not part of it.
pub(crate) fn listing(root: &Path) -> Listing {
    let (mut entries, mut inodes) = (BTreeMap::new(), BTreeMap::new());
    walk(root, "", &mut entries);
    let described = entries.iter().map(|(path, metadata)| {
        let mut text = describe(&root.join(path), metadata);
        if metadata.nlink() > 1 && !metadata.is_dir() {
            let first = inodes.entry(metadata.ino()).or_insert(path);
            text += &format!(" link {first}");
        }
        (path.clone(), text)
    });
    described.collect()
}

/// Panics with the differences, if there are any.
#[track_caller]
pub(crate) fn assert_same(got: &Listing, expect: &Listing) {
    let mut differences = String::new();
    for path in got
        .keys()
        .chain(expect.keys().filter(|p| !got.contains_key(*p)))
    {
        if got.get(path) != expect.get(path) {
            let of = |listing: &Listing| listing.get(path).cloned().unwrap_or("absent".into());
            let (got, expect) = (of(got), of(expect));
            differences += &format!("{path}:\n  got      {got}\n  expected {expect}\n");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

fn walk(root: &Path, below: &str, entries: &mut BTreeMap<String, Metadata>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = match below {
            "" => name,
            _ => format!("{below}/{name}"),
        };
        let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
        if metadata.is_dir() {
            walk(root, &path, entries);
        }
        entries.insert(path, metadata);
    }
}

fn describe(path: &Path, metadata: &Metadata) -> String {
    let kind = metadata.file_type();
    let what = if kind.is_dir() {
        "directory".to_owned()
    } else if kind.is_symlink() {
        format!("symlink to {:?}", fs::read_link(path).unwrap())
    } else if kind.is_fifo() {
        "fifo".to_owned()
    } else {
        format!("file {}", Digest::of(&fs::read(path).unwrap()))
    };
    format!(
        "{what} {:o} {}:{} {}.{:09}{}",
        metadata.mode() & 0o7777,
        metadata.uid(),
        metadata.gid(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        attributes(path, metadata),
    )
}

/// Extended attributes of files and directories.
fn attributes(path: &Path, metadata: &Metadata) -> String {
    if !metadata.is_file() && !metadata.is_dir() {
        return String::new();
    }
    let (mut names, mut value) = (vec![0; 4096], vec![0; 4096]);
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut text = String::new();
    for name in names[..length].split(|byte| *byte == 0) {
        if !name.is_empty() {
            let name = OsString::from_vec(name.to_vec());
            let length = rustix::fs::lgetxattr(path, &name, &mut value[..]).unwrap();
            text += &format!(" {name:?}={:?}", String::from_utf8_lossy(&value[..length]));
        }
    }
    text
}
