//! `mbuild manifest copy`: one image, as it is, to another place.

use crate::causes::causes;
use crate::config::Settings;
use crate::manifest::{Outcome, Place, Referring, Store, StoreError, TargetError, copy};
use crate::merge::registry::Report;
use crate::registry::{Manifest, Registries};

use super::super::app::App;
use super::super::build::args::go_bool;
use super::super::error::{CliError, CommandResult};
use super::super::registries;
use super::work;

/// Copy an image with its signatures and whatever else refers to it; digests stay the same
#[derive(Debug, Clone, clap::Args)]
pub struct CopyArgs {
    /// Image to copy
    #[arg(
        help = "Image to copy: NAME[:TAG][@DIGEST] in a registry or oci-layout://DIR[:TAG][@DIGEST]"
    )]
    source: String,
    /// Where to, in the same forms; what is there already is not sent again
    target: String,
    /// Copy what refers to the image, too; `=false` leaves it
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "true", value_parser = go_bool, hide_possible_values = true,
        value_name = "BOOL")]
    referrers: bool,
    /// Progress: auto, tty, plain, rawjson, quiet, none
    #[arg(long, value_name = "MODE")]
    progress: Option<String>,
}

/// Copies.
pub(super) async fn run(args: &CopyArgs, settings: &Settings, app: &App) -> CommandResult {
    let [source, target] = [&args.source, &args.target].map(|text| {
        Place::parse(text, &app.cwd)
            .map_err(|error| CliError::usage(format!("{text}: {}", causes(&error))))
    });
    let (source, target) = (source?, target?);
    let referring = match args.referrers {
        true => Referring::Copied,
        false => Referring::Left,
    };
    let (_, registries) = registries::open(settings, app);
    let (store, manifest) = tokio::select! {
        found = open(&registries, &source) => found.map_err(source_error)?,
        _ = tokio::signal::ctrl_c() => return work::stopped(app),
    };
    let work = async |report: Report<'_>| -> Result<Outcome, TargetError> {
        copy(&registries, (&store, &manifest), &target, referring, report).await
    };
    let (outcome, mode) = work::shown(args.progress.as_deref(), settings, app, work).await?;
    let (_, exit) = work::finish(outcome, manifest.digest, mode, app)?;
    Ok(exit)
}

async fn open(registries: &Registries, place: &Place) -> Result<(Store, Manifest), StoreError> {
    let store = Store::open(registries, place).await?;
    let manifest = store.find(place).await?;
    Ok((store, manifest))
}

fn source_error(error: StoreError) -> CliError {
    work::failure(error.is_about_content(), error.advice(), error)
}
