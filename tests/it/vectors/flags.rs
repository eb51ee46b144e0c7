//! The values of flags: each is parsed and printed as the JSON that buildx makes of it.

use std::collections::BTreeMap;

use mbuild::attrs::FlagError;
use mbuild::request::{
    AnnotationSpec, AttestKind, AttestSpec, BuildContextSpec, CacheSpec, Entitlement, OutputSpec,
    SecretSpec, SshSpec, attest,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Report, load, null_as_empty};

#[derive(Deserialize)]
struct Record {
    flag: String,
    args: Vec<String>,
    #[serde(default)]
    error: bool,
    #[serde(default)]
    parsed: Value,
}

#[test]
fn flags_parse_as_buildx_has_them() {
    let mut report = Report::new("flags.jsonl");
    for record in load::<Record>(report.name()) {
        let got = parse(&record.flag, &record.args).ok();
        let expect = Some(null_as_empty(record.parsed)).filter(|_| !record.error);
        report.check((record.flag, record.args), &got, &expect);
    }
    report.finish();
}

fn parse(flag: &str, args: &[String]) -> Result<Value, FlagError> {
    match flag {
        "output" => list(args, |arg| {
            Ok(OutputSpec::parse(arg)?.iter().map(output).collect())
        }),
        "cache" => list(args, |arg| {
            let specs = CacheSpec::parse("--cache-from", arg)?;
            Ok(specs
                .iter()
                .map(|spec| object(&spec.attrs, spec.kind.name()))
                .collect())
        }),
        "secret" => list(args, |arg| {
            Ok(SecretSpec::parse(arg)?.iter().map(secret).collect())
        }),
        "ssh" => list(args, |arg| {
            Ok(SshSpec::parse(arg)?.iter().map(ssh).collect())
        }),
        "attest" => list(args, |arg| Ok(vec![attestation(&AttestSpec::parse(arg)?)])),
        "annotation" => {
            let specs = all(args, AnnotationSpec::parse)?;
            Ok(specs
                .into_iter()
                .map(|spec| (spec.attr_name(), Value::from(spec.value)))
                .collect())
        }
        "build-context" => {
            let specs = all(args, |arg| {
                BuildContextSpec::parse(arg).map(|spec| vec![spec])
            })?;
            let pairs = specs.into_iter();
            Ok(pairs
                .map(|spec| (spec.name, Value::from(spec.source.to_string())))
                .collect())
        }
        "allow" => {
            let given = all(args, |arg| {
                Ok(Entitlement::parse(arg)?.into_iter().collect())
            })?;
            let for_daemon: Vec<String> =
                given.iter().filter_map(Entitlement::for_daemon).collect();
            Ok(json!({
                "entitlements": for_daemon,
                "local_delete": given.contains(&Entitlement::LocalDelete),
            }))
        }
        "canonical-sbom" => Ok(attest::from_short_flag(&AttestKind::Sbom, &args[0]).into()),
        "canonical-provenance" => {
            Ok(attest::from_short_flag(&AttestKind::Provenance, &args[0]).into())
        }
        other => panic!("no parser is known here for the flag `{other}`"),
    }
}

fn all<T>(
    args: &[String],
    parse: impl Fn(&str) -> Result<Vec<T>, FlagError>,
) -> Result<Vec<T>, FlagError> {
    let parsed: Result<Vec<Vec<T>>, FlagError> = args.iter().map(|arg| parse(arg)).collect();
    Ok(parsed?.into_iter().flatten().collect())
}

fn list(
    args: &[String],
    parse: impl Fn(&str) -> Result<Vec<Value>, FlagError>,
) -> Result<Value, FlagError> {
    all(args, parse).map(Value::Array)
}

fn object(attrs: &BTreeMap<String, String>, kind: &str) -> Value {
    let mut object: Map<String, Value> = attrs
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().into()))
        .collect();
    object.insert("type".to_owned(), kind.into());
    object.into()
}

/// Makes an object of the members that are there.
fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let present = members
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect())
}

fn output(spec: &OutputSpec) -> Value {
    let mut object = object(&spec.attrs, spec.kind.name());
    if let Some(dest) = &spec.dest {
        object["dest"] = dest.to_string().into();
    }
    object
}

fn secret(spec: &SecretSpec) -> Value {
    members([
        (
            "id",
            Some(&spec.id)
                .filter(|id| !id.is_empty())
                .map(|id| json!(id)),
        ),
        ("src", spec.file.as_ref().map(|file| json!(file))),
        ("env", spec.env.as_ref().map(|env| json!(env))),
    ])
}

fn ssh(spec: &SshSpec) -> Value {
    members([
        ("id", spec.name.as_ref().map(|name| json!(name))),
        (
            "paths",
            Some(&spec.paths)
                .filter(|paths| !paths.is_empty())
                .map(|paths| json!(paths)),
        ),
    ])
}

fn attestation(spec: &AttestSpec) -> Value {
    let mut object = object(&spec.attrs, spec.kind.name());
    if spec.disabled {
        object["disabled"] = true.into();
    }
    object
}
