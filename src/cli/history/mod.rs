//! `mbuild history`: the builds that all daemons of a builder have on record.
//!
//! What several daemons keep of one build is shown as one. A daemon that does not answer is
//! told by name, and the others' records are shown all the same.

mod attachments;
mod builds;
mod bundle;
mod details;
mod export;
mod filter;
mod inspect;
mod logs;
mod ls;
mod name;
mod query;
mod rm;
mod text;

use clap::Subcommand;

use super::app::App;
use super::error::{CliError, CommandResult};
use crate::config::Settings;

/// Show the builds that nodes have on record: list, logs, details
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HistoryArgs {
    #[command(subcommand)]
    command: HistoryCommand,
}

/// What can be done with builds on record. REF is a build's id, `BUILDER/NODE/REF` as in a
/// metadata file, or `^N` for the one N before the latest.
#[derive(Debug, Clone, Subcommand)]
enum HistoryCommand {
    /// List builds, each with its nodes
    Ls(ls::LsArgs),
    /// Print what a build's steps said, on stdout
    Logs(logs::LogsArgs),
    /// Show all that is on record of a build, on all its nodes
    Inspect(inspect::InspectArgs),
    /// Forget builds
    Rm(rm::RmArgs),
    /// Write builds' records to a file that Docker Desktop imports (.dockerbuild)
    Export(export::ExportArgs),
    /// Does not exist here
    #[command(hide = true)]
    Trace(AbsentArgs),
    /// Does not exist here
    #[command(hide = true)]
    Open(AbsentArgs),
    /// Does not exist here
    #[command(hide = true)]
    Import(AbsentArgs),
}

/// Whatever stands behind a command that does not exist.
#[derive(Debug, Clone, clap::Args)]
struct AbsentArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

/// Does what `mbuild history` was told.
pub(super) async fn run(args: &HistoryArgs, settings: &Settings, app: &App) -> CommandResult {
    match &args.command {
        HistoryCommand::Ls(args) => ls::ls(args, settings, app).await,
        HistoryCommand::Logs(args) => logs::logs(args, settings, app).await,
        HistoryCommand::Inspect(args) => inspect::run(args, settings, app).await,
        HistoryCommand::Rm(args) => rm::rm(args, settings, app).await,
        HistoryCommand::Export(args) => export::export(args, settings, app).await,
        HistoryCommand::Trace(_) => Err(absent("trace", "`history inspect` has steps and times")),
        HistoryCommand::Open(_) => Err(absent("open", "it would open Docker Desktop")),
        HistoryCommand::Import(_) => Err(absent("import", "it would import into Docker Desktop")),
    }
}

/// buildx's commands around Docker Desktop and its viewer of traces.
fn absent(command: &str, why: &str) -> CliError {
    CliError::usage(format!("there is no `history {command}` here")).hint(why)
}
