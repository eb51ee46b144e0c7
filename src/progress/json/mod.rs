//! The renderer of `rawjson`: one JSON object per batch of progress, for programs.
//!
//! Names, omissions and forms are those that buildx prints, escapes included, with two more
//! members that say whose progress it is: `node` and `platform`. Left out is
//! `sourceInfo.definition` of warnings, the LLB by which a daemon found the Dockerfile.

mod escape;
mod wire;

use std::time::Duration;

use serde::Serialize;

use self::escape::GoEscapes;
use self::wire::Line;
use super::state::Unit;
use super::{Change, Renderer, State, View};
use crate::event::{ClientStep, Event, StatusUpdate, UnitId, Vertex, VertexLog, VertexWarning};

/// The warnings about Dockerfiles as buildx lists them, each once.
pub fn warnings(state: &State) -> Vec<serde_json::Value> {
    let findings = state.findings().iter();
    findings
        .filter_map(|finding| serde_json::to_value(wire::warning(&finding.warning)).ok())
        .collect()
}

/// The severity that a warning has if nothing else is said.
const USUAL_LEVEL: i64 = 1;

/// Writes JSON lines.
#[derive(Debug)]
pub(super) struct RawJson;

impl Renderer for RawJson {
    fn event(&mut self, event: &Event, view: &View<'_>, out: &mut String) {
        match event {
            Event::Status { unit, update } => line(update, Some(*unit), view.state, out),
            Event::Client(step) => {
                let vertexes = vec![client_vertex(step, view)];
                let update = StatusUpdate {
                    vertexes,
                    ..StatusUpdate::default()
                };
                line(&update, None, view.state, out);
            }
            Event::Warning(text) => {
                let warning = VertexWarning {
                    level: USUAL_LEVEL,
                    short: text.clone(),
                    ..VertexWarning::default()
                };
                let warnings = vec![warning];
                line(
                    &StatusUpdate {
                        warnings,
                        ..StatusUpdate::default()
                    },
                    None,
                    view.state,
                    out,
                );
            }
            Event::Note(text) => {
                let log = VertexLog {
                    stream: 2,
                    timestamp: Some(view.now),
                    data: format!("{text}\n").into(),
                    ..VertexLog::default()
                };
                let logs = vec![log];
                line(
                    &StatusUpdate {
                        logs,
                        ..StatusUpdate::default()
                    },
                    None,
                    view.state,
                    out,
                );
            }
            Event::Planned(_)
            | Event::UnitWaiting { .. }
            | Event::UnitStarted { .. }
            | Event::Transfer { .. }
            | Event::UnitFinished { .. } => {}
        }
    }

