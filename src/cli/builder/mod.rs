//! `mbuild builder`: which builders there are, which one is used, and the definitions it keeps.
//!
//! [`BuildxCommand`] holds the same commands where buildx has them, at the top level. Daemons
//! are started, stopped and changed only in pools that `create` made.

mod change;
mod create;
mod kubernetes;
mod list;
mod node_flags;
mod rows;
mod show;
mod view;

use clap::Subcommand;

use crate::builder::{FindError, Finder, Store, StoreError};
use crate::config::Settings;

use super::app::App;
use super::error::{CliError, CommandResult};
use super::exit::Exit;

/// Show and choose builders
#[derive(Debug, Clone, clap::Args)]
pub struct BuilderArgs {
    #[command(subcommand)]
    command: BuilderCommand,
}

/// What can be done with builders.
#[derive(Debug, Clone, Subcommand)]
pub enum BuilderCommand {
    /// List all builders and ask their nodes how they are
    Ls(list::LsArgs),
    /// Show all that is known of a builder
    Inspect(list::InspectArgs),
    /// Make a builder the default; `default` takes the choice back
    Use(change::UseArgs),
    /// Define a builder, add a node to one, or change a node
    Create(Box<create::CreateArgs>),
    /// Remove builders' definitions; their daemons stay as they are
    Rm(change::RmArgs),
    /// Take over a builder that docker buildx keeps
    Import(change::ImportArgs),
    /// Print the Kubernetes objects that `create` would make, and touch nothing
    Render(Box<create::CreateArgs>),
    /// Print a builder's definition, for pipelines that keep nothing
    Export(kubernetes::ExportArgs),
    /// End the pods of builders that `create` made; their definitions and volumes stay
    Stop(change::StopArgs),
    /// Make and renew the certificates of a pool with mutual TLS
    Certs(kubernetes::CertsArgs),
    /// Set how many pods a pool has, or end those that are idle
    Scale(kubernetes::ScaleArgs),
}

/// The same commands where buildx's users expect them.
#[derive(Debug, Clone, Subcommand)]
pub enum BuildxCommand {
    /// See `mbuild builder ls`
    #[command(hide = true)]
    Ls(list::LsArgs),
    /// See `mbuild builder inspect`
    #[command(hide = true)]
    Inspect(list::InspectArgs),
    /// See `mbuild builder use`
    #[command(hide = true)]
    Use(change::UseArgs),
    /// See `mbuild builder create`
    #[command(hide = true)]
    Create(Box<create::CreateArgs>),
    /// See `mbuild builder rm`
    #[command(hide = true)]
    Rm(change::RmArgs),
    /// See `mbuild builder stop`
    #[command(hide = true)]
    Stop(change::StopArgs),
    /// Print the version
    #[command(hide = true)]
    Version,
}

/// Does what `mbuild builder` was told.
pub(super) async fn run(args: &BuilderArgs, settings: &Settings, app: &App) -> CommandResult {
    let store = Store::new(&app.state_dir());
    let world = World {
        app,
        settings,
        store: &store,
    };
    match &args.command {
        BuilderCommand::Ls(args) => list::ls(args, &world).await,
        BuilderCommand::Inspect(args) => list::inspect(args, &world).await,
        BuilderCommand::Use(args) => change::use_builder(args, &world),
        BuilderCommand::Create(args) => create::create(args, &world).await,
        BuilderCommand::Rm(args) => change::rm(args, &world).await,
        BuilderCommand::Import(args) => change::import(args, &world),
        BuilderCommand::Render(args) => create::render(args, &world).await,
        BuilderCommand::Export(args) => kubernetes::export(args, &world),
        BuilderCommand::Stop(args) => change::stop(args, &world).await,
        BuilderCommand::Certs(args) => kubernetes::certs(args, &world).await,
        BuilderCommand::Scale(args) => kubernetes::scale(args, &world).await,
    }
}

/// Does what one of buildx's top-level commands asks for.
pub(super) async fn run_buildx(
    command: &BuildxCommand,
    settings: &Settings,
    app: &App,
) -> CommandResult {
    let store = Store::new(&app.state_dir());
    let world = World {
        app,
        settings,
        store: &store,
    };
    match command {
        BuildxCommand::Ls(args) => list::ls(args, &world).await,
        BuildxCommand::Inspect(args) => list::inspect(args, &world).await,
        BuildxCommand::Use(args) => change::use_builder(args, &world),
        BuildxCommand::Create(args) => create::create(args, &world).await,
        BuildxCommand::Rm(args) => change::rm(args, &world).await,
        BuildxCommand::Stop(args) => change::stop(args, &world).await,
        BuildxCommand::Version => {
            let version = concat!("mbuild ", env!("CARGO_PKG_VERSION"), "\n");
            world.print(version)
        }
    }
}

/// What these commands work with.
#[derive(Debug, Clone, Copy)]
struct World<'a> {
    app: &'a App,
    settings: &'a Settings,
    store: &'a Store,
}

impl<'a> World<'a> {
    /// Finds builders; a command's own argument counts as `--builder` does.
    fn finder(&self, name: Option<&'a str>) -> Finder<'a> {
        Finder {
            env: &self.app.env,
            settings: self.settings,
            store: self.store,
            flag: name.or(self.app.global.builder.as_deref()),
        }
    }

    /// Writes data and ends well.
    fn print(&self, text: &str) -> CommandResult {
        match self.app.print(text) {
            Ok(()) => Ok(Exit::Done),
            Err(error) => Err(CliError::new(Exit::Internal, error)),
        }
    }
}

/// A builder that cannot be found, on its way to the user.
pub(super) fn find_error(error: FindError) -> CliError {
    let hints = error.hints();
    hints
        .into_iter()
        .fold(CliError::config(error), CliError::hint)
}

fn store_error(error: StoreError) -> CliError {
    let hint = error.hint();
    hint.into_iter()
        .fold(CliError::config(error), CliError::hint)
}
