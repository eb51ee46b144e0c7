//! Platforms: how they are parsed, printed and normalised, and which run on which.

use std::collections::BTreeSet;

use mbuild::platform::Platform;
use serde::Deserialize;

use super::{Report, load};

#[derive(Deserialize)]
struct Parsed {
    input: String,
    #[serde(default)]
    error: bool,
    os: Option<String>,
    arch: Option<String>,
    variant: Option<String>,
    os_version: Option<String>,
    format: Option<String>,
    format_all: Option<String>,
    normalized: Option<String>,
}

#[derive(Deserialize)]
struct Matched {
    platform: String,
    runs_best_first: Vec<String>,
    exact: Vec<String>,
}

/// Parses on the host where the vectors were computed.
fn parse(text: &str) -> Option<Platform> {
    Platform::parse(text, &Platform::new("linux", "amd64")).ok()
}

#[test]
fn platforms_parse_and_print_as_containerd_has_them() {
    let mut report = Report::new("platforms.jsonl");
    for record in load::<Parsed>(report.name()) {
        let platform = parse(&record.input);
        let platform = platform.as_ref();
        // A member that the record leaves out is not compared.
        let got = |member: &Option<String>, print: fn(&Platform) -> String| {
            platform.filter(|_| member.is_some()).map(print)
        };
        let got = [
            got(&record.os, |platform| platform.os.clone()),
            got(&record.arch, |platform| platform.architecture.clone()),
            got(&record.variant, |platform| platform.variant.clone()),
            got(&record.os_version, |platform| platform.os_version.clone()),
            got(&record.format, ToString::to_string),
            got(&record.format_all, Platform::format_all),
            got(&record.normalized, |platform| {
                platform.normalized().to_string()
            }),
        ];
        let expect = [
            record.os,
            record.arch,
            record.variant,
            record.os_version,
            record.format,
            record.format_all,
            record.normalized,
        ];
        report.check(
            record.input,
            &(platform.is_none(), got),
            &(record.error, expect),
        );
    }
    report.finish();
}

#[test]
fn platforms_run_on_one_another_as_containerd_has_it() {
    let mut report = Report::new("platform-match.jsonl");
    let records = load::<Matched>(report.name());
    // The record lists only platforms from a list of candidates; all of them occur somewhere.
    let candidates: BTreeSet<&String> = records
        .iter()
        .flat_map(|record| [&record.runs_best_first, &record.exact])
        .flatten()
        .collect();
    for record in &records {
        let worker = parse(&record.platform).unwrap();
        let mut ranked: Vec<(usize, String)> = candidates
            .iter()
            .filter_map(|text| Some((worker.rank(&parse(text)?)?, (*text).clone())))
            .collect();
        ranked.sort();
        let runs: Vec<String> = ranked.into_iter().map(|(_, text)| text).collect();
        let exact: Vec<String> = candidates
            .iter()
            .filter(|text| parse(text).is_some_and(|other| worker.matches_exactly(&other)))
            .map(|text| (*text).clone())
            .collect();
        let expect = (record.runs_best_first.clone(), record.exact.clone());
        report.check(&record.platform, &(runs, exact), &expect);
    }
    report.finish();
}
