//! The CI examples as their systems read them: files, YAML, the expressions `${{ … }}` and
//! `{{ … }}` with their values, and the place where a job's checkout lies.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::sandbox::Sandbox;

/// The repository's directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file of the repository.
#[track_caller]
pub(crate) fn file(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Reads YAML.
#[track_caller]
pub(crate) fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A member as text; a boolean or a number as YAML has it.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        other => panic!("no text: {other}"),
    }
}

/// Puts values in place of what stands between `open` and `close`, all of which must be known.
#[track_caller]
pub(crate) fn fill(template: &str, open: &str, close: &str, values: &Values) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(open) {
        let (name, after) = after.split_once(close).unwrap();
        let value = values.get(name.trim());
        filled += before;
        filled += value.unwrap_or_else(|| panic!("{template}: no value of {name}"));
        rest = after;
    }
    filled + rest
}

/// What expressions stand for.
pub(crate) type Values = BTreeMap<String, String>;

/// Makes values of pairs.
pub(crate) fn values(pairs: &[(&str, &str)]) -> Values {
    let pairs = pairs.iter();
    pairs
        .map(|&(name, value)| (name.into(), value.into()))
        .collect()
}

/// Lays `examples/hello` out as the checkout `ws`, built from the image `base`, with one commit;
/// gives that.
pub(crate) fn check_out(sandbox: &Sandbox) -> String {
    for name in ["Dockerfile", ".dockerignore", "greeting.sh"] {
        let text = file(&format!("examples/hello/{name}"));
        let text = text.replace("=busybox", &sandbox.with_base("=BASE"));
        sandbox.write(&format!("ws/{name}"), text);
    }
    let commands = "git init -q && git add . && \
        git -c user.name=a -c user.email=a@example -c commit.gpgsign=false commit -qm one && \
        git rev-parse HEAD";
    let ran = sandbox
        .shell("bash", &["-ec", commands])
        .cwd(sandbox.path("ws"))
        .run()
        .exits(0);
    ran.out().trim().to_owned()
}
