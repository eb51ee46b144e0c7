//! The files that a build writes for programs: checked before it starts, written whole.

use std::error::Error;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::super::app::App;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::args::BuildArgs;

/// Refuses files that could not be written in the end. Touches none.
pub(super) fn check(args: &BuildArgs, app: &App) -> Result<(), CliError> {
    let files = [
        ("--metadata-file", &args.metadata_file),
        ("--iidfile", &args.iidfile),
    ];
    for (flag, path) in files {
        let Some(path) = path.as_ref().map(|path| app.path(path)) else {
            continue;
        };
        if path.is_dir() {
            let problem = format!("{flag} {}: it is a directory", path.display());
            return Err(CliError::usage(problem));
        }
        let dir = directory(&path);
        if !dir.is_dir() {
            let problem = format!(
                "{flag} {}: there is no directory {}",
                path.display(),
                dir.display()
            );
            return Err(CliError::usage(problem));
        }
    }
    Ok(())
}

/// Removes the digest that an earlier build left, so that it does not pass for this one's.
pub(super) fn forget(args: &BuildArgs, app: &App) {
    if let Some(path) = &args.iidfile {
        // It need not be there; one that stays is replaced in the end or the build fails.
        drop(std::fs::remove_file(app.path(path)));
    }
}

/// Writes the file whole or not at all.
pub(in crate::cli) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    replace(path, bytes).map_err(|source| {
        let error = NotWritten {
            path: path.to_owned(),
            source: source.into(),
        };
        CliError::new(Exit::Publish, error)
    })
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), std::io::Error> {
    let mut file = tempfile::Builder::new()
        // As any file the user makes: the umask takes away from this.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory(path))
        // The temporary name in its own message helps nobody.
        .map_err(|error| std::io::Error::from(error.kind()))?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// A file of the command line that was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
struct NotWritten {
    path: PathBuf,
    source: Box<dyn Error + Send + Sync>,
}
