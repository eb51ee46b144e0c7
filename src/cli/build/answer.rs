//! What a frontend answered to a question: text for people, JSON for programs, an exit code.
//!
//! Pure. The text is the frontend's own; around what its checks find stand the lines that buildx
//! prints.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::buildkit::excerpt;
use crate::event::SourceExcerpt;
use crate::request::CallSpec;

/// The keys of an answer.
const JSON: &str = "result.json";
const TEXT: &str = "result.txt";
const STATUS: &str = "result.statuscode";

/// What is shown of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// For stdout.
    pub(super) text: String,
    /// Why the Dockerfile cannot be built, if the checks came upon that.
    pub(super) error: Option<String>,
    /// The exit code.
    pub(super) status: u8,
}

/// What of the checks' findings is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Lint {
    /// Go writes no list as null.
    warnings: Option<Vec<Value>>,
    sources: Option<Vec<Source>>,
    build_error: Option<BuildError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Source {
    filename: String,
    data: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BuildError {
    message: String,
    location: Location,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Location {
    source_index: usize,
    ranges: Option<Vec<Range>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Position {
    line: u32,
}

/// Says what is shown of a frontend's answer; `path` is the Dockerfile's as the user sees it.
pub(super) fn answer(
    call: &CallSpec,
    response: &BTreeMap<String, String>,
    path: Option<&str>,
) -> Answer {
    let get = |key: &str| response.get(key).map(String::as_str).unwrap_or_default();
    let lint = (call.name == "lint").then(|| serde_json::from_str(get(JSON)).unwrap_or_default());
    let text = match (call.json, &lint) {
        (true, _) => get(JSON).to_owned(),
        (false, None) => get(TEXT).to_owned(),
        (false, Some(lint)) => framed(lint, &placed(lint, get(TEXT), path)),
    };
    let error = lint.as_ref().and_then(|lint| lint.error(path));
    // 1 where the code is none: something was found, or it would not be there.
    let status = match get(STATUS) {
        "" => 0,
        code => code.parse().unwrap_or(1),
    };
    Answer {
        text: ended(text),
        status: match (&error, call.ignore_status) {
            // Not even a failed build is what was asked not to count.
            (Some(_), _) => status.max(1),
            (None, true) => 0,
            (None, false) => status,
        },
        error,
    }
}

/// The answer in the metadata file: buildx's keys, and the whole under the question's name.
pub(super) fn metadata(call: &CallSpec, response: &BTreeMap<String, String>) -> Value {
    let mut keys: Map<String, Value> = response
        .iter()
        .map(|(key, text)| {
            let value = match key.as_str() {
                JSON => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
                _ => json!(text),
            };
            (key.clone(), value)
        })
        .collect();
    if let Some(result) = keys.get(JSON).cloned() {
        keys.insert(call.request_id(), result);
    }
    Value::Object(keys)
}

/// What was found, with a line above that counts it.
fn framed(lint: &Lint, text: &str) -> String {
    let count = lint.warnings.as_ref().map_or(0, Vec::len);
    match (count, &lint.build_error) {
        (0, Some(_)) => String::new(),
        (0, None) => "Check complete, no warnings found.\n".to_owned(),
        (1, _) => format!("Check complete, 1 warning has been found!\n{text}"),
        (count, _) => format!("Check complete, {count} warnings have been found!\n{text}"),
    }
}

/// The text with the Dockerfile's path where the frontend, which knows its name only, says
/// where something is.
fn placed(lint: &Lint, text: &str, path: Option<&str>) -> String {
    let (Some(path), Some([source])) = (path, lint.sources.as_deref()) else {
        return text.to_owned();
    };
    let place = |line: &str| {
        let number = line.strip_prefix(&source.filename)?.strip_prefix(':')?;
        number.parse::<u32>().ok()?;
        Some(format!("{path}:{number}"))
    };
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| place(line).unwrap_or_else(|| line.to_owned()))
        .collect();
    lines.join("\n")
}

impl Lint {
    fn error(&self, path: Option<&str>) -> Option<String> {
        let error = self.build_error.as_ref()?;
        let mut text = format!("{}\n", error.message);
        let sources = self.sources.as_deref().unwrap_or_default();
        if let Some(source) = sources.get(error.location.source_index) {
            let lines = error.location.ranges.iter().flatten();
            let excerpt = SourceExcerpt {
                filename: path.unwrap_or(&source.filename).to_owned(),
                language: String::new(),
                data: STANDARD.decode(&source.data).unwrap_or_default().into(),
                lines: lines
                    .map(|range| (range.start.line, range.end.line.max(range.start.line)))
                    .collect(),
            };
            // Writing to a string does not fail.
            let _ = write!(text, "{}", excerpt::render(&excerpt));
        }
        Some(text)
    }
}

fn ended(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(call: &str, response: &[(&str, &str)]) -> Answer {
        let call = CallSpec::parse(call).unwrap().unwrap();
        let pairs = response.iter();
        let response = pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        answer(&call, &response, Some("dir/Dockerfile"))
    }

    const ONE: &str = r#"{"warnings":[{"ruleName":"x"}],"sources":[{"filename":"Dockerfile"}]}"#;

    #[test]
    fn what_checks_find_is_counted_and_becomes_the_exit_code() {
        let clean = r#"{"warnings":[],"sources":[]}"#;
        let shown = ask("check", &[(JSON, clean), (STATUS, "0")]);
        assert_eq!(shown.text, "Check complete, no warnings found.\n");
        assert_eq!((shown.status, shown.error), (0, None));
        let text = "\nWARNING: x\nDockerfile:3\nDockerfile: y";
        let found = [(JSON, ONE), (TEXT, text), (STATUS, "1")];
        let shown = ask("check", &found);
        let expect = "Check complete, 1 warning has been found!\n\nWARNING: x\n\
                      dir/Dockerfile:3\nDockerfile: y\n";
        assert_eq!((shown.text.as_str(), shown.status), (expect, 1));
        assert_eq!(ask("check,ignorestatus=true", &found).status, 0);
    }

    #[test]
    fn json_is_the_frontends_own() {
        let shown = ask("check,format=json", &[(JSON, ONE), (STATUS, "1")]);
        assert_eq!((shown.text, shown.status), (format!("{ONE}\n"), 1));
        let shown = ask("outline", &[(JSON, "{}"), (TEXT, "TARGET: a\n")]);
        assert_eq!((shown.text.as_str(), shown.status), ("TARGET: a\n", 0));
    }

    #[test]
    fn a_dockerfile_that_cannot_be_built_is_an_error_with_its_place() {
        let broken = r#"{"warnings":null,"sources":[{"filename":"Dockerfile","data":"RlJPTSBhCkZPTwo="}],
            "buildError":{"message":"unknown instruction: FOO",
                "location":{"ranges":[{"start":{"line":2},"end":{"line":2}}]}}}"#;
        let shown = ask("check,ignorestatus=true", &[(JSON, broken), (STATUS, "1")]);
        assert_eq!((shown.text.as_str(), shown.status), ("", 1));
        let error = shown.error.unwrap();
        assert!(
            error.starts_with("unknown instruction: FOO\ndir/Dockerfile:2\n"),
            "{error}"
        );
        assert!(error.contains("   2 | >>> FOO\n"), "{error}");
    }

    #[test]
    fn the_metadata_has_the_answer_under_the_questions_name() {
        let call = CallSpec::parse("check").unwrap().unwrap();
        let response = [(JSON.to_owned(), ONE.to_owned())].into();
        let json = metadata(&call, &response);
        assert_eq!(json["frontend.lint"]["warnings"][0]["ruleName"], "x");
        assert_eq!(json["result.json"], json["frontend.lint"]);
    }
}
