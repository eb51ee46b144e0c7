//! Holds mbuild to the answers of the Go libraries that BuildKit and buildx use.
//!
//! Each child module checks the records of one or two files of `tests/it/data/vectors/`.
//! `MBUILD_VECTORS` names another directory to read instead; a file missing there is a failure.

mod files;
mod flags;
mod platforms;
mod references;

use std::fmt::Debug;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads every record of one vector file, `name` being e.g. `"flags.jsonl"`.
pub(crate) fn load<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let dir = std::env::var_os("MBUILD_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/vectors"),
        PathBuf::from,
    );
    let path = dir.join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("vector file {}: {error}", path.display()));
    let records: Vec<T> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}:{}: {error}", path.display(), at + 1))
        })
        .collect();
    assert!(
        !records.is_empty(),
        "vector file {} holds no record",
        path.display()
    );
    records
}

/// Collects mismatches and reports them all at the end of a test.
pub(crate) struct Report {
    name: &'static str,
    checked: usize,
    mismatches: Vec<String>,
}

impl Report {
    /// Starts a report on the vector file `name`.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            checked: 0,
            mismatches: Vec::new(),
        }
    }

    /// Returns the name of the vector file.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Counts one record, and keeps it as a mismatch unless `got` is what was expected.
    pub(crate) fn check<T: PartialEq + Debug>(&mut self, input: impl Debug, got: &T, expect: &T) {
        self.checked += 1;
        if got != expect {
            self.mismatches
                .push(format!("{input:?}\n     got {got:?}\n  expect {expect:?}"));
        }
    }

    /// Prints the number of records checked; panics with the first ten mismatches if any.
    #[expect(
        clippy::print_stdout,
        reason = "a test that compared nothing must be noticed"
    )]
    pub(crate) fn finish(self) {
        let Self {
            name,
            checked,
            mismatches,
        } = self;
        println!("{name}: {checked} records checked");
        assert!(
            mismatches.is_empty(),
            "{name}: {} of {checked} records differ:\n{}",
            mismatches.len(),
            mismatches
                .iter()
                .take(10)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n"),
        );
    }
}

/// Makes `null` and an absent member the empty list, which the vectors do not tell apart.
pub(crate) fn null_as_empty(value: Value) -> Value {
    if value.is_null() {
        Value::Array(Vec::new())
    } else {
        value
    }
}
