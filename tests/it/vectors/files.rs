//! Ignore patterns and context walks, as moby/patternmatcher and fsutil do them.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use mbuild::ignore::{MatchState, PatternSet, parse_ignore_file};
use mbuild::tree::{ContextTree, Filter};
use serde::Deserialize;

use super::{Report, load};

#[derive(Deserialize)]
struct Matching {
    patterns: Vec<String>,
    paths: BTreeMap<String, (bool, bool)>,
}

/// The answer of a walker that passes the results of each directory down.
fn walk(set: &PatternSet, path: &str) -> bool {
    let mut state = MatchState::default();
    let mut matched = false;
    let slashes = path.match_indices('/').map(|(position, _)| position);
    for end in slashes.chain([path.len()]) {
        (matched, state) = set.matches_below(&path.as_bytes()[..end], &state);
    }
    matched
}

#[test]
fn patterns_select_the_same_paths() {
    let mut report = Report::new("patternmatcher.jsonl");
    for record in load::<Matching>("patternmatcher.jsonl") {
        let set = PatternSet::new(&record.patterns).unwrap();
        for (path, expected) in &record.paths {
            let found = (set.matches(path.as_bytes()), walk(&set, path));
            report.check((&record.patterns, path), &found, expected);
        }
    }
    report.finish();
}

#[derive(Deserialize)]
struct IgnoreFile {
    text: String,
    patterns: Option<Vec<String>>,
}

#[test]
fn ignore_files_hold_the_same_patterns() {
    let mut report = Report::new("ignorefile.jsonl");
    for record in load::<IgnoreFile>("ignorefile.jsonl") {
        let found = parse_ignore_file(record.text.as_bytes());
        let found: Vec<_> = found
            .into_iter()
            .map(|p| String::from_utf8(p).unwrap())
            .collect();
        report.check(&record.text, &found, &record.patterns.unwrap_or_default());
    }
    report.finish();
}

#[derive(Deserialize)]
struct Walks {
    tree: Vec<Made>,
    walks: Vec<Walk>,
}

#[derive(Debug, Deserialize)]
struct Made {
    kind: Kind,
    path: String,
    #[serde(default)]
    data: String,
    #[serde(default)]
    perm: u32,
    #[serde(default)]
    target: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Dir,
    File,
    Symlink,
    Hardlink,
}

#[derive(Deserialize)]
struct Walk {
    exclude: Option<Vec<String>>,
    follow: Option<Vec<String>>,
    include: Option<Vec<String>>,
    sent: Option<Vec<Sent>>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Sent {
    path: String,
    mode: u32,
    size: i64,
    #[serde(default)]
    linkname: String,
}

fn make(root: &Path, entries: &[Made]) {
    for entry in entries {
        let path = root.join(&entry.path);
        match entry.kind {
            Kind::Dir => fs::create_dir(&path).unwrap(),
            Kind::File => fs::write(&path, &entry.data).unwrap(),
            Kind::Symlink => symlink(&entry.target, &path).unwrap(),
            Kind::Hardlink => fs::hard_link(root.join(&entry.target), &path).unwrap(),
        }
        if matches!(entry.kind, Kind::Dir | Kind::File) {
            fs::set_permissions(&path, Permissions::from_mode(entry.perm)).unwrap();
        }
    }
}

fn bytes(list: Option<&Vec<String>>) -> Vec<Vec<u8>> {
    list.into_iter()
        .flatten()
        .map(|text| text.as_bytes().to_vec())
        .collect()
}

fn send(root: &Path, filter: &Filter) -> Vec<Sent> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut view = ContextTree::open(root).unwrap().view(filter).unwrap();
    let mut sent = Vec::new();
    while let Some(entry) = view.next_entry().unwrap() {
        let (path, linkname) = (text(entry.path), text(&entry.stat.linkname));
        sent.push(Sent {
            path,
            mode: entry.stat.mode,
            size: entry.stat.size,
            linkname,
        });
    }
    sent
}

#[test]
fn the_same_entries_are_sent() {
    let mut report = Report::new("contextwalk.jsonl");
    for record in load::<Walks>("contextwalk.jsonl") {
        let temp = tempfile::tempdir().unwrap();
        make(temp.path(), &record.tree);
        for walk in &record.walks {
            let filter = Filter {
                exclude: bytes(walk.exclude.as_ref()),
                follow: bytes(walk.follow.as_ref()),
                include: bytes(walk.include.as_ref()),
            };
            let input = (&record.tree, &walk.exclude, &walk.follow, &walk.include);
            let expected = walk.sent.iter().flatten().collect::<Vec<_>>();
            let sent = send(temp.path(), &filter);
            report.check(input, &sent.iter().collect::<Vec<_>>(), &expected);
        }
    }
    report.finish();
}
