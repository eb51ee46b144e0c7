//! Followed paths: links, loops, wildcards, and the root that none can leave.

use std::os::unix::fs::symlink;

use super::{Filter, directory, following, list, open, paths};

fn check(files: &[&str], links: &[(&str, &str)], follow: &[&str], expected: &[&str]) {
    let temp = directory(files);
    for (link, target) in links {
        symlink(target, temp.path().join(link)).unwrap();
    }
    assert_eq!(
        paths(&open(&temp), &following(follow)),
        expected,
        "{follow:?}"
    );
}

#[test]
fn plain_paths_are_taken_with_their_directories() {
    check(&["a/b", "a/c", "d"], &[], &["a/b", "none"], &["a", "a/b"]);
    check(&["a/b", "a/c", "d"], &[], &["/a/"], &["a", "a/b", "a/c"]);
}

#[test]
fn the_root_takes_everything() {
    check(&["a", "b"], &[], &["a", "."], &["a", "b"]);
    check(&["a", "b"], &[], &["/"], &["a", "b"]);
}

#[test]
fn links_are_taken_with_what_they_lead_to() {
    let links = [("one", "two"), ("two", "real/file"), ("abs", "/real")];
    let files = ["real/file", "real/other", "rest"];
    check(
        &files,
        &links,
        &["one"],
        &["one", "real", "real/file", "two"],
    );
    check(
        &files,
        &links,
        &["abs/other"],
        &["abs", "real", "real/other"],
    );
}

#[test]
fn links_stay_within_the_root() {
    check(
        &["a/x", "b"],
        &[("a/up", "../../../b")],
        &["a/up"],
        &["a", "a/up", "b"],
    );
    check(&["a"], &[("l", "../..")], &["l/a"], &["a", "l"]);
}

#[test]
fn loops_end() {
    check(&["a"], &[("x", "y"), ("y", "x")], &["x/a"], &["x", "y"]);
    check(&["a"], &[("x", "x/x/x")], &["x", "x/y"], &["x"]);
    check(&["d/a"], &[("d/l", "../d/l/l")], &["d/l/a"], &["d", "d/l"]);
    check(&["d/a"], &[("d/l", "..")], &["d/l/d/l/d/a"], &["d", "d/l"]);
}

#[test]
fn wildcards_follow_the_links_among_their_matches() {
    let files = ["a.txt", "b/real", "c"];
    check(
        &files,
        &[("l.txt", "b/real")],
        &["*.txt"],
        &["a.txt", "b", "b/real", "l.txt"],
    );
}

#[test]
fn a_long_chain_of_links_does_not_exhaust_the_stack() {
    let temp = directory(&["end"]);
    for number in 0..5000 {
        let target = if number == 4999 {
            "end".into()
        } else {
            format!("l{}", number + 1)
        };
        symlink(target, temp.path().join(format!("l{number}"))).unwrap();
    }
    assert_eq!(paths(&open(&temp), &following(&["l0"])).len(), 5001);
}

#[test]
fn included_patterns_and_followed_paths_add_up() {
    let temp = directory(&["a", "b", "c"]);
    let filter = Filter {
        include: list(&["c"]),
        follow: list(&["a"]),
        ..Filter::default()
    };
    assert_eq!(paths(&open(&temp), &filter), ["a", "c"]);
}

#[test]
fn a_malformed_wildcard_is_an_error() {
    let temp = directory(&["a"]);
    let error = open(&temp)
        .view(&following(&["[*.txt"]))
        .map(drop)
        .unwrap_err();
    assert_eq!(error.to_string(), "bad include pattern");
}
