//! Finds the context and the Dockerfile that CONTEXT and `--file` name.
//!
//! What comes on stdin, or from the web, is kept in temporary files that live as long as
//! [`Source`]. A context that is a URL is left to the daemons.

use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::request::remote::without_password;
use crate::request::{BuildContext, Dockerfile, GitError, RemoteContext, is_remote, is_web};

use super::super::app::App;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::interrupt::Stdin;
use super::stdin::{self, Spooled, StdinKind};
use super::web;

/// The name a Dockerfile has when none is given.
const DEFAULT_NAME: &str = "Dockerfile";

/// Where a build's files come from.
#[derive(Debug)]
pub(super) struct Source {
    /// The files.
    pub(super) context: BuildContext,
    /// The Dockerfile.
    pub(super) dockerfile: Dockerfile,
    /// Keeps what came on stdin, or from the web, until the build is over.
    _spooled: Option<Spooled>,
}

/// Finds both; reads stdin to its end, or to an interruption, when one of them is `-`, and
/// downloads a Dockerfile that is a URL.
pub(super) async fn find(
    context: &str,
    file: Option<&str>,
    app: &App,
    interrupt: &CancellationToken,
) -> Result<Source, CliError> {
    let file = file.filter(|file| !file.is_empty());
    if context == "-" {
        return context_on_stdin(file, app, interrupt).await;
    }
    let context = named(context, app)?;
    let dockerfile = match (file, &context) {
        (Some("-"), _) => {
            let spooled = read_stdin(app, interrupt)?;
            if spooled.kind == StdinKind::Archive {
                return Err(CliError::usage("-f -: stdin holds a tar, not a Dockerfile"));
            }
            return Ok(with_spooled(context, spooled));
        }
        (Some(url), _) if is_web(url) => {
            return Ok(with_spooled(context, web::dockerfile(url, app).await?));
        }
        // As with buildx: only a whole path is one of this machine.
        (Some(path), BuildContext::Remote(_)) if !Path::new(path).is_absolute() => {
            Dockerfile::InContext(path.to_owned())
        }
        (Some(path), _) => dockerfile(&app.path(Path::new(path)))?,
        (None, BuildContext::Directory(directory)) => default_dockerfile(directory)?,
        (None, _) => Dockerfile::InContext(DEFAULT_NAME.to_owned()),
    };
    Ok(Source {
        context,
        dockerfile,
        _spooled: None,
    })
}

/// The context that a word names.
fn named(text: &str, app: &App) -> Result<BuildContext, CliError> {
    if is_remote(text) {
        let remote = RemoteContext::parse(text).map_err(|source| {
            CliError::usage(NotUnderstood {
                text: without_password(text),
                source,
            })
        })?;
        return Ok(BuildContext::Remote(remote));
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let problem = format!("the context {text}: nothing is known of {scheme} addresses");
        return Err(CliError::usage(problem).hint("git, http, https and ssh are known"));
    }
    directory(text, app).map(BuildContext::Directory)
}

async fn context_on_stdin(
    file: Option<&str>,
    app: &App,
    interrupt: &CancellationToken,
) -> Result<Source, CliError> {
    if file == Some("-") {
        return Err(CliError::usage(
            "the context and the Dockerfile cannot both come on stdin",
        ));
    }
    let spooled = read_stdin(app, interrupt)?;
    match (spooled.kind, file) {
        (StdinKind::Dockerfile, None) => Ok(with_spooled(BuildContext::Empty, spooled)),
        (StdinKind::Dockerfile, Some(file)) => Err(CliError::usage(format!(
            "stdin holds a Dockerfile, and -f {file} names another"
        ))),
        (StdinKind::Archive, file) => Ok(Source {
            context: BuildContext::Archive(spooled.path()),
            dockerfile: Dockerfile::InContext(file.unwrap_or(DEFAULT_NAME).to_owned()),
            _spooled: Some(spooled),
        }),
    }
}

fn read_stdin(app: &App, interrupt: &CancellationToken) -> Result<Spooled, CliError> {
    if app.stdin_is_terminal {
        return Err(CliError::usage(
            "stdin is a terminal: pipe a Dockerfile or a tar into it",
        ));
    }
    let temp = app
        .var("TMPDIR")
        .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let stdin = Stdin::open(interrupt).map_err(|error| CliError::new(Exit::Internal, error))?;
    stdin::spool(stdin, &temp).map_err(CliError::usage)
}

fn with_spooled(context: BuildContext, spooled: Spooled) -> Source {
    let dockerfile = Dockerfile::Local {
        dir: spooled.dir.path().to_owned(),
        name: spooled.name.to_owned(),
    };
    Source {
        context,
        dockerfile,
        _spooled: Some(spooled),
    }
}

fn directory(text: &str, app: &App) -> Result<PathBuf, CliError> {
    let path = app.path(Path::new(text));
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(path),
        Ok(_) => Err(
            CliError::usage(format!("the context {text} is not a directory"))
                .hint("a tar or a Dockerfile can be piped in: mbuild - < FILE"),
        ),
        Err(source) => Err(CliError::usage(NotFound {
            what: "context",
            path: text.into(),
            source,
        })),
    }
}

fn dockerfile(path: &Path) -> Result<Dockerfile, CliError> {
    let missing = |source| {
        CliError::usage(NotFound {
            what: "Dockerfile",
            path: path.to_owned(),
            source,
        })
    };
    if std::fs::metadata(path).map_err(missing)?.is_dir() {
        let problem = format!("the Dockerfile {} is a directory", path.display());
        return Err(CliError::usage(problem));
    }
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    match (path.parent(), name) {
        (Some(dir), Some(name)) => Ok(Dockerfile::Local {
            dir: dir.to_owned(),
            name,
        }),
        _ => Err(CliError::usage(format!(
            "the Dockerfile {} has no name",
            path.display()
        ))),
    }
}

/// `Dockerfile`, or `dockerfile` where only that is there.
fn default_dockerfile(directory: &Path) -> Result<Dockerfile, CliError> {
    let lower = directory.join(DEFAULT_NAME.to_ascii_lowercase());
    let upper = directory.join(DEFAULT_NAME);
    if !upper.exists() && lower.exists() {
        return dockerfile(&lower);
    }
    dockerfile(&upper).map_err(|error| error.hint("name it with -f FILE"))
}

/// A path of the command line that is not there.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the {what} {}", path.display())]
struct NotFound {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A repository's address that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the context {text}")]
struct NotUnderstood {
    text: String,
    source: GitError,
}
