//! Provenance in the metadata file: whether it is wanted, and in the form that buildx gives it.
//!
//! That form is SLSA 0.2's whatever the daemon recorded; what reads such files knows no other.

use serde_json::{Map, Value, json};

use crate::request::{AttestKind, AttestSpec, RecordedProvenance};
use crate::run::{BuildOutcome, PROVENANCE};

use super::super::app::App;
use super::args::BuildArgs;

/// Says how the build is told in the metadata file: as the environment has it, else in short
/// where the image tells it too.
pub(super) fn wanted(
    args: &BuildArgs,
    attestations: &[AttestSpec],
    app: &App,
) -> Option<RecordedProvenance> {
    args.metadata_file.as_ref()?;
    let attested = attestations
        .iter()
        .any(|spec| spec.kind == AttestKind::Provenance);
    match app.var("BUILDX_METADATA_PROVENANCE") {
        Some("min") => Some(RecordedProvenance::Min),
        Some("max") => Some(RecordedProvenance::Max),
        Some(_) => None,
        None => attested.then_some(RecordedProvenance::Min),
    }
}

/// Adds what daemons recorded: under the platform's name where there are several.
pub(super) fn add(json: &mut Value, outcome: &BuildOutcome, detail: RecordedProvenance) {
    for unit in &outcome.units {
        let output = unit.result.as_ref().ok().filter(|_| outcome.is_built());
        let text = output.and_then(|output| output.response.get(PROVENANCE));
        let Some(predicate) = text.and_then(|text| serde_json::from_str(text).ok()) else {
            continue;
        };
        let key = match outcome.units.len() {
            1 => PROVENANCE.to_owned(),
            _ => format!("{PROVENANCE}/{}", unit.unit.platform),
        };
        json[key] = told(predicate, detail);
    }
}

fn told(predicate: Value, detail: RecordedProvenance) -> Value {
    let mut predicate = match predicate.get("buildDefinition") {
        Some(_) => slsa02(&predicate),
        None => predicate,
    };
    if let (RecordedProvenance::Min, Some(members)) = (detail, predicate.as_object_mut()) {
        members.remove("buildConfig");
        members.remove("metadata");
    }
    predicate
}

/// SLSA 1's predicate in the form of 0.2.
fn slsa02(predicate: &Value) -> Value {
    let definition = &predicate["buildDefinition"];
    let (external, internal) = (
        &definition["externalParameters"],
        &definition["internalParameters"],
    );
    let dependencies = definition["resolvedDependencies"].as_array();
    let materials: Vec<Value> = dependencies
        .into_iter()
        .flatten()
        .map(|one| picked(one, &[("uri", "uri"), ("digest", "digest")]))
        .collect();
    let source = [("uri", "uri"), ("digest", "digest"), ("path", "entryPoint")];
    let mut environment = internal.as_object().cloned().unwrap_or_default();
    environment.remove("buildConfig");
    let platform = environment.remove("builderPlatform");
    environment.insert("platform".to_owned(), platform.unwrap_or_default());
    let mut told = json!({
        "builder": {"id": predicate["runDetails"]["builder"]["id"]},
        "buildType": "https://mobyproject.org/buildkit@v1",
        "materials": materials,
        "invocation": {
            "configSource": picked(&external["configSource"], &source),
            "parameters": external["request"],
            "environment": environment,
        },
    });
    if !internal["buildConfig"].is_null() {
        told["buildConfig"] = internal["buildConfig"].clone();
    }
    if predicate["runDetails"]["metadata"].is_object() {
        told["metadata"] = metadata(&predicate["runDetails"]["metadata"]);
    }
    told
}

fn metadata(of: &Value) -> Value {
    let names = [
        ("invocationId", "buildInvocationID"),
        ("startedOn", "buildStartedOn"),
        ("finishedOn", "buildFinishedOn"),
        (
            "buildkit_metadata",
            "https://mobyproject.org/buildkit@v1#metadata",
        ),
        (
            "buildkit_hermetic",
            "https://mobyproject.org/buildkit@v1#hermetic",
        ),
    ];
    let mut told = picked(of, &names);
    let complete = &of["buildkit_completeness"];
    let is = |value: &Value| value.as_bool().unwrap_or_default();
    told["completeness"] = json!({
        "parameters": is(&complete["request"]),
        "environment": true,
        "materials": is(&complete["resolvedDependencies"]),
    });
    told["reproducible"] = json!(is(&of["buildkit_reproducible"]));
    told
}

/// The members that are there, under other names.
fn picked(of: &Value, names: &[(&str, &str)]) -> Value {
    let members = names.iter().filter_map(|(from, to)| {
        let value = of.get(from)?;
        Some(((*to).to_owned(), value.clone()))
    });
    Value::Object(members.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_older_one_whatever_was_recorded() {
        let recorded = json!({
            "buildDefinition": {
                "buildType": "x",
                "externalParameters": {
                    "configSource": {"path": "Dockerfile"},
                    "request": {"frontend": "dockerfile.v0"},
                },
                "internalParameters": {"buildConfig": {"b": 1}, "builderPlatform": "linux/amd64"},
                "resolvedDependencies": [{"uri": "u", "digest": {"sha256": "d"}, "name": "n"}],
            },
            "runDetails": {
                "builder": {"id": "me"},
                "metadata": {
                    "invocationId": "i",
                    "buildkit_completeness": {"request": true},
                    "buildkit_metadata": {},
                },
            },
        });
        let expect = json!({
            "builder": {"id": "me"},
            "buildType": "https://mobyproject.org/buildkit@v1",
            "materials": [{"uri": "u", "digest": {"sha256": "d"}}],
            "invocation": {
                "configSource": {"entryPoint": "Dockerfile"},
                "parameters": {"frontend": "dockerfile.v0"},
                "environment": {"platform": "linux/amd64"},
            },
            "buildConfig": {"b": 1},
            "metadata": {
                "buildInvocationID": "i",
                "completeness": {"parameters": true, "environment": true, "materials": false},
                "reproducible": false,
                "https://mobyproject.org/buildkit@v1#metadata": {},
            },
        });
        assert_eq!(told(recorded.clone(), RecordedProvenance::Max), expect);
        let short = told(recorded, RecordedProvenance::Min);
        assert!(short.get("metadata").is_none() && short.get("buildConfig").is_none());
        let older = told(
            json!({"buildType": "y", "metadata": 1}),
            RecordedProvenance::Min,
        );
        assert_eq!(older, json!({"buildType": "y"}));
    }
}
