//! What can go wrong while a tree or file is received: [`ReceiveError`], always with the path.
//!
//! Paths come from the daemon, so [`shown`] makes them safe to print.

use std::io;

/// The longest part of a path that is printed, in characters.
const LONGEST_SHOWN: usize = 200;

/// Why a tree was not received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The daemon sent an entry that must not be written.
    #[error("the daemon sent {path}, which {why}")]
    Refused {
        /// The entry, safe to print.
        path: String,
        /// What is wrong with it.
        why: Refusal,
    },
    /// A file has another length than was announced.
    #[error("the daemon sent {received} bytes of {path} and announced {announced}")]
    WrongSize {
        /// The file, safe to print.
        path: String,
        /// What came; when it is too much, what came until then.
        received: u64,
        /// What the listing said.
        announced: u64,
    },
    /// The daemon sent more than is accepted.
    #[error("the daemon sent too much: {0}")]
    TooMuch(&'static str),
    /// A packet came that does not fit where the transfer stands.
    #[error("the daemon broke the transfer's rules: {0}")]
    Protocol(&'static str),
    /// The daemon gave up, and said why.
    #[error("the daemon could not send its output: {0}")]
    Sender(String),
    /// The stream ended before the transfer was complete.
    #[error("the daemon's output ended in the middle")]
    Cut,
    /// Something cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A file, directory or link that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct WriteError {
    /// What was tried, as a verb: `write`, `create`.
    pub action: &'static str,
    /// What it was tried on, safe to print.
    pub path: String,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl WriteError {
    /// Describes a failed call on a path.
    pub fn new(action: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self {
            action,
            path: shown(path),
            source: source.into(),
        }
    }
}

/// Why an entry is refused; reads after "which".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing, or nothing between two slashes.
    #[error("has an empty name in its path")]
    EmptyName,
    /// It starts with a slash.
    #[error("is an absolute path")]
    Absolute,
    /// One of its names is `.` or `..`.
    #[error("contains . or .. as a name")]
    Dots,
    /// It contains a NUL byte.
    #[error("contains a NUL byte")]
    Nul,
    /// The path is longer than any call of the system accepts.
    #[error("has a path longer than 4095 bytes")]
    LongPath,
    /// There are too many directories above it.
    #[error("lies more than 200 directories deep")]
    Deep,
    /// It was sent twice, or something that sorts after it was sent before.
    #[error("is a duplicate or out of order")]
    Order,
    /// What it lies in is not a directory of this tree.
    #[error("lies in something that was not sent as a directory")]
    NoParent,
    /// It is a hard link to a file that has not been sent.
    #[error("is a hard link to a file that was not sent before")]
    UnknownLink,
    /// It is a symbolic link without a target, or with one that no system has.
    #[error("is a symbolic link with an impossible target")]
    BadTarget,
    /// It is of no known type, or its numbers are impossible.
    #[error("has an impossible type, size or device number")]
    BadStat,
    /// Its extended attributes exceed what a file can have.
    #[error("has more than 64 KiB of extended attributes")]
    Xattrs,
}

/// Returns a path as it may be printed: no control characters, not too long.
pub fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let mut shown = String::new();
    for (position, char) in text.chars().enumerate() {
        if position == LONGEST_SHOWN {
            shown.push('…');
            break;
        }
        match char {
            char if char.is_control() => shown.extend(char.escape_default()),
            char => shown.push(char),
        }
    }
    if shown.is_empty() {
        "an empty path".to_owned()
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_printed_without_control_characters_and_not_in_full() {
        assert_eq!(shown(b"a/b c"), "a/b c");
        assert_eq!(shown("caf\u{e9}".as_bytes()), "caf\u{e9}");
        assert_eq!(shown(b"\x1b[2Jx\0"), "\\u{1b}[2Jx\\u{0}");
        assert_eq!(shown(&[b'x'; 5000]).chars().count(), LONGEST_SHOWN + 1);
        assert_eq!(shown(b""), "an empty path");
    }
}
