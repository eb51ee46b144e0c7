//! The contexts of `--build-context`: directories that are there, names that can be images'.

use std::path::PathBuf;

use crate::attrs::FlagError;
use crate::oci::layout::{Layout, LayoutError};
use crate::reference::{ImageRef, ReferenceError};
use crate::request::{
    BuildContextSpec, ContextSource, GitError, NamedContext, NamedSource, RemoteContext,
};

use super::super::super::app::App;
use super::super::super::error::CliError;

/// The tag of an image that is given none.
const LATEST: &str = "latest";

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--build-context {name}={shown}")]
struct Unusable {
    name: String,
    shown: String,
    source: Why,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    Git(GitError),
    #[error("this is no image name")]
    Image(#[source] ReferenceError),
    #[error("cannot use the directory {}", path.display())]
    Directory {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is not a directory", .0.display())]
    NotDirectory(PathBuf),
    #[error("`{0}` is no digest")]
    Digest(String),
    #[error(transparent)]
    Layout(LayoutError),
    #[error("it has no value")]
    Empty,
    #[error("nothing is known of such addresses")]
    Scheme,
    #[error("a target is a context in bake files only")]
    Target,
}

/// Finds all of them; of a name that is given twice the last one counts.
pub(super) fn contexts(values: &[String], app: &App) -> Result<Vec<NamedContext>, CliError> {
    let mut contexts: Vec<NamedContext> = Vec::new();
    for value in values {
        let spec = BuildContextSpec::parse(value).map_err(|error: FlagError| {
            let form = matches!(error, FlagError::Form { .. });
            let error = CliError::usage(error);
            match form {
                true => error.hint("such as --build-context src=../src"),
                false => error,
            }
        })?;
        let context = find(spec, app)?;
        contexts.retain(|other| other.name != context.name);
        contexts.push(context);
    }
    Ok(contexts)
}

fn find(spec: BuildContextSpec, app: &App) -> Result<NamedContext, CliError> {
    let shown = match &spec.source {
        ContextSource::Remote(text) => RemoteContext::Web(text.clone()).shown(),
        other => other.to_string(),
    };
    let name = spec.name;
    match source(spec.source, app) {
        Ok(source) => Ok(NamedContext { name, source }),
        Err(source) => Err(CliError::usage(Unusable {
            name,
            shown,
            source,
        })),
    }
}

fn source(source: ContextSource, app: &App) -> Result<NamedSource, Why> {
    match source {
        ContextSource::Directory(path) => directory(path, app).map(NamedSource::Directory),
        ContextSource::Remote(text) => RemoteContext::parse(&text)
            .map(NamedSource::Remote)
            .map_err(Why::Git),
        ContextSource::Image(name) => ImageRef::parse(&name)
            .map(NamedSource::Image)
            .map_err(Why::Image),
        ContextSource::OciLayout(place) => layout(&place, app),
        ContextSource::Target(_) => Err(Why::Target),
    }
}

/// Finds an image in a layout, and sees whether its manifest is what it should be.
fn layout(place: &str, app: &App) -> Result<NamedSource, Why> {
    let (rest, digest) = cut(place, '@');
    let (dir, tag) = cut(rest, ':');
    let dir = directory(PathBuf::from(dir), app)?;
    let layout = Layout::open(&dir).map_err(Why::Layout)?;
    let found = match (digest, tag) {
        (Some(text), _) => {
            let digest = text.parse().map_err(|_| Why::Digest(text.to_owned()))?;
            layout.find_digest(digest)
        }
        (None, Some(tag)) => layout.find(tag),
        // The name that an image has by itself, or the only image that there is.
        (None, None) => layout.find(LATEST).or_else(|_| layout.only()),
    };
    let found = found.map_err(Why::Layout)?;
    layout.read_manifest(&found).map_err(Why::Layout)?;
    Ok(NamedSource::Layout {
        dir,
        digest: found.digest,
    })
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn directory(path: PathBuf, app: &App) -> Result<PathBuf, Why> {
    if path.as_os_str().is_empty() {
        return Err(Why::Empty);
    }
    if path.to_string_lossy().contains("://") {
        return Err(Why::Scheme);
    }
    let path = app.path(&path);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(path),
        Ok(_) => Err(Why::NotDirectory(path)),
        Err(source) => Err(Why::Directory { path, source }),
    }
}
