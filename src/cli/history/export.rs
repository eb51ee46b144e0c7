//! `history export`: records as a file that Docker Desktop imports.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::super::app::App;
use super::super::daemons::{Daemons, Failures, ReachArgs, ask_error};
use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::builds::{Build, Status, Unit};
use super::bundle::{Bundle, wanted};
use super::logs::after;
use super::query::{Wanted, builds, find};
use crate::buildkit::AskError;
use crate::buildkit::history::{Listing, read_blob};
use crate::config::Settings;
use crate::digest::Digest;

/// Write builds' records to a file that Docker Desktop imports (.dockerbuild)
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ExportArgs {
    /// Builds' ids, BUILDER/NODE/REF, or ^N for the one N before the latest [default: ^0]
    #[arg(value_name = "REF", conflicts_with = "all")]
    references: Vec<String>,
    /// File to write [default: stdout, unless that is a terminal]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write all builds that have ended
    #[arg(long)]
    all: bool,
    /// Accepted for buildx's sake: traces are left out
    #[arg(long, hide = true)]
    finalize: bool,
    #[command(flatten)]
    reach: ReachArgs,
}

pub(super) async fn export(args: &ExportArgs, settings: &Settings, app: &App) -> CommandResult {
    if args.output.is_none() && app.stdout_is_terminal {
        let text = "the file is not for a terminal";
        return Err(CliError::usage(text).hint("-o FILE names one"));
    }
    let mut references: Vec<Option<&str>> =
        args.references.iter().map(|text| Some(&**text)).collect();
    if references.is_empty() {
        references.push(None);
    }
    let wanted: Result<Vec<Wanted>, CliError> = references.into_iter().map(Wanted::parse).collect();
    let wanted = wanted?;
    let (daemons, mut failures) = Daemons::open(&args.reach, settings, app).await?;
    let found = match chosen(args.all, &wanted, &daemons, &mut failures).await {
        Ok(found) => found,
        Err(error) => return Err(after(&failures, error, app)),
    };
    let mut bundle = Bundle::default();
    for unit in found.iter().flat_map(|build| &build.units) {
        match blobs(unit, &daemons).await {
            Ok(blobs) => bundle.add(&unit.record, &default_platform(unit, &daemons), blobs),
            // Half a build's records would pass for all of them.
            Err(error) => {
                failures.add(&unit.place, ask_error(error));
                let error = CliError::config("nothing was written");
                return Err(after(&failures, error, app));
            }
        }
    }
    match &args.output {
        Some(file) => to_file(bundle, &app.path(file))?,
        None => bundle
            .write(io::stdout().lock())
            .map_err(|error| CliError::new(Exit::Publish, error))?,
    }
    Ok(failures.tell(app))
}

async fn chosen(
    all: bool,
    wanted: &[Wanted],
    daemons: &Daemons,
    failures: &mut Failures,
) -> Result<Vec<Build>, CliError> {
    let mut found = Vec::new();
    if all {
        found = builds(daemons, &Listing::default(), failures).await;
        found.retain(|build| build.status() != Status::Running);
        if found.is_empty() {
            return Err(CliError::usage("no build that has ended is on record"));
        }
        return Ok(found);
    }
    for wanted in wanted {
        let build = find(daemons, wanted, failures).await?;
        if build.status() == Status::Running {
            let text = format!("build `{}` still runs", build.id);
            return Err(CliError::usage(text));
        }
        found.push(build);
    }
    Ok(found)
}

type Blobs = Vec<(super::bundle::Wanted, Vec<u8>)>;

/// Reads what a record's daemon still has of its blobs.
async fn blobs(unit: &Unit, daemons: &Daemons) -> Result<Blobs, AskError> {
    let connection = &daemons.list[unit.daemon].connection;
    let mut blobs = Vec::new();
    for wanted in wanted(&unit.record) {
        let Ok(digest) = Digest::parse(&wanted.blob.digest) else {
            continue;
        };
        if let Some(bytes) = read_blob(connection, &digest).await? {
            blobs.push((wanted, bytes));
        }
    }
    Ok(blobs)
}

fn default_platform(unit: &Unit, daemons: &Daemons) -> String {
    let info = daemons.list[unit.daemon].connection.info();
    let worker = info.default_worker();
    let platform = worker.and_then(|worker| worker.platforms.first());
    platform.map(ToString::to_string).unwrap_or_default()
}

/// Writes a file that is there whole or not at all.
fn to_file(bundle: Bundle, path: &Path) -> Result<(), CliError> {
    let write = || {
        let dir = path.parent().unwrap_or(Path::new("."));
        // What the umask leaves of it: a temporary file would be its owner's alone.
        let mode = Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new()
            .permissions(mode)
            .tempfile_in(dir)?;
        bundle.write(&mut file)?;
        file.flush()?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(|source| {
        let path = path.to_owned();
        CliError::new(Exit::Publish, Unwritable { path, source })
    })
}

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
struct Unwritable {
    path: PathBuf,
    source: io::Error,
}
