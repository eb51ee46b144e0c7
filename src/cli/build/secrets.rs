//! Finds where each secret's bytes are: a file that is there, or a variable that is set.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::buildkit::session::{SECRET_LIMIT, SecretSource as Bytes};
use crate::request::{SecretSource, SecretSpec};

use super::super::app::App;
use super::super::error::CliError;
use super::small_file;

/// Resolves every secret; one that is nowhere, or too large, is an error before the build.
pub(super) async fn resolve(
    secrets: &[SecretSpec],
    app: &App,
) -> Result<BTreeMap<String, Bytes>, CliError> {
    let mut found = BTreeMap::new();
    for secret in secrets {
        found.insert(secret.id.clone(), source(secret, app).await?);
    }
    Ok(found)
}

async fn source(secret: &SecretSpec, app: &App) -> Result<Bytes, CliError> {
    let id = &secret.id;
    let failed = |source| {
        CliError::usage(Unusable {
            id: id.clone(),
            source,
        })
    };
    let found = match secret.source() {
        SecretSource::Env(name) => {
            variable(&name, app).unwrap_or_else(|| Err(Why::Unset(name.clone())))
        }
        SecretSource::File(path) => file(app.path(&path)).await,
        SecretSource::Either(name) => match variable(&name, app) {
            Some(found) => found,
            None => {
                let found = file(app.path(Path::new(&name))).await;
                return found.map_err(|why| {
                    failed(why).hint(format!(
                        "name its source: --secret id={id},src=FILE or ,env=VARIABLE"
                    ))
                });
            }
        },
    };
    found.map_err(failed)
}

/// The bytes of a variable; `None` if it is not set.
fn variable(name: &str, app: &App) -> Option<Result<Bytes, Why>> {
    let value = app.env.get(name)?;
    Some(match value.len() {
        ..=SECRET_LIMIT => Ok(Bytes::Value(value.clone().into())),
        size => Err(Why::Large(
            format!("the variable {name}"),
            Some(size as u64),
        )),
    })
}

async fn file(path: PathBuf) -> Result<Bytes, Why> {
    let unreadable = |source| Why::Unreadable(path.clone(), source);
    let large = |size| Why::Large(path.display().to_string(), size);
    let found = std::fs::metadata(&path).map_err(unreadable)?;
    if found.is_dir() {
        return Err(Why::Directory(path));
    }
    if found.len() > SECRET_LIMIT as u64 {
        return Err(large(Some(found.len())));
    }
    if found.is_file() {
        // So that a file without permission is told now, and not by a step.
        std::fs::File::open(&path).map_err(unreadable)?;
        return Ok(Bytes::File(path));
    }
    // A pipe, such as a shell's `<(command)`, can be read only once, and every node asks.
    let bytes = small_file::read(&path, SECRET_LIMIT).await;
    match bytes.map_err(unreadable)? {
        Some(bytes) => Ok(Bytes::Value(bytes.into())),
        None => Err(large(None)),
    }
}

/// A secret that cannot be given.
#[derive(Debug, thiserror::Error)]
#[error("--secret id={id}")]
struct Unusable {
    id: String,
    source: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("the variable {0} is not set")]
    Unset(String),
    #[error("{} is a directory", .0.display())]
    Directory(PathBuf),
    #[error("cannot read {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("{0} holds {size}, and a secret may have {SECRET_LIMIT} bytes",
        size = .1.map_or_else(|| "more".to_owned(), |size| format!("{size} bytes")))]
    Large(String, Option<u64>),
}

#[cfg(test)]
mod tests {
    use super::super::super::app::Global;
    use super::*;

    #[tokio::test]
    async fn a_variable_is_measured_too() {
        let mut app = App::of_process(Global::default()).unwrap();
        let spec = SecretSpec::parse("id=s,env=V").unwrap().unwrap();
        app.env.insert("V".to_owned(), "x".repeat(SECRET_LIMIT));
        assert!(resolve(std::slice::from_ref(&spec), &app).await.is_ok());
        app.env.insert("V".to_owned(), "x".repeat(SECRET_LIMIT + 1));
        let error = resolve(&[spec], &app).await.unwrap_err();
        let expect = "--secret id=s: the variable V holds 512001 bytes, and a secret may have";
        assert!(error.render().contains(expect), "{}", error.render());
    }
}
