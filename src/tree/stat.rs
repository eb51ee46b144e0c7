//! What is sent about an entry, with modes in Go's encoding.
//!
//! The daemon computes cache keys from these values, so they are the ones that Go's
//! `os.FileMode` and fsutil give. Owners are left out: a context is always sent as root's.

use std::collections::BTreeMap;

use rustix::fs::{FileType, RawMode};

/// The attributes of one entry in one transfer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stat {
    /// Permissions and type as Go's `os.FileMode` bits.
    pub mode: u32,
    /// Bytes; 0 for a directory.
    pub size: i64,
    /// Time of the last change in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// A symlink's target, or the path sent before that is the same file; else empty.
    pub linkname: Vec<u8>,
    /// A device's major number, else 0.
    pub devmajor: i64,
    /// A device's minor number, else 0.
    pub devminor: i64,
    /// Extended attributes by name.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Stat {
    /// The mode bit of a directory.
    pub const DIRECTORY: u32 = 1 << 31;
    /// The mode bit of a symbolic link.
    pub const SYMLINK: u32 = 1 << 27;
    /// All bits that tell that an entry is not a regular file.
    pub const TYPE_MASK: u32 = 0x8f28_0000;

    const DEVICE: u32 = 1 << 26;
    const NAMED_PIPE: u32 = 1 << 25;
    const SETUID: u32 = 1 << 23;
    const SETGID: u32 = 1 << 22;
    const CHAR_DEVICE: u32 = 1 << 21;
    const STICKY: u32 = 1 << 20;
    const IRREGULAR: u32 = 1 << 19;

    /// Whether the entry is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & Self::DIRECTORY != 0
    }

    /// Whether the daemon may ask for the entry's bytes.
    pub fn is_requestable(&self) -> bool {
        self.mode & Self::TYPE_MASK == 0
    }
}

/// Returns a mode of the system in Go's bits. A socket becomes a regular file, an empty one.
pub(super) fn go_mode(mode: RawMode) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => Stat::DIRECTORY,
        FileType::Symlink => Stat::SYMLINK,
        FileType::BlockDevice => Stat::DEVICE,
        FileType::CharacterDevice => Stat::DEVICE | Stat::CHAR_DEVICE,
        FileType::Fifo => Stat::NAMED_PIPE,
        FileType::RegularFile | FileType::Socket => 0,
        FileType::Unknown => Stat::IRREGULAR,
    };
    let special = [
        (0o4000, Stat::SETUID),
        (0o2000, Stat::SETGID),
        (0o1000, Stat::STICKY),
    ];
    let set = special
        .iter()
        .filter(|(bit, _)| mode & bit != 0)
        .map(|(_, go)| go);
    set.fold(kind | (mode & 0o777), |all, bit| all | bit)
}

/// Splits a device number the way fsutil does, which is Linux's way for all real numbers.
pub(super) fn device_numbers(device: u64) -> (i64, i64) {
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    (major as i64, minor as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_in_go_bits() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o040_755), 0x8000_01ed);
        assert_eq!(go_mode(0o120_777), 0x0800_01ff);
        assert_eq!(go_mode(0o060_660), 0x0400_01b0);
        assert_eq!(go_mode(0o020_660), 0x0420_01b0);
        assert_eq!(go_mode(0o010_600), 0x0200_0180);
        assert_eq!(go_mode(0o140_755), 0o755);
        assert_eq!(go_mode(0o104_755), 0x0080_01ed);
        assert_eq!(go_mode(0o102_755), 0x0040_01ed);
        assert_eq!(go_mode(0o041_777), 0x8010_01ff);
    }

    #[test]
    fn only_regular_files_may_be_requested() {
        let stat = |mode| Stat {
            mode,
            ..Stat::default()
        };
        assert!(stat(go_mode(0o104_755)).is_requestable());
        for mode in [0o040_755, 0o120_777, 0o060_660, 0o020_660, 0o010_600] {
            assert!(!stat(go_mode(mode)).is_requestable(), "{mode:o}");
        }
    }

    #[test]
    fn device_numbers_are_split_as_linux_joins_them() {
        assert_eq!(device_numbers(0x0103), (1, 3));
        assert_eq!(device_numbers(0x1234_5678), (0x456, 0x1_2378));
    }
}
