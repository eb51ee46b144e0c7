//! The entries of one directory, packed.
//!
//! Most entries of a large context need a name, a mode, a size and a time: 24 bytes and the
//! name. What few have (link targets, inodes, devices, attributes, errors) is kept aside.

use std::sync::OnceLock;

use rustix::io::Errno;

use super::stat::{Stat, device_numbers};

/// One entry of a tree, four bytes to remember it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub(super) u32);

/// What is known of a directory that has been asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Contents {
    /// The number of its listing in the tree.
    Listed(usize),
    /// It was gone, or no directory any more, when it was to be read.
    Vanished,
    /// It could not be read.
    Failed(Errno),
}

/// One directory's entries, sorted by the bytes of their names.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The handle of the first entry; the others follow.
    base: u32,
    /// The directory's own entry; `None` for the root.
    parent: Option<Handle>,
    names: Vec<u8>,
    records: Vec<Record>,
    /// By index, which several may share.
    details: Vec<(u32, Detail)>,
    subdirs: Vec<(u32, OnceLock<Contents>)>,
}

#[derive(Debug)]
struct Record {
    name_end: u32,
    mode: u32,
    size: i64,
    mtime_ns: i64,
}

/// What only some entries have.
#[derive(Debug)]
pub(super) enum Detail {
    /// A symlink's target.
    Target(Box<[u8]>),
    /// The identity of a file that has more than one name.
    Inode {
        device: u64,
        number: u64,
    },
    /// The number of a device node.
    Device(u64),
    Xattrs(Box<[(String, Vec<u8>)]>),
    /// The entry exists, but nothing more can be found out.
    Failed(Errno),
}

impl Listing {
    /// Adds an entry after all others.
    pub(super) fn push(&mut self, name: &[u8], stat: (u32, i64, i64), details: Vec<Detail>) {
        let (mode, size, mtime_ns) = stat;
        let index = self.records.len() as u32;
        let failed = details
            .iter()
            .any(|detail| matches!(detail, Detail::Failed(_)));
        if mode & Stat::DIRECTORY != 0 && !failed {
            self.subdirs.push((index, OnceLock::new()));
        }
        self.names.extend_from_slice(name);
        let name_end = self.names.len() as u32;
        self.records.push(Record {
            name_end,
            mode,
            size,
            mtime_ns,
        });
        self.details
            .extend(details.into_iter().map(|detail| (index, detail)));
    }

    /// Takes its place in the tree; no entry may be added after that.
    pub(super) fn settle(&mut self, base: u32, parent: Option<Handle>) {
        (self.base, self.parent) = (base, parent);
        self.names.shrink_to_fit();
        self.records.shrink_to_fit();
        self.details.shrink_to_fit();
        self.subdirs.shrink_to_fit();
    }

    pub(super) fn base(&self) -> u32 {
        self.base
    }

    pub(super) fn parent(&self) -> Option<Handle> {
        self.parent
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn handle(&self, index: usize) -> Handle {
        Handle(self.base + index as u32)
    }

    pub(super) fn index(&self, handle: Handle) -> usize {
        (handle.0 - self.base) as usize
    }

    pub(super) fn name(&self, index: usize) -> &[u8] {
        let start = index
            .checked_sub(1)
            .map_or(0, |before| self.records[before].name_end);
        &self.names[start as usize..self.records[index].name_end as usize]
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.name(middle).cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    pub(super) fn is_dir(&self, index: usize) -> bool {
        self.records[index].mode & Stat::DIRECTORY != 0
    }

    /// Where the contents of a directory are kept; `None` if the entry cannot have any.
    pub(super) fn subdir(&self, index: usize) -> Option<&OnceLock<Contents>> {
        let position = self
            .subdirs
            .binary_search_by_key(&(index as u32), |(owner, _)| *owner);
        position.ok().map(|position| &self.subdirs[position].1)
    }

    pub(super) fn target(&self, index: usize) -> Option<&[u8]> {
        self.details(index).find_map(|detail| match detail {
            Detail::Target(target) => Some(&**target),
            _ => None,
        })
    }

    /// The identity of a file that has several names. A symlink is never sent as a hard link.
    pub(super) fn inode(&self, index: usize) -> Option<(u64, u64)> {
        self.details(index).find_map(|detail| match detail {
            Detail::Inode { device, number } => Some((*device, *number)),
            _ => None,
        })
    }

    pub(super) fn failure(&self, index: usize) -> Option<Errno> {
        self.details(index).find_map(|detail| match detail {
            Detail::Failed(errno) => Some(*errno),
            _ => None,
        })
    }

    /// The attributes of an entry, hard links aside.
    pub(super) fn stat(&self, index: usize) -> Stat {
        let Record {
            mode,
            size,
            mtime_ns,
            ..
        } = self.records[index];
        let mut stat = Stat {
            mode,
            size,
            mtime_ns,
            ..Stat::default()
        };
        for detail in self.details(index) {
            match detail {
                Detail::Target(target) => stat.linkname = target.to_vec(),
                Detail::Device(number) => {
                    (stat.devmajor, stat.devminor) = device_numbers(*number);
                }
                Detail::Xattrs(xattrs) => stat.xattrs.extend(xattrs.iter().cloned()),
                Detail::Inode { .. } | Detail::Failed(_) => {}
            }
        }
        stat
    }

    fn details(&self, index: usize) -> impl Iterator<Item = &Detail> {
        let index = index as u32;
        let start = self.details.partition_point(|(owner, _)| *owner < index);
        let rest = self.details[start..].iter();
        rest.take_while(move |(owner, _)| *owner == index)
            .map(|(_, detail)| detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn entries_are_found_by_name_and_keep_their_details() {
        let mut listing = Listing::default();
        let inode = Detail::Inode {
            device: 1,
            number: 2,
        };
        let xattrs = [("user.a".to_owned(), vec![7])];
        listing.push(b"a", (Stat::DIRECTORY, 0, 5), vec![]);
        listing.push(
            b"bb",
            (0o644, 3, 6),
            vec![inode, Detail::Xattrs(Box::new(xattrs.clone()))],
        );
        listing.push(
            b"c",
            (Stat::SYMLINK, 1, 7),
            vec![Detail::Target((*b"a").into())],
        );
        listing.settle(10, None);
        assert_eq!(listing.find(b"bb"), Some(1));
        assert_eq!(listing.find(b"b"), None);
        assert_eq!(listing.name(2), b"c");
        assert_eq!(listing.index(listing.handle(2)), 2);
        assert!(listing.subdir(0).is_some() && listing.subdir(1).is_none());
        assert_eq!(listing.inode(1), Some((1, 2)));
        assert_eq!(
            listing.stat(1),
            Stat {
                mode: 0o644,
                size: 3,
                mtime_ns: 6,
                xattrs: BTreeMap::from(xattrs),
                ..Stat::default()
            }
        );
        assert_eq!(listing.stat(2).linkname, b"a");
        assert_eq!(listing.inode(2), None);
    }

    #[test]
    fn a_record_stays_small() {
        assert_eq!(size_of::<Record>(), 24);
        assert!(size_of::<(u32, Detail)>() <= 32);
    }
}
