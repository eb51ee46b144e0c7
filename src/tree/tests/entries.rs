//! Order, kinds of entries, and what is said of each.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, Mode, XattrFlags, lsetxattr, mknodat};
use rustix::io::Errno;

use super::{Filter, directory, entries, excluding, open, paths, stat_of};

#[test]
fn a_slash_sorts_before_all_other_bytes() {
    let temp = directory(&["foo/bar", "foo-bar", "foo.x", "Foo", "foo/!", "fo\u{1}"]);
    let expected = [
        "Foo", "fo\u{1}", "foo", "foo/!", "foo/bar", "foo-bar", "foo.x",
    ];
    assert_eq!(paths(&open(&temp), &Filter::default()), expected);
}

#[test]
fn names_need_not_be_text() {
    let temp = directory(&[]);
    fs::write(temp.path().join(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    let tree = open(&temp);
    let found = entries(&tree, &Filter::default()).unwrap();
    assert_eq!(found[0].0, b"caf\xe9");
    assert_eq!(
        tree.open_file(found[0].1)
            .unwrap()
            .metadata()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn modes_sizes_and_times() {
    let temp = directory(&["file"]);
    let path = temp.path().join("file");
    fs::set_permissions(&path, Permissions::from_mode(0o4750)).unwrap();
    let stat = stat_of(&open(&temp), "file");
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((stat.mode, stat.size), (0x0080_0000 | 0o750, 4));
    assert_eq!(
        stat.mtime_ns,
        metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec()
    );
}

#[test]
fn a_symlink_has_its_target_and_that_ones_length() {
    let temp = directory(&[]);
    symlink("../some//where", temp.path().join("link")).unwrap();
    let stat = stat_of(&open(&temp), "link");
    assert_eq!((stat.mode, stat.size), (0x0800_01ff, 14));
    assert_eq!(stat.linkname, b"../some//where");
}

#[test]
fn a_socket_becomes_an_empty_file_that_cannot_be_opened() {
    let temp = directory(&[]);
    let _listener = UnixListener::bind(temp.path().join("socket")).unwrap();
    let tree = open(&temp);
    let (_, handle, stat) = entries(&tree, &Filter::default()).unwrap().remove(0);
    assert!(stat.is_requestable());
    assert_eq!(stat.size, 0);
    assert!(tree.open_file(handle).is_err());
}

#[test]
fn a_pipe_stays_one_and_does_not_block() {
    let temp = directory(&[]);
    let mode = Mode::from_raw_mode(0o600);
    mknodat(
        CWD,
        temp.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    let tree = open(&temp);
    let (_, handle, stat) = entries(&tree, &Filter::default()).unwrap().remove(0);
    assert!(!stat.is_requestable());
    assert!(tree.open_file(handle).is_err());
}

#[test]
fn extended_attributes_are_sent() {
    let temp = directory(&["file"]);
    let set = |name: &str| {
        lsetxattr(
            temp.path().join("file"),
            name,
            b"value",
            XattrFlags::empty(),
        )
    };
    if set("user.one") == Err(Errno::NOTSUP) {
        return;
    }
    let stat = stat_of(&open(&temp), "file");
    assert_eq!(stat.xattrs.get("user.one").unwrap(), b"value");
}

#[test]
fn later_names_of_a_file_point_to_the_first_one_sent() {
    let temp = directory(&["a/one", "c"]);
    for name in ["b", "d"] {
        fs::hard_link(temp.path().join("a/one"), temp.path().join(name)).unwrap();
    }
    let tree = open(&temp);
    let links = |filter: &Filter| {
        let found = entries(&tree, filter).unwrap().into_iter();
        let pairs = found.map(|(path, _, stat)| [path, stat.linkname].join(&b'='));
        pairs
            .map(|pair| String::from_utf8(pair).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        links(&Filter::default()),
        ["a=", "a/one=", "b=a/one", "c=", "d=a/one"]
    );
    assert_eq!(links(&excluding(&["a"])), ["b=", "c=", "d=b"]);
    assert_eq!(links(&excluding(&["a/one", "b"])), ["a=", "c=", "d="]);
}

#[test]
fn several_names_of_a_symlink_are_symlinks() {
    let temp = directory(&[]);
    symlink("x", temp.path().join("a")).unwrap();
    fs::hard_link(temp.path().join("a"), temp.path().join("b")).unwrap();
    assert_eq!(stat_of(&open(&temp), "b").linkname, b"x");
}

#[test]
fn directories_appear_with_the_first_entry_taken_from_them() {
    let temp = directory(&["a/b/c/x", "a/b/d/y", "a/e/z"]);
    let tree = open(&temp);
    let filter = excluding(&["a", "!a/b/d/y"]);
    assert_eq!(paths(&tree, &filter), ["a", "a/b", "a/b/d", "a/b/d/y"]);
    let filter = Filter {
        include: super::list(&["**/z"]),
        ..Filter::default()
    };
    assert_eq!(paths(&tree, &filter), ["a", "a/e", "a/e/z"]);
    assert!(paths(&tree, &excluding(&["**"])).is_empty());
}

#[test]
fn bytes_are_read_through_the_handle() {
    let temp = directory(&["a/b/file"]);
    let tree = open(&temp);
    let (path, handle, _) = entries(&tree, &Filter::default()).unwrap().remove(2);
    assert_eq!(tree.path_of(handle), path);
    let mut text = String::new();
    tree.open_file(handle)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "a/b/file");
}
