//! Dockerfiles and contexts that are files on the web: downloaded once, so that every node gets
//! the same bytes.
//!
//! A context of one platform is left to its daemon, as it cannot differ from another one.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::digest::{Digest, Hasher};
use crate::remote::{DownloadError, download, download_to};
use crate::request::{BuildContext, BuildRequest, Dockerfile, NamedSource, RemoteContext};

use super::super::app::App;
use super::super::error::CliError;
use super::stdin::{self, Spooled};
use crate::causes::causes;

/// The most bytes that a Dockerfile from the web may have: what buildx takes of one.
const LIMIT: usize = 2 << 20;

/// Downloads a Dockerfile into a directory of its own.
pub(super) async fn dockerfile(url: &str, app: &App) -> Result<Spooled, CliError> {
    let shown = RemoteContext::Web(url.to_owned()).shown();
    let bytes = download(url, LIMIT)
        .await
        .map_err(|source| CliError::usage(Failed { url: shown, source }))?;
    Spooled::of_dockerfile(&bytes, &temp(app)).map_err(CliError::usage)
}

/// A Dockerfile that did not come.
#[derive(Debug, thiserror::Error)]
#[error("cannot download the Dockerfile {url}")]
struct Failed {
    url: String,
    source: DownloadError,
}

/// The name that the file of a context has, as daemons call it.
const FILE_NAME: &str = "context";

/// What was downloaded; the files live as long as this.
pub(super) struct Fetched {
    pub(super) dirs: Vec<TempDir>,
    /// Why something is left to the daemons after all.
    pub(super) doubts: Vec<String>,
}

/// Why the file of a context is not here.
#[derive(Debug, thiserror::Error)]
enum ContextError {
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error("cannot keep it")]
    Keep(#[from] io::Error),
    #[error("it is zstd data that cannot be used")]
    Unpack(#[from] stdin::StdinError),
}

/// Downloads the contexts that daemons would download each by themselves; puts what came in
/// their place.
///
/// Named ones are downloaded for one platform too: BuildKit 0.24 to 0.29 refuse them.
pub(super) async fn contexts(request: &mut BuildRequest, app: &App) -> Fetched {
    let mut fetched = Fetched {
        dirs: Vec::new(),
        doubts: Vec::new(),
    };
    let temp = temp(app);
    if let BuildContext::Remote(RemoteContext::Web(url)) = request.context.clone()
        && request.platforms.len() > 1
        && let Some((dir, shown)) = fetched.take(fetch(&url, &temp).await, &url)
        && let Some(used) = fetched.take(own(request, dir.path()), &url)
    {
        request.downloaded.insert(FILE_NAME.to_owned(), shown);
        fetched.dirs.extend([Some(dir), used].into_iter().flatten());
    }
    for context in &mut request.named_contexts {
        let NamedSource::Remote(RemoteContext::Web(url)) = &context.source else {
            continue;
        };
        if let Some((dir, shown)) = fetched.take(fetch(url, &temp).await, url) {
            context.source = NamedSource::Directory(dir.path().to_owned());
            request.downloaded.insert(context.name.clone(), shown);
            fetched.dirs.push(dir);
        }
    }
    fetched
}

impl Fetched {
    /// What came, or a doubt in its place.
    fn take<T>(&mut self, came: Result<T, ContextError>, url: &str) -> Option<T> {
        let shown = RemoteContext::Web(url.to_owned()).shown();
        came.map_err(|error| {
            self.doubts.push(format!(
                "every node downloads {shown} by itself, and may get another one, since it was \
                 not downloaded here: {}",
                causes(&error)
            ));
        })
        .ok()
    }
}

/// Makes the file in `dir` the build's own context; gives what else has to be kept.
///
/// As daemons do: an archive is unpacked, anything else is a Dockerfile.
fn own(request: &mut BuildRequest, dir: &Path) -> Result<Option<TempDir>, ContextError> {
    let path = dir.join(FILE_NAME);
    if stdin::is_archive(File::open(&path)?)? {
        let zstd = stdin::unpacked(File::open(&path)?, dir)?;
        let archive = zstd.as_ref().map_or(path, Spooled::path);
        request.context = BuildContext::Archive(archive);
        return Ok(zstd.map(|spooled| spooled.dir));
    }
    request.context = BuildContext::Directory(dir.to_owned());
    if let Dockerfile::InContext(_) = request.dockerfile {
        request.dockerfile = Dockerfile::Local {
            dir: dir.to_owned(),
            name: FILE_NAME.to_owned(),
        };
    }
    Ok(None)
}

/// Downloads a file into a directory of its own; also gives its address with its digest.
async fn fetch(url: &str, temp: &Path) -> Result<(TempDir, String), ContextError> {
    let dir = tempfile::Builder::new()
        .prefix("mbuild-web-")
        .tempdir_in(temp)?;
    let mut into = Hashed {
        file: File::create_new(dir.path().join(FILE_NAME))?,
        hasher: Hasher::new(),
    };
    download_to(url, &mut into).await?;
    let digest: Digest = into.hasher.finish();
    let shown = RemoteContext::Web(url.to_owned()).shown();
    Ok((dir, format!("{shown}@{digest}")))
}

fn temp(app: &App) -> PathBuf {
    app.var("TMPDIR")
        .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// A file whose digest is computed while it is written.
struct Hashed {
    file: File,
    hasher: Hasher,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
