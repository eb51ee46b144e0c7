//! `mbuild manifest`: joins images that exist into one, looks into them, copies them.
//!
//! [`ImagetoolsArgs`] is the same with buildx's name. No builder is needed for any of it.

mod copy;
mod create;
mod inspect;
mod show;
mod template;
mod work;

use clap::Subcommand;

use crate::config::Settings;

use super::app::App;
use super::error::CommandResult;

/// Join images into one, look into them, copy them between registries and layouts
#[derive(Debug, Clone, clap::Args)]
pub struct ManifestArgs {
    #[command(subcommand)]
    command: ManifestCommand,
}

/// What can be done with images.
#[derive(Debug, Clone, Subcommand)]
pub enum ManifestCommand {
    /// Make one image of several, such as one of the single platforms of a CI matrix
    Create(Box<create::CreateArgs>),
    /// Show an image's index, and of each platform its configuration, SBOM and provenance
    Inspect(inspect::InspectArgs),
    /// Copy an image with its signatures and whatever else refers to it; digests stay the same
    #[command(visible_alias = "cp")]
    Copy(copy::CopyArgs),
}

/// See `mbuild manifest`
#[derive(Debug, Clone, clap::Args)]
pub struct ImagetoolsArgs {
    #[command(subcommand)]
    command: ImagetoolsCommand,
}

/// What buildx can do with images.
#[derive(Debug, Clone, Subcommand)]
pub enum ImagetoolsCommand {
    /// See `mbuild manifest create`
    Create(Box<create::CreateArgs>),
    /// See `mbuild manifest inspect`
    Inspect(inspect::InspectArgs),
}

/// Does what `mbuild manifest` was told.
pub(super) async fn run(args: &ManifestArgs, settings: &Settings, app: &App) -> CommandResult {
    match &args.command {
        ManifestCommand::Create(args) => create::run(args, settings, app).await,
        ManifestCommand::Inspect(args) => inspect::run(args, settings, app).await,
        ManifestCommand::Copy(args) => copy::run(args, settings, app).await,
    }
}

/// Does what `mbuild imagetools` was told.
pub(super) async fn run_imagetools(
    args: &ImagetoolsArgs,
    settings: &Settings,
    app: &App,
) -> CommandResult {
    match &args.command {
        ImagetoolsCommand::Create(args) => create::run(args, settings, app).await,
        ImagetoolsCommand::Inspect(args) => inspect::run(args, settings, app).await,
    }
}
