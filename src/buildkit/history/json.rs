//! A record as JSON, in the form that bundles of build records have.
//!
//! The names of members are those of BuildKit's messages as Go's `encoding/json` writes them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::solve::ExporterSpec;
use super::record::{Blob, BuildRecord, ResultInfo};

impl BuildRecord {
    /// Makes the JSON of a bundle's record; `default_platform` is the daemon's own.
    pub fn to_json(&self, default_platform: &str) -> Value {
        let mut root = Map::new();
        let mut put = |key: &str, value: Value| {
            if !is_zero(&value) {
                root.insert(key.to_owned(), value);
            }
        };
        put("Ref", json!(self.reference));
        put("Frontend", json!(self.frontend));
        put("FrontendAttrs", json!(self.attrs));
        put("Exporters", self.exporters.iter().map(exporter).collect());
        if let Some(error) = &self.error {
            put(
                "error",
                json!({"code": error.code, "message": error.message}),
            );
        }
        put("CreatedAt", time(self.created));
        put("CompletedAt", time(self.completed));
        put("logs", optional(self.logs.as_ref()));
        put("ExporterResponse", json!(self.response));
        put("Result", self.result.as_ref().map_or(Value::Null, info));
        let results = self.results.iter();
        let results: Map<String, Value> = results
            .map(|(platform, result)| (platform.clone(), info(result)))
            .collect();
        put("Results", Value::Object(results));
        put("Generation", json!(self.generation));
        put("trace", optional(self.trace.as_ref()));
        put("pinned", json!(self.pinned));
        put("numCachedSteps", json!(self.steps.cached));
        put("numTotalSteps", json!(self.steps.total));
        put("numCompletedSteps", json!(self.steps.completed));
        put("externalError", optional(self.external_error.as_ref()));
        put("numWarnings", json!(self.warnings));
        // Go writes this one even when it is empty.
        root.insert("DefaultPlatform".to_owned(), json!(default_platform));
        Value::Object(root)
    }
}

/// Go leaves out what has its zero value.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

fn exporter(exporter: &ExporterSpec) -> Value {
    let mut json = json!({"Type": exporter.kind});
    if !exporter.attrs.is_empty() {
        json["Attrs"] = json!(exporter.attrs);
    }
    json
}

fn time(at: Option<Timestamp>) -> Value {
    let Some(at) = at else { return Value::Null };
    let nanos = at.subsec_nanosecond();
    match nanos {
        0 => json!({"seconds": at.as_second()}),
        nanos => json!({"seconds": at.as_second(), "nanos": nanos}),
    }
}

fn optional(blob: Option<&Blob>) -> Value {
    blob.map_or(Value::Null, descriptor)
}

fn descriptor(blob: &Blob) -> Value {
    let mut json = json!({
        "media_type": blob.media_type, "digest": blob.digest, "size": blob.size,
    });
    if !blob.annotations.is_empty() {
        json["annotations"] = json!(blob.annotations);
    }
    json
}

fn info(info: &ResultInfo) -> Value {
    let mut json = Map::new();
    if let Some(first) = &info.first {
        json.insert("ResultDeprecated".to_owned(), descriptor(first));
    }
    if !info.attestations.is_empty() {
        let attestations = info.attestations.iter().map(descriptor).collect();
        json.insert("Attestations".to_owned(), attestations);
    }
    if !info.results.is_empty() {
        let results: BTreeMap<String, Value> = info
            .results
            .iter()
            .map(|(id, blob)| (id.to_string(), descriptor(blob)))
            .collect();
        json.insert("Results".to_owned(), json!(results));
    }
    Value::Object(json)
}

#[cfg(test)]
mod tests {
    use super::super::record::{RecordError, Steps};
    use super::*;

    #[test]
    fn members_are_gos_and_zeros_are_left_out() {
        let blob = Blob {
            media_type: "m".into(),
            digest: "sha256:0".into(),
            size: 3,
            ..Blob::default()
        };
        let result = ResultInfo {
            results: [(0, blob.clone())].into(),
            ..ResultInfo::default()
        };
        let record = BuildRecord {
            reference: "r".into(),
            attrs: [("filename".to_owned(), "Dockerfile".to_owned())].into(),
            error: Some(RecordError {
                code: 2,
                message: "no".into(),
            }),
            created: Timestamp::new(5, 7).ok(),
            logs: Some(blob),
            result: Some(result),
            steps: Steps {
                total: 4,
                ..Steps::default()
            },
            ..BuildRecord::default()
        };
        let blob = json!({"media_type": "m", "digest": "sha256:0", "size": 3});
        assert_eq!(
            record.to_json("linux/amd64"),
            json!({
                "Ref": "r", "FrontendAttrs": {"filename": "Dockerfile"},
                "error": {"code": 2, "message": "no"},
                "CreatedAt": {"seconds": 5, "nanos": 7},
                "logs": blob, "Result": {"Results": {"0": blob}},
                "numTotalSteps": 4, "DefaultPlatform": "linux/amd64",
            })
        );
    }
}
