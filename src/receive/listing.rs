//! [`Listing`]: decides whether an entry may follow those before it.
//!
//! Pure. It remembers the way to the last entry, which is enough for order and parents, and of
//! every regular file eight bytes, which is enough to know what a hard link may name.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::entry::{Entry, Kind};
use super::error::{ReceiveError, Refusal, shown};

/// The longest path that Linux takes in one call, without its NUL.
const MAX_PATH: usize = 4095;
/// Directories below one another. The removal of a tree holds a descriptor for each, and a
/// process usually has 1024.
const MAX_DEPTH: usize = 200;
/// Entries in one stream. The largest images have about a million.
const MAX_ENTRIES: u32 = 10_000_000;
/// Bytes of paths, link targets and attributes in one stream: what ten million paths of 100
/// bytes take, all of which may have to be remembered until their contents arrive.
const MAX_TEXT: u64 = 1 << 30;
/// What Linux stores for one file at most (`XATTR_SIZE_MAX`).
const MAX_XATTRS: usize = 64 << 10;

/// The entries accepted so far in one stream.
#[derive(Debug, Default)]
pub struct Listing {
    last: Vec<u8>,
    /// Lengths of those prefixes of `last` that are directories.
    directories: Vec<usize>,
    /// Hashes of the paths of regular files. Keyed at random, so nobody can make two collide;
    /// if two do, the link fails later, when it is made.
    files: HashSet<u64>,
    hasher: RandomState,
    count: u32,
    text: u64,
}

impl Listing {
    /// Accepts the next entry, and says what it is.
    ///
    /// # Errors
    ///
    /// Refuses what could be written outside the tree, what breaks the order of the protocol
    /// (depth first, names by bytes, parents first, nothing twice), and what exceeds the limits.
    pub fn accept(&mut self, entry: &Entry) -> Result<Kind, ReceiveError> {
        let kind = self.judge(entry).map_err(|why| {
            let path = shown(&entry.path);
            ReceiveError::Refused { path, why }
        })?;
        self.measure(entry)?;
        self.remember(&entry.path, kind);
        Ok(kind)
    }

    /// How many entries were accepted; the next one's id in the protocol.
    pub fn count(&self) -> u32 {
        self.count
    }

    fn judge(&self, entry: &Entry) -> Result<Kind, Refusal> {
        let path = &entry.path[..];
        check_path(path)?;
        let kind = entry.kind().ok_or(Refusal::BadStat)?;
        check_numbers(entry)?;
        if by_slash_first(&self.last, path) != Ordering::Less {
            return Err(Refusal::Order);
        }
        if !self.has_directory(parent(path)) {
            return Err(Refusal::NoParent);
        }
        let target = &entry.linkname[..];
        match kind {
            Kind::HardLink if !self.files.contains(&self.hasher.hash_one(target)) => {
                Err(Refusal::UnknownLink)
            }
            Kind::HardLink => check_path(target).map(|()| kind),
            Kind::Symlink
                if target.is_empty() || target.len() > MAX_PATH || target.contains(&0) =>
            {
                Err(Refusal::BadTarget)
            }
            _ => Ok(kind),
        }
    }

    /// Whether a directory can still receive entries: it is the last entry or above it.
    fn has_directory(&self, path: &[u8]) -> bool {
        path.is_empty()
            || self.directories.contains(&path.len()) && self.last[..path.len()] == *path
    }

    fn measure(&mut self, entry: &Entry) -> Result<(), ReceiveError> {
        if self.count == MAX_ENTRIES {
            return Err(ReceiveError::TooMuch("more than 10,000,000 files"));
        }
        self.count += 1;
        self.text += (entry.path.len() + entry.linkname.len() + xattr_bytes(entry)) as u64;
        if self.text > MAX_TEXT {
            return Err(ReceiveError::TooMuch(
                "more than 1 GiB of paths and attributes",
            ));
        }
        Ok(())
    }

    fn remember(&mut self, path: &[u8], kind: Kind) {
        let parent = parent(path).len();
        self.directories.retain(|length| *length <= parent);
        self.last.clear();
        self.last.extend_from_slice(path);
        match kind {
            Kind::Directory => self.directories.push(path.len()),
            Kind::File => drop(self.files.insert(self.hasher.hash_one(path))),
            _ => {}
        }
    }
}

/// Checks that a path is relative, clean and short enough.
fn check_path(path: &[u8]) -> Result<(), Refusal> {
    if path.contains(&0) {
        return Err(Refusal::Nul);
    }
    if path.len() > MAX_PATH {
        return Err(Refusal::LongPath);
    }
    if path.starts_with(b"/") {
        return Err(Refusal::Absolute);
    }
    let mut depth = 0;
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" => return Err(Refusal::EmptyName),
            b"." | b".." => return Err(Refusal::Dots),
            _ => depth += 1,
        }
    }
    if depth > MAX_DEPTH {
        Err(Refusal::Deep)
    } else {
        Ok(())
    }
}

fn check_numbers(entry: &Entry) -> Result<(), Refusal> {
    if xattr_bytes(entry) > MAX_XATTRS {
        return Err(Refusal::Xattrs);
    }
    let devices = [entry.devmajor, entry.devminor];
    let possible = entry.size >= 0 && devices.iter().all(|number| u32::try_from(*number).is_ok());
    if possible {
        Ok(())
    } else {
        Err(Refusal::BadStat)
    }
}

fn xattr_bytes(entry: &Entry) -> usize {
    entry
        .xattrs
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// The path of the directory that a clean path lies in; empty for the root.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    path.iter()
        .rposition(|byte| *byte == b'/')
        .map_or(b"", |slash| &path[..slash])
}

