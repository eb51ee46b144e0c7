//! A Dockerfile that is a URL: downloaded once, so that every node gets the same one.

use std::path::PathBuf;

use crate::remote::{DownloadError, download};
use crate::request::RemoteContext;

use super::super::app::App;
use super::super::error::CliError;
use super::stdin::Spooled;

/// The most bytes that a Dockerfile from the web may have: what buildx takes of one.
const LIMIT: usize = 2 << 20;

/// Downloads a Dockerfile into a directory of its own.
pub(super) async fn dockerfile(url: &str, app: &App) -> Result<Spooled, CliError> {
    let shown = RemoteContext::Web(url.to_owned()).shown();
    let bytes = download(url, LIMIT)
        .await
        .map_err(|source| CliError::usage(Failed { url: shown, source }))?;
    let temp = app
        .var("TMPDIR")
        .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    Spooled::of_dockerfile(&bytes, &temp).map_err(CliError::usage)
}

/// A Dockerfile that did not come.
#[derive(Debug, thiserror::Error)]
#[error("cannot download the Dockerfile {url}")]
struct Failed {
    url: String,
    source: DownloadError,
}
