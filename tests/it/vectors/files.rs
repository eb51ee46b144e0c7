//! Ignore patterns and context walks, as moby/patternmatcher and fsutil do them.

use std::collections::BTreeMap;

use mbuild::ignore::{MatchState, PatternSet, parse_ignore_file};
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
