//! All that is on record of a build, for a person to read. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;

use super::super::human::took;
use super::super::table::align;
use super::builds::Status;
use super::details::Details;

/// Writes a build's details, and what can be asked next.
pub(super) fn text(details: &Details<'_>) -> String {
    let mut sections = vec![fields(&details.origin())];
    sections.push(table(
        &["NAMED CONTEXT", "VALUE"],
        pairs(details.group("context:")),
    ));
    sections.push(fields(&course(details)));
    sections.push(nodes(details));
    let settings = details.settings().into_iter();
    let settings = settings.map(|(_, words, value)| (words.to_owned(), shown(&value)));
    let settings: Vec<_> = settings.chain(details.rest()).collect();
    sections.push(fields(&settings));
    sections.push(table(
        &["BUILD ARG", "VALUE"],
        pairs(details.group("build-arg:")),
    ));
    sections.push(table(&["LABEL", "VALUE"], pairs(details.group("label:"))));
    let materials = details.materials().into_iter();
    let materials =
        materials.map(|material| vec![material.uri.clone(), material.digests.join(", ")]);
    sections.push(titled(
        "Materials:",
        table(&["URI", "DIGEST"], materials.collect()),
    ));
    let attachments = details.attachments().map(|attachment| {
        vec![
            attachment.digest().to_owned(),
            attachment.platform.clone(),
            attachment.kind().to_owned(),
        ]
    });
    let header = ["DIGEST", "PLATFORM", "TYPE"];
    sections.push(titled(
        "Attachments:",
        table(&header, attachments.collect()),
    ));
    sections.push(failures(details));
    let id = &details.build.id;
    sections.push(format!("Print build logs: mbuild history logs {id}\n"));
    sections.retain(|section| !section.is_empty());
    sections.join("\n")
}

/// When it was and how it went.
fn course(details: &Details<'_>) -> Vec<(&'static str, String)> {
    let (build, steps) = (details.build, details.build.steps());
    let status = build.status();
    let took = took(build.duration(details.now));
    let is_running = status == Status::Running;
    let running = if is_running { " (running)" } else { "" };
    let mut course = vec![
        ("Started", build.created().map(second).unwrap_or_default()),
        ("Duration", format!("{took}{running}")),
    ];
    if let (Status::Error, Some(failure)) = (status, details.failure()) {
        course.push(("Error", failure.message.clone()));
    }
    if status == Status::Canceled {
        course.push(("Status", "Canceled".to_owned()));
    }
    if steps.total > 0 {
        let percent = steps.cached * 100 / steps.total;
        let text = format!("{}/{} ({percent}% cached)", steps.completed, steps.total);
        course.push(("Build Steps", text));
    }
    course
}

fn nodes(details: &Details<'_>) -> String {
    let header = ["NODE", "PLATFORM", "REF", "STATUS", "DURATION", "CACHED"];
    let rows = details.build.units.iter().map(|unit| {
        let steps = unit.record.steps;
        let cached = format!("{}/{}", steps.cached, steps.total);
        vec![
            unit.place.to_string(),
            unit.platform().to_owned(),
            unit.record.reference.clone(),
            unit.status().word().to_owned(),
            took(unit.duration(details.now)),
            if steps.total > 0 {
                cached
            } else {
                String::new()
            },
        ]
    });
    table(&header, rows.collect())
}

/// What failed on each node: the place in the Dockerfile, and the end of the step's output.
fn failures(details: &Details<'_>) -> String {
    let mut text = String::new();
    let units = details.build.units.iter().zip(details.parts);
    for (unit, part) in units.filter(|(unit, _)| unit.status() == Status::Error) {
        let Some(failure) = &part.failure else {
            continue;
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "Error on {}: {}", unit.place, failure.message);
        text += &failure.source;
        if !failure.step.is_empty() {
            let _ = writeln!(text, "> => {}:", failure.step);
        }
        for line in &failure.logs {
            let _ = writeln!(text, "> {line}");
        }
    }
    text
}

