//! Missing, unreadable and changing directories.

use std::error::Error;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::{ContextTree, Filter, TreeError, directory, entries, excluding, open, paths};

#[test]
fn a_missing_root_is_named() {
    let temp = directory(&[]);
    let error = ContextTree::open(temp.path().join("none")).unwrap_err();
    let path = temp.path().join("none");
    assert_eq!(
        error.to_string(),
        format!("cannot open directory {}", path.display())
    );
    assert!(error.source().unwrap().to_string().contains("No such file"));
}

#[test]
fn a_file_is_no_root() {
    let temp = directory(&["file"]);
    let error = ContextTree::open(temp.path().join("file")).unwrap_err();
    assert!(matches!(&error, TreeError::NotADirectory { .. }));
    assert!(error.to_string().ends_with("/file is not a directory"));
}

#[test]
fn a_root_may_be_a_symlink() {
    let temp = directory(&["real/file"]);
    symlink("real", temp.path().join("link")).unwrap();
    let tree = ContextTree::open(temp.path().join("link")).unwrap();
    assert_eq!(paths(&tree, &Filter::default()), ["file"]);
}

#[test]
fn a_root_removed_after_opening_is_an_error() {
    let temp = directory(&["root/"]);
    let tree = ContextTree::open(temp.path().join("root")).unwrap();
    fs::remove_dir(temp.path().join("root")).unwrap();
    let error = entries(&tree, &Filter::default()).unwrap_err();
    assert!(error.to_string().ends_with("/root"), "{error}");
}

#[test]
fn a_directory_that_vanishes_is_left_out() {
    let temp = directory(&["a/x", "b"]);
    let tree = open(&temp);
    let mut view = tree.view(&Filter::default()).unwrap();
    assert_eq!(view.next_entry().unwrap().unwrap().path, b"a");
    fs::remove_dir_all(temp.path().join("a")).unwrap();
    assert_eq!(view.next_entry().unwrap().unwrap().path, b"b");
    assert!(view.next_entry().unwrap().is_none());
}

#[test]
fn a_directory_that_becomes_a_symlink_is_not_followed() {
    let temp = directory(&["a/x", "b/secret"]);
    let tree = open(&temp);
    let mut view = tree.view(&Filter::default()).unwrap();
    assert_eq!(view.next_entry().unwrap().unwrap().path, b"a");
    fs::remove_dir_all(temp.path().join("a")).unwrap();
    symlink("b", temp.path().join("a")).unwrap();
    assert_eq!(view.next_entry().unwrap().unwrap().path, b"b");
}

#[test]
fn a_file_that_vanishes_or_changes_its_kind_cannot_be_opened() {
    let temp = directory(&["a", "b", "c/d"]);
    let tree = open(&temp);
    let found = entries(&tree, &Filter::default()).unwrap();
    let path = |name: &str| temp.path().join(name);
    let handle = |index: usize| found[index].1;
    fs::remove_file(path("a")).unwrap();
    assert_eq!(
        tree.open_file(handle(0)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    fs::remove_file(path("b")).unwrap();
    symlink("c/d", path("b")).unwrap();
    assert!(tree.open_file(handle(1)).is_err());
    fs::rename(path("c"), path("e")).unwrap();
    symlink("e", path("c")).unwrap();
    assert!(tree.open_file(handle(3)).is_err());
}

#[test]
fn an_unreadable_directory_is_an_error_only_if_it_is_wanted() {
    let test = "tree::tests::faults::an_unreadable_directory_is_an_error_only_if_it_is_wanted";
    as_ordinary_user(test, || {
        let temp = directory(&["open/x", "shut/y"]);
        let shut = temp.path().join("shut");
        fs::set_permissions(&shut, Permissions::from_mode(0o000)).unwrap();
        let tree = open(&temp);
        let error = entries(&tree, &Filter::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {}", shut.display()));
        assert!(
            error
                .source()
                .unwrap()
                .to_string()
                .contains("Permission denied")
        );
        assert_eq!(paths(&tree, &excluding(&["shut"])), ["open", "open/x"]);
        assert_eq!(
            paths(&tree, &excluding(&["shut", "!**/z"])),
            ["open", "open/x"]
        );
        fs::set_permissions(&shut, Permissions::from_mode(0o700)).unwrap();
    });
}

#[test]
fn entries_that_may_not_be_examined_are_errors_only_if_they_are_wanted() {
    let test =
        "tree::tests::faults::entries_that_may_not_be_examined_are_errors_only_if_they_are_wanted";
    as_ordinary_user(test, || {
        let temp = directory(&["dir/sub/x", "dir/y"]);
        let dir = temp.path().join("dir");
        fs::set_permissions(&dir, Permissions::from_mode(0o600)).unwrap();
        let tree = open(&temp);
        let error = entries(&tree, &Filter::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot read {}", dir.join("sub").display())
        );
        assert_eq!(paths(&tree, &excluding(&["dir/*"])), ["dir"]);
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
    });
}

#[test]
fn an_unreadable_root_is_an_error() {
    as_ordinary_user(
        "tree::tests::faults::an_unreadable_root_is_an_error",
        || {
            let temp = directory(&["shut/"]);
            let shut = temp.path().join("shut");
            fs::set_permissions(&shut, Permissions::from_mode(0o000)).unwrap();
            let error = ContextTree::open(&shut).unwrap_err();
            assert!(matches!(error, TreeError::Root { .. }));
        },
    );
}

#[test]
fn a_malformed_pattern_is_an_error_before_anything_is_read() {
    let temp = directory(&["a"]);
    let error = open(&temp)
        .view(&excluding(&["a", "[b"]))
        .map(drop)
        .unwrap_err();
    assert_eq!(error.to_string(), "bad exclude pattern");
    assert_eq!(
        error.source().unwrap().to_string(),
        "pattern \"[b\" is malformed"
    );
}

/// Runs a test in a process that permissions apply to, as they don't to root's.
fn as_ordinary_user(test: &str, body: impl FnOnce()) {
    if !rustix::process::geteuid().is_root() {
        return body();
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(&program);
    command
        .args(["--exact", test, "--nocapture"])
        .current_dir(Path::new("/"));
    command.uid(65534).gid(65534).env("TMPDIR", "/tmp");
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}