    fn change(&mut self, _: &Change, _: &View<'_>, _: &mut String) {}

    fn draw(&mut self, _: &View<'_>, _: &mut String) {}

    fn finish(&mut self, _: &View<'_>, _: &mut String) {}

    fn redraw_after(&self, _: &State) -> Option<Duration> {
        None
    }
}

/// A step of the client's own, in the form in which buildx reports its own: as a vertex.
fn client_vertex(step: &ClientStep, view: &View<'_>) -> Vertex {
    let mut steps = view.state.steps_in_view().map(|(_, step)| step);
    let known = steps.find(|known| known.unit.is_none() && known.name == step.name);
    let hash = ring::digest::digest(&ring::digest::SHA256, step.name.as_bytes());
    let hex: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Vertex {
        digest: format!("sha256:{hex}"),
        name: step.name.clone(),
        started: known
            .and_then(|known| known.last_start())
            .or(Some(view.now)),
        completed: step.end.as_ref().map(|_| view.now),
        error: step.end.clone().and_then(Result::err).unwrap_or_default(),
        ..Vertex::default()
    }
}

/// Appends the line of an update.
fn line(update: &StatusUpdate, unit: Option<UnitId>, state: &State, out: &mut String) {
    let unit = unit.and_then(|id| state.unit(id));
    let node = unit.map_or("", Unit::node);
    let line = Line::new(update, node, unit.map(Unit::platform).unwrap_or_default());
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, GoEscapes);
    // Writing to memory cannot fail, and neither can serializing these types.
    if line.serialize(&mut serializer).is_ok()
        && let Ok(json) = String::from_utf8(json)
    {
        out.push_str(&json);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ProgressGroup, SourceExcerpt, VertexStatus};
    use crate::progress::play::{Player, at, planned, vertex as vertex_record};

    fn check(update: StatusUpdate, expected: &str) {
        let mut player = Player::new(RawJson);
        player.event(&planned(&[("a", "linux/arm64")]));
        player.event(&Event::Status {
            unit: UnitId(0),
            update,
        });
        let whole = format!("{{{expected},\"node\":\"a\",\"platform\":\"linux/arm64\"}}\n");
        assert_eq!(player.text, whole);
    }

    #[test]
    fn vertexes_leave_out_what_is_empty() {
        let full = Vertex {
            inputs: vec!["sha256:0".into()],
            cached: true,
            error: "no".into(),
            group: Some(ProgressGroup {
                id: "g".into(),
                name: "all".into(),
                weak: true,
            }),
            ..vertex_record("sha256:1", "RUN a && b > c", 1_500, Some(2_000))
        };
        let vertexes = vec![
            Vertex {
                name: "x".into(),
                ..Vertex::default()
            },
            full,
        ];
        check(
            StatusUpdate {
                vertexes,
                ..StatusUpdate::default()
            },
            concat!(
                r#""vertexes":[{"name":"x"},{"digest":"sha256:1","inputs":["sha256:0"],"#,
                r#""name":"RUN a \u0026\u0026 b \u003e c","started":"1970-01-01T00:00:01.5Z","#,
                r#""completed":"1970-01-01T00:00:02Z","cached":true,"error":"no","#,
                r#""progressGroup":{"id":"g","name":"all","weak":true}}]"#,
            ),
        );
    }

    #[test]
    fn statuses_always_say_where_they_are() {
        let bare = VertexStatus {
            id: "layer".into(),
            ..VertexStatus::default()
        };
        let full = VertexStatus {
            vertex: "sha256:1".into(),
            name: "extracting".into(),
            total: 10,
            current: 5,
            timestamp: Some(at(1)),
            started: Some(at(2)),
            completed: Some(at(3)),
            ..bare.clone()
        };
        check(
            StatusUpdate {
                statuses: vec![bare, full],
                ..StatusUpdate::default()
            },
            concat!(
                r#""statuses":[{"id":"layer","current":0,"timestamp":"0001-01-01T00:00:00Z"},"#,
                r#"{"id":"layer","vertex":"sha256:1","name":"extracting","total":10,"current":5,"#,
                r#""timestamp":"1970-01-01T00:00:00.001Z","started":"1970-01-01T00:00:00.002Z","#,
                r#""completed":"1970-01-01T00:00:00.003Z"}]"#,
            ),
        );
    }

    #[test]
    fn output_is_base64() {
        let full = VertexLog {
            vertex: "sha256:1".into(),
            timestamp: Some(at(0)),
            stream: 2,
            data: (&b"hi\n\xff"[..]).into(),
        };
        check(
            StatusUpdate {
                logs: vec![VertexLog::default(), full],
                ..StatusUpdate::default()
            },
            concat!(
                r#""logs":[{"data":null,"timestamp":"0001-01-01T00:00:00Z"},"#,
                r#"{"vertex":"sha256:1","stream":2,"data":"aGkK/w==","#,
                r#""timestamp":"1970-01-01T00:00:00Z"}]"#,
            ),
        );
    }

    #[test]
    fn warnings_have_their_place() {
        let source = SourceExcerpt {
            filename: "Dockerfile".into(),
            language: "Dockerfile".into(),
            data: "FROM a".into(),
            lines: vec![(1, 2)],
        };
        let warning = VertexWarning {
            vertex: "sha256:1".into(),
            level: 1,
            short: "short".into(),
            detail: vec!["long".into()],
            url: "https://example.com/?a&b".into(),
            source: Some(source),
        };
        check(
            StatusUpdate {
                warnings: vec![warning],
                ..StatusUpdate::default()
            },
            concat!(
                r#""warnings":[{"vertex":"sha256:1","level":1,"short":"c2hvcnQ=","#,
                r#""detail":["bG9uZw=="],"url":"https://example.com/?a\u0026b","#,
                r#""sourceInfo":{"filename":"Dockerfile","data":"RlJPTSBh","#,
                r#""language":"Dockerfile"},"range":[{"start":{"line":1},"end":{"line":2}}]}]"#,
            ),
        );
    }

    #[test]
    fn steps_and_words_of_the_client_are_of_no_node() {
        let mut player = Player::new(RawJson);
        let step = |end| {
            Event::Client(ClientStep {
                name: "tag".into(),
                end,
            })
        };
        player
            .event(&step(None))
            .at(500)
            .event(&step(Some(Err("refused".into()))));
        player
            .event(&Event::Warning("odd".into()))
            .event(&Event::Note("dialled".into()));
        insta::assert_snapshot!(player.text, @r#"
        {"vertexes":[{"digest":"sha256:2a1073a6e67f0e5f09a5957c659503c690efe7272be8313df872556a9a684d8c","name":"tag","started":"1970-01-01T00:00:00Z"}]}
        {"vertexes":[{"digest":"sha256:2a1073a6e67f0e5f09a5957c659503c690efe7272be8313df872556a9a684d8c","name":"tag","started":"1970-01-01T00:00:00Z","completed":"1970-01-01T00:00:00.5Z","error":"refused"}]}
        {"warnings":[{"level":1,"short":"b2Rk"}]}
        {"logs":[{"stream":2,"data":"ZGlhbGxlZAo=","timestamp":"1970-01-01T00:00:00.5Z"}]}
        "#);
    }
}
