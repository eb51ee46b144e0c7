//! The files of a made-up project, always the same: [`project`].
//!
//! What the other loops list, match, send and receive. Nothing of it is on disk but what `walk`
//! writes.

use std::collections::BTreeSet;

/// One file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Below the project's root, with slashes.
    pub(super) path: String,
    /// Whether it is a directory.
    pub(super) directory: bool,
    /// Bytes of a file.
    pub(super) size: u64,
}

const TOP: [&str; 6] = ["cmd", "docs", "internal", "node_modules", "testdata", "web"];
const PARTS: [&str; 8] = [
    "api", "auth", "cache", "client", "common", "index", "server", "store",
];
const EXTENSIONS: [&str; 6] = ["go", "js", "json", "map", "md", "ts"];

/// About four thousand files in 150 directories, in the order in which they are sent: bytewise,
/// with the slash before all other bytes.
pub(super) fn project() -> Vec<Item> {
    let mut numbers = Numbers(7);
    let mut files = BTreeSet::new();
    for top in TOP {
        for number in 0..24 {
            let part = PARTS[number % PARTS.len()];
            let below = if number % 3 == 0 { "lib/" } else { "" };
            for _ in 0..28 {
                let name = PARTS[numbers.below(PARTS.len())];
                let extension = EXTENSIONS[numbers.below(EXTENSIONS.len())];
                let tail = numbers.below(100_000);
                files.insert(format!(
                    "{top}/{part}-{number}/{below}{name}_{tail}.{extension}"
                ));
            }
        }
    }
    let mut paths: BTreeSet<Vec<&str>> = BTreeSet::new();
    for file in &files {
        let names: Vec<&str> = file.split('/').collect();
        paths.extend((1..=names.len()).map(|end| names[..end].to_vec()));
    }
    let item = |names: Vec<&str>| {
        let path = names.join("/");
        let directory = !files.contains(&path);
        let size = if directory {
            0
        } else {
            numbers.below(8_000) as u64
        };
        Item {
            path,
            directory,
            size,
        }
    };
    paths.into_iter().map(item).collect()
}

/// Numbers that look random and are the same in every run and every version of everything.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// The next number, below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        // Knuth's constants for MMIX; the upper bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// Puts things into another order.
    pub(super) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_a_slash_before_all_else() {
        let items = project();
        let files = items.iter().filter(|item| !item.directory).count();
        assert!((3_900..4_100).contains(&files), "{files}");
        let keys: Vec<Vec<&str>> = items
            .iter()
            .map(|item| item.path.split('/').collect())
            .collect();
        assert!(keys.is_sorted());
        assert_eq!(items[0].path, TOP[0]);
        assert_eq!(items, project());
    }
}
