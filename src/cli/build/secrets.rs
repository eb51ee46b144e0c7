//! Finds where each secret's bytes are: a file that is there, or a variable that is set.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::buildkit::session::{SECRET_LIMIT, SecretSource as Bytes};
use crate::request::{SecretSource, SecretSpec};

use super::super::app::App;
use super::super::error::CliError;

/// Resolves every secret; one that is nowhere, or too large, is an error before the build.
pub(super) fn resolve(
    secrets: &[SecretSpec],
    app: &App,
) -> Result<BTreeMap<String, Bytes>, CliError> {
    secrets
        .iter()
        .map(|secret| Ok((secret.id.clone(), source(secret, app)?)))
        .collect()
}

fn source(secret: &SecretSpec, app: &App) -> Result<Bytes, CliError> {
    let id = &secret.id;
    match secret.source() {
        SecretSource::Env(name) => variable(&name, app).ok_or_else(|| {
            CliError::usage(format!("--secret id={id}: the variable {name} is not set"))
        }),
        SecretSource::File(path) => file(id, app.path(&path)),
        SecretSource::Either(name) => match variable(&name, app) {
            Some(value) => Ok(value),
            None => file(id, app.path(&PathBuf::from(&name))).map_err(|error| {
                error.hint(format!(
                    "name its source: --secret id={id},src=FILE or ,env=VARIABLE"
                ))
            }),
        },
    }
}

fn variable(name: &str, app: &App) -> Option<Bytes> {
    app.env
        .get(name)
        .map(|value| Bytes::Value(value.clone().into()))
}

fn file(id: &str, path: PathBuf) -> Result<Bytes, CliError> {
    let unreadable = |source| {
        CliError::usage(Unreadable {
            id: id.to_owned(),
            path: path.clone(),
            source,
        })
    };
    let found = std::fs::metadata(&path).map_err(unreadable)?;
    if found.is_dir() {
        return Err(unreadable_directory(id, &path));
    }
    if found.len() > SECRET_LIMIT as u64 {
        return Err(CliError::usage(format!(
            "--secret id={id}: {} holds {} bytes, and a secret may have {SECRET_LIMIT}",
            path.display(),
            found.len()
        )));
    }
    if !found.is_file() {
        return pipe(id, &path).map_err(unreadable);
    }
    Ok(Bytes::File(path))
}

/// A pipe, such as a shell's `<(command)`, can be read only once, and every node asks.
fn pipe(id: &str, path: &Path) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    let limit = SECRET_LIMIT as u64 + 1;
    std::fs::File::open(path)?
        .take(limit)
        .read_to_end(&mut bytes)?;
    if bytes.len() > SECRET_LIMIT {
        let problem = format!("--secret id={id}: a secret may have {SECRET_LIMIT} bytes");
        return Err(std::io::Error::other(problem));
    }
    Ok(Bytes::Value(bytes.into()))
}

fn unreadable_directory(id: &str, path: &Path) -> CliError {
    CliError::usage(format!(
        "--secret id={id}: {} is a directory",
        path.display()
    ))
}

/// A secret's file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--secret id={id}: cannot read {}", path.display())]
struct Unreadable {
    id: String,
    path: PathBuf,
    source: std::io::Error,
}
