//! The members of a line, in the order and with the omissions of BuildKit's Go client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;

use crate::event::{SourceExcerpt, StatusUpdate, Vertex, VertexLog, VertexStatus, VertexWarning};

/// What Go prints for a time that was never set.
const UNSET: &str = "0001-01-01T00:00:00Z";

/// A line.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vertexes: Vec<VertexJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<StatusJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs: Vec<LogJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningJson<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    node: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    platform: String,
}

impl<'a> Line<'a> {
    /// The line of an update that comes from this node and platform; empty means from none.
    pub(super) fn new(update: &'a StatusUpdate, node: &'a str, platform: String) -> Self {
        Self {
            vertexes: update.vertexes.iter().map(vertex).collect(),
            statuses: update.statuses.iter().map(status).collect(),
            logs: update.logs.iter().map(log).collect(),
            warnings: update.warnings.iter().map(warning).collect(),
            node,
            platform,
        }
    }
}

#[derive(Serialize)]
struct VertexJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    digest: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    inputs: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    cached: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    #[serde(rename = "progressGroup", skip_serializing_if = "Option::is_none")]
    group: Option<GroupJson<'a>>,
}

#[derive(Serialize)]
struct GroupJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    weak: bool,
}

#[derive(Serialize)]
struct StatusJson<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    vertex: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    total: i64,
    current: i64,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<String>,
}

#[derive(Serialize)]
struct LogJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    vertex: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    stream: i64,
    /// `null` where there are no bytes.
    data: Option<String>,
    timestamp: String,
}

/// A warning about a Dockerfile.
#[derive(Serialize)]
pub(in crate::progress) struct WarningJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    vertex: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    level: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    short: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detail: Vec<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    url: &'a str,
    #[serde(rename = "sourceInfo", skip_serializing_if = "Option::is_none")]
    source: Option<SourceJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    range: Vec<RangeJson>,
}

#[derive(Serialize)]
struct SourceJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    filename: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    language: &'a str,
}

#[derive(Serialize)]
struct RangeJson {
    start: PositionJson,
    end: PositionJson,
}

#[derive(Serialize)]
struct PositionJson {
    #[serde(skip_serializing_if = "is_zero_line")]
    line: u32,
}

fn vertex(vertex: &Vertex) -> VertexJson<'_> {
    VertexJson {
        digest: &vertex.digest,
        inputs: &vertex.inputs,
        name: &vertex.name,
        started: vertex.started.map(|time| time.to_string()),
        completed: vertex.completed.map(|time| time.to_string()),
        cached: vertex.cached,
        error: &vertex.error,
        group: vertex.group.as_ref().map(|group| GroupJson {
            id: &group.id,
            name: &group.name,
            weak: group.weak,
        }),
    }
}

fn status(status: &VertexStatus) -> StatusJson<'_> {
    StatusJson {
        id: &status.id,
        vertex: &status.vertex,
        name: &status.name,
        total: status.total,
        current: status.current,
        timestamp: time(status.timestamp),
        started: status.started.map(|time| time.to_string()),
        completed: status.completed.map(|time| time.to_string()),
    }
}

fn log(log: &VertexLog) -> LogJson<'_> {
    LogJson {
        vertex: &log.vertex,
        stream: log.stream,
        data: (!log.data.is_empty()).then(|| STANDARD.encode(&log.data)),
        timestamp: time(log.timestamp),
    }
}

/// The warning as Go prints it.
pub(in crate::progress) fn warning(warning: &VertexWarning) -> WarningJson<'_> {
    let source = warning.source.as_ref();
    let position = |line: u32| PositionJson { line };
    let range = |(start, end): &(u32, u32)| RangeJson {
        start: position(*start),
        end: position(*end),
    };
    WarningJson {
        vertex: &warning.vertex,
        level: warning.level,
        short: STANDARD.encode(&warning.short),
        detail: warning
            .detail
            .iter()
            .map(|line| STANDARD.encode(line))
            .collect(),
        url: &warning.url,
        source: source.map(
            |SourceExcerpt {
                 filename,
                 language,
                 data,
                 ..
             }| SourceJson {
                filename,
                data: STANDARD.encode(data),
                language,
            },
        ),
        range: source
            .map(|source| source.lines.iter().map(range).collect())
            .unwrap_or_default(),
    }
}

fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| UNSET.to_owned(), |time| time.to_string())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero_line(value: &u32) -> bool {
    *value == 0
}