/// Compares paths bytewise with the slash before all other bytes.
fn by_slash_first(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: &u8| {
        if *byte == b'/' {
            0
        } else {
            u16::from(*byte) + 1
        }
    };
    a.iter().map(rank).cmp(b.iter().map(rank))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const DIR: u32 = 0x8000_01ed;
    const LINK: u32 = 0x0800_01ff;

    fn entry(path: impl Into<Bytes>, mode: u32, linkname: impl Into<Bytes>) -> Entry {
        Entry {
            path: path.into(),
            mode,
            linkname: linkname.into(),
            ..Entry::default()
        }
    }

    fn accept(entries: &[Entry]) -> Result<(), ReceiveError> {
        let mut listing = Listing::default();
        entries
            .iter()
            .try_for_each(|entry| listing.accept(entry).map(drop))
    }

    /// Entries are `path`, `path/` for a directory, `path -> target`, `path = linkname`.
    fn check(texts: &[&'static str], expect: Result<(), Refusal>) {
        let entries: Vec<Entry> = texts
            .iter()
            .map(|text| {
                if let Some((path, target)) = text.split_once(" -> ") {
                    entry(path, LINK, target)
                } else if let Some((path, target)) = text.split_once(" = ") {
                    entry(path, 0o644, target)
                } else if let Some(path) = text.strip_suffix('/') {
                    entry(path, DIR, "")
                } else {
                    entry(*text, 0o644, "")
                }
            })
            .collect();
        let answer = accept(&entries).map_err(|error| match error {
            ReceiveError::Refused { why, .. } => why,
            other => panic!("{other}"),
        });
        assert_eq!(answer, expect, "{texts:?}");
    }

    #[test]
    fn a_tree_in_order_passes() {
        check(
            &[
                "foo/",
                "foo/bar",
                "foo/baz/",
                "foo/baz/x",
                "foo-bar",
                "l -> /etc",
                "z",
            ],
            Ok(()),
        );
        check(&["a/", "a/f", "b/", "b/g = a/f"], Ok(()));
        check(&[], Ok(()));
    }

    #[test]
    fn paths_out_of_the_tree_are_refused() {
        check(&["../x"], Err(Refusal::Dots));
        check(&["a/", "a/../../x"], Err(Refusal::Dots));
        check(&["."], Err(Refusal::Dots));
        check(&[".."], Err(Refusal::Dots));
        check(&["/x"], Err(Refusal::Absolute));
        check(&[""], Err(Refusal::EmptyName));
        check(&["a/", "a//b"], Err(Refusal::EmptyName));
        check(&["a//"], Err(Refusal::EmptyName));
        check(&["a\0b"], Err(Refusal::Nul));
    }

    #[test]
    fn order_parents_and_duplicates_are_checked() {
        check(&["foo/", "foo-bar", "foo/bar"], Err(Refusal::Order));
        check(&["b", "a"], Err(Refusal::Order));
        check(&["a", "a"], Err(Refusal::Order));
        check(&["a/", "a/"], Err(Refusal::Order));
        check(&["a", "a/"], Err(Refusal::Order));
        check(&["a/b"], Err(Refusal::NoParent));
        check(&["a", "a/b"], Err(Refusal::NoParent));
        check(&["a -> /etc", "a/passwd"], Err(Refusal::NoParent));
        check(&["a/", "a/b/", "c/", "c/b/x"], Err(Refusal::NoParent));
        check(&["ab/", "ab/c", "ac/", "ac/c/d"], Err(Refusal::NoParent));
    }

    #[test]
    fn links_need_a_file_sent_before() {
        check(&["a = b", "b"], Err(Refusal::UnknownLink));
        check(&["a = a"], Err(Refusal::UnknownLink));
        check(&["a = /etc/passwd"], Err(Refusal::UnknownLink));
        check(&["a = ../../etc/passwd"], Err(Refusal::UnknownLink));
        check(&["a/", "b = a"], Err(Refusal::UnknownLink));
        check(&["a -> x", "b = a"], Err(Refusal::UnknownLink));
        check(&["a -> "], Err(Refusal::BadTarget));
        check(&["a -> \0"], Err(Refusal::BadTarget));
    }

    #[test]
    fn sizes_and_lengths_have_limits() {
        fn check(entry: Entry, expect: Refusal) {
            match accept(std::slice::from_ref(&entry)) {
                Err(ReceiveError::Refused { why, .. }) => assert_eq!(why, expect),
                other => panic!("{other:?} for {expect:?}"),
            }
        }
        check(entry(vec![b'a'; 4096], 0o644, ""), Refusal::LongPath);
        check(entry("a/".repeat(200) + "a", 0o644, ""), Refusal::Deep);
        check(
            Entry {
                size: -1,
                ..entry("a", 0o644, "")
            },
            Refusal::BadStat,
        );
        check(
            Entry {
                devminor: -1,
                ..entry("a", 0x0400_0000, "")
            },
            Refusal::BadStat,
        );
        check(entry("a", 0x0100_0000, ""), Refusal::BadStat);
        let xattrs = [("user.x".to_owned(), Bytes::from(vec![0; 70_000]))].into();
        check(
            Entry {
                xattrs,
                ..entry("a", 0o644, "")
            },
            Refusal::Xattrs,
        );
    }

    #[test]
    fn a_listing_cannot_fill_the_memory() {
        let target = Bytes::from(vec![b'x'; MAX_PATH]);
        let mut listing = Listing::default();
        let mut accept =
            |number: u32| listing.accept(&entry(format!("{number:08}"), LINK, target.clone()));
        let refused = (0..).find_map(|number| accept(number).err());
        let expect = "the daemon sent too much: more than 1 GiB of paths and attributes";
        assert_eq!(
            refused.map(|error| error.to_string()).as_deref(),
            Some(expect)
        );
    }
}
