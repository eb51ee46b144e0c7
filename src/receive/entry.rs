//! [`Entry`]: what a daemon says about one file of a tree, and its modes in the system's bits.
//!
//! The values are as they came; nothing is checked here but what kind of file is meant.

use std::collections::BTreeMap;

use bytes::Bytes;

/// One file, directory, link or device, as its STAT packet describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Where it is, below the tree's root.
    pub path: Bytes,
    /// Permissions and type as Go's `os.FileMode` bits.
    pub mode: u32,
    /// Bytes of a regular file.
    pub size: i64,
    /// Time of the last change in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// A symlink's target, or the path sent before that is the same file; else empty.
    pub linkname: Bytes,
    /// A device's major number, else 0.
    pub devmajor: i64,
    /// A device's minor number, else 0.
    pub devminor: i64,
    /// Extended attributes by name.
    pub xattrs: BTreeMap<String, Bytes>,
}

/// Extended attributes that are kept for later; `None` for none.
pub type Xattrs = Option<Box<BTreeMap<String, Bytes>>>;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file with bytes of its own, which may be none.
    File,
    /// A further name of a regular file sent before.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// Go's type bits, all but those that only appear in combination.
const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const FIFO: u32 = 1 << 25;
const CHAR_DEVICE: u32 = 1 << 21;
/// All bits that tell that an entry is not a regular file.
const TYPE_MASK: u32 = 0x8f28_0000;

impl Entry {
    /// Returns what it is; `None` for sockets and whatever Go could not name either.
    pub fn kind(&self) -> Option<Kind> {
        Some(match self.mode & TYPE_MASK {
            DIRECTORY => Kind::Directory,
            SYMLINK => Kind::Symlink,
            FIFO => Kind::Fifo,
            DEVICE => Kind::BlockDevice,
            mode if mode == DEVICE | CHAR_DEVICE => Kind::CharDevice,
            0 if self.linkname.is_empty() => Kind::File,
            0 => Kind::HardLink,
            _ => return None,
        })
    }

    /// The permissions in the system's bits, with setuid, setgid and sticky.
    pub fn permissions(&self) -> u32 {
        let special = [(23, 0o4000), (22, 0o2000), (20, 0o1000)];
        let set = special.iter().filter(|(go, _)| self.mode & (1 << go) != 0);
        set.fold(self.mode & 0o777, |mode, (_, bit)| mode | bit)
    }

    /// Copies its attributes; the packet's own bytes would keep a whole network buffer alive.
    pub(super) fn keep_xattrs(&self) -> Xattrs {
        let copy = |(name, value): (&String, &Bytes)| (name.clone(), Bytes::copy_from_slice(value));
        (!self.xattrs.is_empty()).then(|| Box::new(self.xattrs.iter().map(copy).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_gos_bits() {
        fn check(mode: u32, linkname: &'static str, expect: Option<Kind>) {
            let linkname = Bytes::from_static(linkname.as_bytes());
            let entry = Entry {
                mode,
                linkname,
                ..Entry::default()
            };
            assert_eq!(entry.kind(), expect, "{mode:#x} {:?}", entry.linkname);
        }
        check(0o644, "", Some(Kind::File));
        check(0o644, "a", Some(Kind::HardLink));
        check(0x8000_01ed, "", Some(Kind::Directory));
        check(0x0800_01ff, "a", Some(Kind::Symlink));
        check(0x0400_01b0, "", Some(Kind::BlockDevice));
        check(0x0420_01b0, "", Some(Kind::CharDevice));
        check(0x0200_0180, "", Some(Kind::Fifo));
        check(0x0100_01ed, "", None);
        check(0x0008_0000, "", None);
        check(0x8800_01ed, "", None);
    }

    #[test]
    fn special_permissions_are_kept() {
        fn check(mode: u32, expect: u32) {
            assert_eq!(
                Entry {
                    mode,
                    ..Entry::default()
                }
                .permissions(),
                expect,
                "{mode:#x}"
            );
        }
        check(0o644, 0o644);
        check(0x0080_01ed, 0o4755);
        check(0x0040_01ed, 0o2755);
        check(0x8010_01ff, 0o1777);
    }
}