/// `Name:  value` lines, in columns; without those that have no value.
fn fields<N: AsRef<str>>(fields: &[(N, String)]) -> String {
    let rows: Vec<[String; 2]> = fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| [format!("{}:", name.as_ref()), value.clone()])
        .collect();
    align(&rows)
}

fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let rows: Vec<Vec<String>> = [header].into_iter().chain(rows).collect();
    align(&rows)
}

fn titled(title: &str, table: String) -> String {
    match table.is_empty() {
        true => table,
        false => format!("{title}\n{table}"),
    }
}

fn pairs(pairs: Vec<(String, String)>) -> Vec<Vec<String>> {
    let pairs = pairs.into_iter();
    pairs.map(|(name, value)| vec![name, value]).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A time to the second: `2026-01-31 12:00:00 UTC`.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::attachments::{Attachment, Material};
    use super::super::builds::{group, test_unit};
    use super::super::details::{Failure, Part};
    use super::*;
    use crate::buildkit::history::{Blob, RecordError};

    const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn a_failed_build_is_shown_whole() {
        let mut amd64 = test_unit("amd64", &format!("{ID}-1"), "linux/amd64", (100, Some(104)));
        let attrs = [
            ("filename", "Dockerfile"),
            ("target", "app"),
            ("build-arg:A", "1"),
        ];
        let attrs = attrs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        amd64.record.attrs.extend(attrs);
        amd64.record.error = Some(RecordError {
            code: 2,
            message: "exit code: 1".into(),
        });
        let arm64 = test_unit("arm64", &format!("{ID}-2"), "linux/arm64", (100, Some(190)));
        let build = group(vec![amd64, arm64]).remove(0);
        let failed = Part {
            failure: Some(Failure {
                code: 2,
                message: "exit code: 1".into(),
                step: "[2/2] RUN false".into(),
                logs: vec!["no".into()],
                source: "Dockerfile:2\n>>> RUN false\n".into(),
            }),
            ..Part::default()
        };
        let done = Part {
            attachments: vec![Attachment {
                platform: "linux/arm64".into(),
                blob: Blob {
                    media_type: "m".into(),
                    digest: "sha256:0".into(),
                    ..Blob::default()
                },
            }],
            materials: vec![Material {
                uri: "pkg:docker/base".into(),
                digests: vec!["sha256:1".into()],
            }],
            ..Part::default()
        };
        let details = Details {
            build: &build,
            parts: &[failed, done],
            now: Timestamp::from_second(500).unwrap(),
        };
        insta::assert_snapshot!(text(&details), @r"
        Name:         app
        Ref:          aaaaaaaaaaaaaaaaaaaaaaaaa
        Dockerfile:   Dockerfile
        Target:       app
        Platforms:    linux/amd64, linux/arm64

        Started:       1970-01-01 00:01:40 UTC
        Duration:      1m 30s
        Error:         exit code: 1
        Build Steps:   10/10 (40% cached)

        NODE    PLATFORM      REF                           STATUS      DURATION   CACHED
        amd64   linux/amd64   aaaaaaaaaaaaaaaaaaaaaaaaa-1   Error       4.0s       2/5
        arm64   linux/arm64   aaaaaaaaaaaaaaaaaaaaaaaaa-2   Completed   1m 30s     2/5

        BUILD ARG   VALUE
        A           1

        Materials:
        URI               DIGEST
        pkg:docker/base   sha256:1

        Attachments:
        DIGEST     PLATFORM      TYPE
        sha256:0   linux/arm64   m

        Error on amd64: exit code: 1
        Dockerfile:2
        >>> RUN false
        > => [2/2] RUN false:
        > no

        Print build logs: mbuild history logs aaaaaaaaaaaaaaaaaaaaaaaaa
        ");
    }
}
