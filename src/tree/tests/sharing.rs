//! One tree, many views: the same answers, each directory read once, or never.

use std::sync::Arc;
use std::thread;

use super::{Filter, create, directory, excluding, open, paths};

#[test]
fn what_was_listed_once_stays_as_it_was() {
    let temp = directory(&["a/x"]);
    let tree = open(&temp);
    assert_eq!(paths(&tree, &Filter::default()), ["a", "a/x"]);
    create(temp.path(), "a/y");
    create(temp.path(), "b");
    assert_eq!(paths(&tree, &Filter::default()), ["a", "a/x"]);
}

#[test]
fn an_excluded_directory_is_not_read() {
    let temp = directory(&["a/x", "b"]);
    let tree = open(&temp);
    assert_eq!(paths(&tree, &excluding(&["a"])), ["b"]);
    // Had it been read already, the new file would not be seen.
    create(temp.path(), "a/y");
    assert_eq!(paths(&tree, &Filter::default()), ["a", "a/x", "a/y", "b"]);
}

#[test]
fn views_in_several_threads_agree() {
    let names: Vec<_> = (0..400)
        .map(|n| format!("d{}/e{}/f{n}", n % 7, n % 5))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let temp = directory(&names);
    let tree = open(&temp);
    let filters = [Filter::default(), excluding(&["d1"]), excluding(&["**/e2"])];
    let alone: Vec<_> = filters
        .iter()
        .map(|filter| paths(&open(&temp), filter))
        .collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            for (filter, expected) in filters.iter().zip(&alone) {
                let tree = Arc::clone(&tree);
                scope.spawn(move || assert_eq!(&paths(&tree, filter), expected));
            }
        }
    });
}

#[test]
fn two_views_may_be_at_different_places() {
    let temp = directory(&["a/x", "b"]);
    let tree = open(&temp);
    let mut ahead = tree.view(&Filter::default()).unwrap();
    for expected in ["a", "a/x", "b"] {
        assert_eq!(
            ahead.next_entry().unwrap().unwrap().path,
            expected.as_bytes()
        );
    }
    assert_eq!(paths(&tree, &Filter::default()), ["a", "a/x", "b"]);
    assert!(ahead.next_entry().unwrap().is_none());
    assert!(ahead.next_entry().unwrap().is_none());
}
