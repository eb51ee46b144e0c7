//! The details of a failed build: JSON documents inside the status's `Any`s.
//!
//! Every key may be missing, since Go leaves out what is zero, and daemons up to v0.10 spell
//! some with capitals. What is unknown or malformed is passed over: the message stands.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mbuild_proto::rpc;
use prost::Message;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::event::SourceExcerpt;

/// What a daemon says about a failure beside its message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorDetails {
    /// What parts of which files it is about, in the order to print them.
    pub sources: Vec<SourceExcerpt>,
    /// Digest of the step that failed; `None` if it was none.
    pub vertex: Option<String>,
    /// Exit code of the step's command; 255 also if it was never started.
    pub exit_code: Option<u32>,
    /// The frontend that failed; `None` if it was none, or the daemon is older than v0.22.
    pub frontend: Option<String>,
    /// What the frontend lacks; `None` if that is not the reason.
    pub missing: Option<Missing>,
}

/// Something that a frontend lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// A capability, such as `moby.buildkit.frontend.contexts`.
    Capability(String),
    /// A subrequest, such as `frontend.lint`.
    Subrequest(String),
}

#[derive(Deserialize)]
struct VertexJson {
    #[serde(alias = "Digest", default)]
    digest: String,
}

#[derive(Deserialize)]
struct NameJson {
    #[serde(alias = "Name", default)]
    name: String,
}

#[derive(Deserialize)]
struct ExitJson {
    #[serde(rename = "Code", alias = "code", default)]
    code: u32,
}

#[derive(Deserialize)]
struct SourceJson {
    #[serde(alias = "Info", default)]
    info: SourceInfoJson,
    #[serde(alias = "Ranges", default)]
    ranges: Vec<RangeJson>,
}

#[derive(Deserialize, Default)]
struct SourceInfoJson {
    #[serde(alias = "Filename", default)]
    filename: String,
    #[serde(alias = "Data", default)]
    data: String,
    #[serde(alias = "Language", default)]
    language: String,
}

#[derive(Deserialize)]
struct RangeJson {
    #[serde(alias = "Start", default)]
    start: PositionJson,
    #[serde(alias = "End", default)]
    end: PositionJson,
}

#[derive(Deserialize, Default)]
struct PositionJson {
    #[serde(alias = "Line", default)]
    line: u32,
}

/// Decodes the bytes of `grpc-status-details-bin`.
pub(super) fn decode(bytes: &[u8]) -> ErrorDetails {
    let mut details = ErrorDetails::default();
    let Ok(status) = rpc::Status::decode(bytes) else {
        return details;
    };
    for any in status.details {
        let Some(kind) = any.type_url.strip_suffix("+json") else {
            continue;
        };
        details.take(kind.rsplit('/').next().unwrap_or(kind), &any.value);
    }
    details
}

impl ErrorDetails {
    fn take(&mut self, kind: &str, json: &[u8]) {
        match kind {
            "errdefs.Source" => self.sources.extend(parse(json).map(SourceJson::excerpt)),
            "errdefs.Vertex" => {
                let vertex = parse(json).map(|vertex: VertexJson| vertex.digest);
                self.vertex = self
                    .vertex
                    .take()
                    .or(vertex.filter(|digest| !digest.is_empty()));
            }
            "gatewayapi.ExitMessage" => {
                self.exit_code = self
                    .exit_code
                    .or(parse(json).map(|exit: ExitJson| exit.code));
            }
            "errdefs.Frontend" => self.frontend = name(json).or(self.frontend.take()),
            "errdefs.FrontendCap" => self.missing = name(json).map(Missing::Capability),
            "errdefs.Subrequest" => self.missing = name(json).map(Missing::Subrequest),
            _ => {}
        }
    }
}

impl SourceJson {
    fn excerpt(self) -> SourceExcerpt {
        let lines = self.ranges.iter().filter(|range| range.start.line > 0);
        SourceExcerpt {
            filename: self.info.filename,
            language: self.info.language,
            data: Bytes::from(STANDARD.decode(self.info.data).unwrap_or_default()),
            lines: lines
                .map(|range| (range.start.line, range.end.line.max(range.start.line)))
                .collect(),
        }
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

fn name(json: &[u8]) -> Option<String> {
    parse(json)
        .map(|name: NameJson| name.name)
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(documents: &[(&str, &str)]) -> ErrorDetails {
        let details = documents.iter().map(|(kind, json)| prost_types::Any {
            type_url: format!("github.com/moby/buildkit/{kind}"),
            value: json.as_bytes().to_vec(),
        });
        let status = rpc::Status {
            code: 2,
            message: "m".into(),
            details: details.collect(),
        };
        decode(&status.encode_to_vec())
    }

    #[test]
    fn a_failed_step_brings_source_vertex_and_exit_code() {
        let found = details(&[
            ("stack.Stack+json", r#"{"frames":[]}"#),
            ("errdefs.Vertex+json", r#"{"digest":"sha256:a"}"#),
            (
                "errdefs.Source+json",
                r#"{"info":{"filename":"Dockerfile","data":"RlJPTSB4Cg==","definition":{}},
                    "ranges":[{"start":{"line":1},"end":{"line":1,"character":6}}]}"#,
            ),
            ("gatewayapi.ExitMessage+json", r#"{"Code":7,"Error":{}}"#),
            (
                "errdefs.Frontend+json",
                r#"{"name":"dockerfile.v0","source":"x"}"#,
            ),
        ]);
        let source = SourceExcerpt {
            filename: "Dockerfile".into(),
            language: String::new(),
            data: "FROM x\n".into(),
            lines: vec![(1, 1)],
        };
        assert_eq!(
            found,
            ErrorDetails {
                sources: vec![source],
                vertex: Some("sha256:a".into()),
                exit_code: Some(7),
                frontend: Some("dockerfile.v0".into()),
                missing: None,
            }
        );
    }

    #[test]
    fn capitals_of_old_daemons_are_read() {
        let found = details(&[(
            "errdefs.Source+json",
            r#"{"info":{"filename":"f"},"ranges":[{"start":{"Line":3},"end":{"Line":5}},{}]}"#,
        )]);
        assert_eq!(found.sources[0].lines, [(3, 5)]);
    }

    #[test]
    fn what_the_frontend_lacks_is_named() {
        let found = details(&[("errdefs.FrontendCap+json", r#"{"name":"x.contexts"}"#)]);
        assert_eq!(
            found.missing,
            Some(Missing::Capability("x.contexts".into()))
        );
        let found = details(&[("errdefs.Subrequest+json", r#"{"name":"frontend.lint"}"#)]);
        assert_eq!(
            found.missing,
            Some(Missing::Subrequest("frontend.lint".into()))
        );
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        assert_eq!(decode(b"\xff\xff"), ErrorDetails::default());
        let found = details(&[
            ("errdefs.Vertex+json", "[1"),
            ("errdefs.Vertex+json", "{}"),
            ("errdefs.Source+json", r#"{"info":3}"#),
            ("google.rpc.ErrorInfo", "binary"),
        ]);
        assert_eq!(found, ErrorDetails::default());
    }
}
