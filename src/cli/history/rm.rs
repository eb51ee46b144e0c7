//! `history rm`: forgets builds on all their nodes.

use super::super::app::App;
use super::super::daemons::{Daemon, Daemons, Failures, ReachArgs, ask_error};
use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::builds::{Build, Status};
use super::logs::after;
use super::query::{Wanted, builds, find};
use crate::buildkit::history::{Listing, forget};
use crate::config::Settings;

/// Forget builds
#[derive(Debug, Clone, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["references", "all"])))]
pub(super) struct RmArgs {
    /// Builds' ids, BUILDER/NODE/REF, or ^N for the one N before the latest
    #[arg(value_name = "REF")]
    references: Vec<String>,
    /// Forget all builds that have ended, on every node and pod
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    reach: ReachArgs,
}

pub(super) async fn rm(args: &RmArgs, settings: &Settings, app: &App) -> CommandResult {
    let wanted: Result<Vec<Wanted>, CliError> = args
        .references
        .iter()
        .map(|text| Wanted::parse(Some(text)))
        .collect();
    let wanted = wanted?;
    let (daemons, mut failures) = Daemons::open(&args.reach, settings, app).await?;
    // All are found before any is forgotten: `^1` must not move, and a wrong name ends it.
    let found = match args.all {
        true => {
            let mut all = builds(&daemons, &Listing::default(), &mut failures).await;
            all.retain(|build| build.status() != Status::Running);
            all
        }
        false => match named(&wanted, &daemons, &mut failures).await {
            Ok(found) => found,
            Err(error) => return Err(after(&failures, error, app)),
        },
    };
    let gone = forget_all(&found, &daemons, &mut failures).await;
    let text: String = gone
        .iter()
        .map(|reference| format!("{reference}\n"))
        .collect();
    app.print(&text)
        .map_err(|error| CliError::new(Exit::Internal, error))?;
    Ok(failures.tell(app))
}

async fn named(
    wanted: &[Wanted],
    daemons: &Daemons,
    failures: &mut Failures,
) -> Result<Vec<Build>, CliError> {
    let mut found: Vec<Build> = Vec::new();
    for wanted in wanted {
        // A daemon that is gone is told once.
        let mut again = Failures::default();
        let told = if found.is_empty() {
            &mut *failures
        } else {
            &mut again
        };
        let build = find(daemons, wanted, told).await?;
        if build.status() == Status::Running {
            let text = format!("build `{}` still runs", build.id);
            return Err(CliError::usage(text));
        }
        found.push(build);
    }
    Ok(found)
}

/// Forgets the records of builds, on all daemons at once; gives the references that are gone.
async fn forget_all(builds: &[Build], daemons: &Daemons, failures: &mut Failures) -> Vec<String> {
    let question = async |daemon: &Daemon| {
        let units = builds.iter().flat_map(|build| &build.units);
        let mut ends = Vec::new();
        for unit in units.filter(|unit| std::ptr::eq(&daemons.list[unit.daemon], daemon)) {
            let end = forget(&daemon.connection, &unit.record.reference).await;
            ends.push(end.map(|()| unit.record.reference.clone()));
        }
        Ok(ends)
    };
    let mut gone = Vec::new();
    for (daemon, ends) in daemons.ask(question, failures).await {
        for end in ends {
            match end {
                Ok(reference) => gone.push(reference),
                Err(error) => failures.add(&daemon.place, ask_error(error)),
            }
        }
    }
    gone
}
