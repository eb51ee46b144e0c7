//! The command line: the only layer that prints, exits and looks at the process.
//!
//! [`main`] is the program. A subcommand has a file of its own: its arguments, and `run`.

pub mod app;
pub mod build;
pub mod builder;
mod cache;
pub mod context;
mod daemons;
pub mod dial_stdio;
mod display;
pub mod error;
pub mod exit;
mod format;
mod git;
mod history;
mod human;
pub mod manifest;
mod registries;
mod table;
mod words;

use std::panic;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use app::{App, Global};
use error::{CliError, CommandResult};
use exit::Exit;

use crate::progress;

/// Build container images natively for each platform, on BuildKit nodes of its own kind
#[derive(Debug, Parser)]
#[command(
    name = "mbuild",
    version,
    max_term_width = 100,
    subcommand_required = false
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build an image, or files, for one or several platforms; the word may be left out
    #[command(visible_alias = "b")]
    Build(Box<build::BuildArgs>),
    /// Show and choose builders
    Builder(builder::BuilderArgs),
    /// List what a build would send to its nodes
    Context(context::ContextArgs),
    /// Show what the caches of all nodes and pods hold; with --verbose, all of each entry
    Du(cache::DuArgs),
    /// Free the caches of all nodes and pods; with --verbose, tell all of each entry that went
    Prune(cache::PruneArgs),
    /// Show the builds that nodes have on record: list, logs, details
    History(history::HistoryArgs),
    /// Connect stdin and stdout to a node's daemon
    DialStdio(dial_stdio::DialStdioArgs),
    /// Join images into one, look into them, copy them between registries and layouts
    Manifest(manifest::ManifestArgs),
    /// See `mbuild manifest`
    #[command(hide = true)]
    Imagetools(manifest::ImagetoolsArgs),
    #[command(flatten)]
    Buildx(builder::BuildxCommand),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // A panic must not leave the terminal without a cursor.
        progress::restore_terminal();
        report(info);
    }));
    let exit = panic::catch_unwind(run).unwrap_or(Exit::Internal);
    ExitCode::from(exit.code())
}

fn run() -> Exit {
    let mut command = Cli::command();
    let names: Vec<String> = command
        .get_subcommands()
        .flat_map(|sub| {
            sub.get_name_and_visible_aliases()
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .chain(["help".to_owned()])
        .collect();
    let words = words::with_subcommand(std::env::args_os().collect(), &names);
    let cli = match command
        .try_get_matches_from_mut(words)
        .and_then(|m| Cli::from_arg_matches(&m))
    {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data; everything else is a usage error.
            let code = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            drop(error.print());
            return code;
        }
    };
    start(cli)
}

fn start(cli: Cli) -> Exit {
    let app = match App::of_process(cli.global) {
        Ok(app) => app,
        Err(_) => return Exit::Internal,
    };
    app.start_log();
    let Some(command) = cli.command else {
        drop(Cli::command().print_help());
        return Exit::Done;
    };
    let result = match rustls::crypto::ring::default_provider().install_default() {
        Ok(()) => in_runtime(&command, &app),
        Err(_) => Err(CliError::new(
            Exit::Internal,
            "the TLS library was set up twice",
        )),
    };
    result.unwrap_or_else(|error| {
        app.say(&error.render());
        error.exit
    })
}

/// How long the end waits for threads; one that reads a dead file system must not hold it up.
const LAST_WRITES: Duration = Duration::from_millis(500);
/// Threads that serve connections. More only hand work to and fro: with four, 1 GiB to two
/// daemons took 47,000 context switches, with two 29,000, and no less time.
const WORKERS: usize = 2;

fn in_runtime(command: &Command, app: &App) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::Internal, error))?;
    let result = runtime.block_on(dispatch(command, app));
    // Threads that write something aside remove it when they see that nobody waits for it.
    runtime.shutdown_timeout(LAST_WRITES);
    result
}

async fn dispatch(command: &Command, app: &App) -> CommandResult {
    match command {
        Command::Build(args) => build::run(args, &settings(app)?, app).await,
        Command::Builder(args) => builder::run(args, &settings(app)?, app).await,
        Command::Context(args) => context::run(args, app),
        Command::Du(args) => cache::du(args, &settings(app)?, app).await,
        Command::Prune(args) => cache::prune(args, &settings(app)?, app).await,
        Command::History(args) => history::run(args, &settings(app)?, app).await,
        Command::DialStdio(args) => dial_stdio::run(args, &settings(app)?, app).await,
        Command::Manifest(args) => manifest::run(args, &settings(app)?, app).await,
        Command::Imagetools(args) => manifest::run_imagetools(args, &settings(app)?, app).await,
        Command::Buildx(command) => builder::run_buildx(command, &settings(app)?, app).await,
    }
}

/// Reads the configuration.
fn settings(app: &App) -> Result<crate::config::Settings, CliError> {
    let lookup = crate::config::Lookup {
        flag: app.global.config.as_deref(),
        env: &app.env,
        cwd: &app.cwd,
    };
    let settings = crate::config::load(&lookup).map_err(|error| {
        let hint = error.hint();
        hint.into_iter()
            .fold(CliError::config(error), CliError::hint)
    })?;
    match &settings.source {
        Some(source) => tracing::info!("configuration: {}", source.path.display()),
        None => tracing::info!("configuration: none"),
    }
    if let Some(unread) = &settings.unread {
        tracing::info!(
            "not read, since the one above counts whole: {}",
            unread.display()
        );
    }
    Ok(settings)
}
