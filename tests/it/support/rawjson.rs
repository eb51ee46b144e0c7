//! Reads recorded progress: lines of `--progress=rawjson`, as buildx and mbuild print them.
//!
//! The recordings in `tests/it/data/status/` were made with buildx 0.29 on dockerd 28.5.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use mbuild::event::{
    ProgressGroup, SourceExcerpt, StatusUpdate, Vertex, VertexLog, VertexStatus, VertexWarning,
};
use serde::Deserialize;

/// Reads all lines of a recording, `name` being e.g. `"success.jsonl"`.
pub(crate) fn recording(name: &str) -> Vec<StatusUpdate> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/status");
    let text = std::fs::read_to_string(dir.join(name)).unwrap();
    text.lines().map(parse_line).collect()
}

/// Reads one line.
pub(crate) fn parse_line(line: &str) -> StatusUpdate {
    let line: Line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    StatusUpdate {
        vertexes: line
            .vertexes
            .into_iter()
            .map(VertexLine::into_vertex)
            .collect(),
        statuses: line
            .statuses
            .into_iter()
            .map(StatusLine::into_status)
            .collect(),
        logs: line.logs.into_iter().map(LogLine::into_log).collect(),
        warnings: line
            .warnings
            .into_iter()
            .map(WarningLine::into_warning)
            .collect(),
    }
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Line {
    vertexes: Vec<VertexLine>,
    statuses: Vec<StatusLine>,
    logs: Vec<LogLine>,
    warnings: Vec<WarningLine>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct VertexLine {
    digest: String,
    inputs: Vec<String>,
    name: String,
    started: Option<String>,
    completed: Option<String>,
    cached: bool,
    error: String,
    progress_group: Option<Group>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Group {
    id: String,
    name: String,
    weak: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StatusLine {
    id: String,
    vertex: String,
    name: String,
    total: i64,
    current: i64,
    timestamp: String,
    started: Option<String>,
    completed: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LogLine {
    vertex: String,
    stream: i64,
    data: Option<String>,
    timestamp: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WarningLine {
    vertex: String,
    level: i64,
    short: String,
    detail: Vec<String>,
    url: String,
    source_info: Option<Source>,
    range: Vec<Range>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Source {
    filename: String,
    language: String,
    data: String,
}

#[derive(Deserialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Position {
    line: u32,
}

impl VertexLine {
    fn into_vertex(self) -> Vertex {
        let group = self.progress_group;
        Vertex {
            digest: self.digest,
            inputs: self.inputs,
            name: self.name,
            cached: self.cached,
            started: time(self.started),
            completed: time(self.completed),
            error: self.error,
            group: group.map(|Group { id, name, weak }| ProgressGroup { id, name, weak }),
        }
    }
}

impl StatusLine {
    fn into_status(self) -> VertexStatus {
        VertexStatus {
            id: self.id,
            vertex: self.vertex,
            name: self.name,
            current: self.current,
            total: self.total,
            timestamp: time(Some(self.timestamp)),
            started: time(self.started),
            completed: time(self.completed),
        }
    }
}

impl LogLine {
    fn into_log(self) -> VertexLog {
        VertexLog {
            vertex: self.vertex,
            timestamp: time(Some(self.timestamp)),
            stream: self.stream,
            data: STANDARD
                .decode(self.data.unwrap_or_default())
                .unwrap()
                .into(),
        }
    }
}

impl WarningLine {
    fn into_warning(self) -> VertexWarning {
        let lines = self
            .range
            .iter()
            .map(|range| (range.start.line, range.end.line))
            .collect();
        let source = self.source_info.map(|source| SourceExcerpt {
            filename: source.filename,
            language: source.language,
            data: STANDARD.decode(source.data).unwrap().into(),
            lines,
        });
        VertexWarning {
            vertex: self.vertex,
            level: self.level,
            short: text(&self.short),
            detail: self.detail.iter().map(|line| text(line)).collect(),
            url: self.url,
            source,
        }
    }
}

fn text(base64: &str) -> String {
    String::from_utf8(STANDARD.decode(base64).unwrap()).unwrap()
}

/// A time, unless it is the one that Go prints for none.
fn time(text: Option<String>) -> Option<Timestamp> {
    let text = text.filter(|text| !text.starts_with("0001-"))?;
    Some(text.parse().unwrap())
}
