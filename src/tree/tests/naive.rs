//! A view of everything is what the standard library finds, put in order.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use proptest::prelude::*;

use super::{Filter, entries};
use crate::tree::ContextTree;

fn naive(root: &Path, below: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(below).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        found.push(
            path.strip_prefix(root)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec(),
        );
        if entry.file_type().unwrap().is_dir() {
            naive(root, &path, found);
        }
    }
}

/// A key that sorts as the daemon does: the slash before all other bytes.
fn key(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|byte| if *byte == b'/' { 0 } else { *byte })
        .collect()
}

fn make(root: &Path, path: &str) {
    let full = root.join(path);
    // Where a file is in the way of a directory, or the reverse, the first one stays.
    if let Some(dir) = full.parent()
        && fs::create_dir_all(dir).is_ok()
    {
        let _ = fs::write(&full, path);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_view_of_everything_equals_a_naive_walk(
        paths in prop::collection::vec("[ab.é-]{1,3}(/[ab.-]{1,2}x){0,3}", 0..30),
    ) {
        let temp = tempfile::tempdir().unwrap();
        for path in paths.iter().filter(|path| *path != "." && *path != "..") {
            make(temp.path(), path);
        }
        let mut expected = Vec::new();
        naive(temp.path(), temp.path(), &mut expected);
        expected.sort_by_key(|path| key(path));
        let tree = ContextTree::open(temp.path()).unwrap();
        let found = entries(&tree, &Filter::default()).unwrap();
        let found: Vec<_> = found.into_iter().map(|(path, ..)| path).collect();
        prop_assert_eq!(found, expected);
    }
}
