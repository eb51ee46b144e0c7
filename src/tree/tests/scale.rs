//! Very deep and very wide trees.

use std::fs::File;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};

use tempfile::TempDir;

use super::{Filter, entries, excluding, open};

const DEPTH: usize = 10_000;

/// A directory in memory if there is one: a disk takes longer than all other tests together.
fn roomy() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

#[test]
fn a_tree_may_be_deeper_than_any_stack_or_path() {
    let temp = roomy();
    dig(temp.path());
    let tree = open(&temp);
    let mut view = tree.view(&excluding(&["x/**/y"])).unwrap();
    let (mut count, mut last) = (0, None);
    while let Some(entry) = view.next_entry().unwrap() {
        count += 1;
        last = Some((entry.path.len(), entry.handle));
    }
    let (length, handle) = last.unwrap();
    assert_eq!((count, length), (DEPTH + 1, 2 * DEPTH + 4));
    assert!(tree.open_file(handle).is_ok());
    drop((view, tree));
    fill_in(temp.path());
}

/// Makes directories within each other, and a file in the innermost.
fn dig(root: &Path) {
    let mut dir = open_dir(CWD, root);
    for _ in 0..DEPTH {
        mkdirat(&dir, "d", Mode::RWXU).unwrap();
        dir = open_dir(&dir, Path::new("d"));
    }
    openat(&dir, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
}

/// Removes them from the outside in; what removes a temporary directory would recurse.
fn fill_in(root: &Path) {
    let dir = open_dir(CWD, root);
    for _ in 1..DEPTH {
        renameat(&dir, "d/d", &dir, "e").unwrap();
        unlinkat(&dir, "d", AtFlags::REMOVEDIR).unwrap();
        renameat(&dir, "e", &dir, "d").unwrap();
    }
}

fn open_dir(above: impl rustix::fd::AsFd, path: &Path) -> OwnedFd {
    openat(
        above,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY,
        Mode::empty(),
    )
    .unwrap()
}

#[test]
fn a_directory_may_be_wide() {
    const WIDTH: usize = 100_000;
    let temp = roomy();
    for number in 0..WIDTH {
        File::create(temp.path().join(number.to_string())).unwrap();
    }
    let tree = open(&temp);
    let found = entries(&tree, &Filter::default()).unwrap();
    assert_eq!(found.len(), WIDTH);
    assert!(found.is_sorted_by_key(|(path, ..)| path));
    assert_eq!(
        entries(&tree, &excluding(&["1*", "*5", "!15"]))
            .unwrap()
            .len(),
        80_001
    );
}
