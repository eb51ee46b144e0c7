//! Finds the context and the Dockerfile that CONTEXT and `--file` name.
//!
//! What comes on stdin is kept in temporary files that live as long as [`Source`].

use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::request::{BuildContext, Dockerfile};

use super::super::app::App;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::interrupt::Stdin;
use super::stdin::{self, Spooled, StdinKind};

/// The name a Dockerfile has when none is given.
const DEFAULT_NAME: &str = "Dockerfile";

/// Where a build's files come from.
#[derive(Debug)]
pub(super) struct Source {
    /// The files.
    pub(super) context: BuildContext,
    /// The Dockerfile.
    pub(super) dockerfile: Dockerfile,
    /// Keeps what came on stdin until the build is over.
    _spooled: Option<Spooled>,
}

/// Finds both; reads stdin to its end, or to an interruption, when one of them is `-`.
pub(super) fn find(
    context: &str,
    file: Option<&str>,
    app: &App,
    interrupt: &CancellationToken,
) -> Result<Source, CliError> {
    let file = file.filter(|file| !file.is_empty());
    match (context, file) {
        ("-", Some("-")) => Err(CliError::usage(
            "the context and the Dockerfile cannot both come on stdin",
        )),
        ("-", file) => context_on_stdin(file, app, interrupt),
        (remote, _) if is_remote(remote) => Err(CliError::usage(format!(
            "the context {remote} is a URL, which is not supported yet"
        ))
        .hint("clone or download it first, and give its directory")),
        (_, Some(remote)) if is_remote(remote) && remote.contains("://") => Err(CliError::usage(
            format!("the Dockerfile {remote} is a URL, which is not supported yet"),
        )
        .hint("download it first, or pipe it in with -f -")),
        (directory, Some("-")) => {
            let context = BuildContext::Directory(self::directory(directory, app)?);
            let spooled = read_stdin(app, interrupt)?;
            if spooled.kind == StdinKind::Archive {
                return Err(CliError::usage("-f -: stdin holds a tar, not a Dockerfile"));
            }
            Ok(with_spooled(context, spooled))
        }
        (directory, file) => {
            let directory = self::directory(directory, app)?;
            let dockerfile = match file {
                Some(file) => dockerfile(&app.path(Path::new(file)))?,
                None => default_dockerfile(&directory)?,
            };
            Ok(Source {
                context: BuildContext::Directory(directory),
                dockerfile,
                _spooled: None,
            })
        }
    }
}

fn context_on_stdin(
    file: Option<&str>,
    app: &App,
    interrupt: &CancellationToken,
) -> Result<Source, CliError> {
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

/// Whether buildx would take the text for a git repository or a URL.
fn is_remote(text: &str) -> bool {
    text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/")
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
