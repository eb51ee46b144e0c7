//! `mbuild build`: from flags to a digest.
//!
//! [`run`] is the table of contents: what was typed becomes a request, the request a plan,
//! the plan an outcome, and the outcome an exit code.

mod affinity;
mod answer;
pub(super) mod args;
mod engines;
mod execute;
pub(super) mod files;
mod finish;
pub(super) mod interrupt;
mod metadata;
mod pin;
mod place;
mod provenance;
mod resolve;
mod secrets;
mod show;
mod small_file;
mod source;
mod ssh;
mod stdin;
mod surroundings;
mod vcs;
mod web;

use std::sync::Arc;

use tokio::sync::mpsc::unbounded_channel;

use crate::config::Settings;
use crate::progress::{Mode, renderer};
use crate::request::BuildRequest;
use crate::run::Lent;

use super::app::App;
use super::display;
use super::error::{CliError, CommandResult};
use super::exit::Exit;
pub use args::BuildArgs;

/// Builds what the flags describe.
pub(super) async fn run(args: &BuildArgs, settings: &Settings, app: &App) -> CommandResult {
    for flag in args.ignored.given() {
        app.warn(&format!("{flag} does nothing: BuildKit has no such option"));
    }
    // Before stdin is read, or a word that such a flag has taken is missed as the context.
    args.attest.resolve()?;
    args.call.resolve()?;
    let display = display::choose(args.progress.as_deref(), args.quiet, settings, app)?;
    files::check(args, app)?;
    let around = surroundings::Prepared::new(settings, app);
    let interrupt = interrupt::watch().map_err(|error| CliError::new(Exit::Internal, error))?;
    let found = tokio::select! {
        found = source::find(&args.context, args.file.as_deref(), app, &interrupt) => found,
        () = interrupt.cancelled() => return stopped(app),
    };
    let source = match found {
        Err(_) if interrupt.is_cancelled() => return stopped(app),
        found => found?,
    };
    let mut request = resolve::resolve(
        args,
        &source,
        &resolve::Surroundings {
            app,
            proxies: around.proxies().await.as_ref(),
            platforms: &settings.build.platforms,
            allow_emulation: settings.allow_emulation == Some(true),
        },
    )?;
    vcs::tell(&mut request, app).await;
    let lent = tokio::select! {
        lent = lend(&request, app) => lent?,
        () = interrupt.cancelled() => return stopped(app),
    };
    let affinity = affinity::key(&request);
    let pinned = match args.dry_run {
        true => pin::Pinned::default(),
        false => {
            let around = pin::Around {
                app,
                secrets: &lent.secrets,
                registries: around.registries(),
            };
            tokio::select! {
                pinned = pin::pin(&mut request, &around) => pinned?,
                () = interrupt.cancelled() => return stopped(app),
            }
        }
    };
    let mut placed = tokio::select! {
        placed = place::place(&mut request, settings, app, &affinity) => placed?,
        () = interrupt.cancelled() => return stopped(app),
    };
    placed.plan.warnings.extend(pinned.doubts.iter().cloned());
    let builder = placed.builder.name.clone();
    if args.dry_run {
        return dry_run(args, &builder, &placed.plan, app);
    }
    let builds = request.call.is_none();
    if builds && args.iidfile.is_some() && !request.outputs.iter().any(resolve::makes_image) {
        return Err(CliError::usage(
            "--iidfile needs an image, and none of the outputs makes one",
        ));
    }
    match display.mode {
        Mode::Tty | Mode::Plain if builds => app.say(&show::text(&builder, &placed.plan)),
        // No progress shows them.
        Mode::Quiet | Mode::None => placed.plan.warnings.iter().for_each(|text| app.warn(text)),
        _ => {}
    }
    let call = request.call.clone();
    let dockerfile = show::dockerfile(&request, args, app);
    if builds {
        files::forget(args, app);
    }
    let (events, received) = unbounded_channel();
    app.notes.attach(&events);
    let surroundings = around.for_run(
        (placed.builder, placed.open, placed.engines),
        lent,
        affinity,
        &request,
        events,
        interrupt,
    );
    let (request, plan) = (Arc::new(request), Arc::new(placed.plan));
    let renderer = renderer(display, display::log_lines(app));
    let executed =
        execute::execute(Arc::clone(&request), plan, surroundings, received, renderer).await;
    match call {
        Some(call) => finish::finish_call(executed, (&call, dockerfile.as_deref()), args, app),
        None => finish::finish(executed, (&builder, &request), args, display.mode, app),
    }
}

/// Finds what steps may ask this machine for; what is not there stops the build here.
async fn lend(request: &BuildRequest, app: &App) -> Result<Lent, CliError> {
    Ok(Lent {
        secrets: secrets::resolve(&request.secrets, app).await?,
        ssh: ssh::resolve(&request.ssh, app).await?,
    })
}

/// Ends a build that was interrupted before it began.
fn stopped(app: &App) -> CommandResult {
    app.say("ERROR: interrupted; nothing was built\n");
    Ok(Exit::Interrupted)
}

fn dry_run(
    args: &BuildArgs,
    builder: &str,
    plan: &crate::plan::BuildPlan,
    app: &App,
) -> CommandResult {
    let internal =
        |error: Box<dyn std::error::Error + Send + Sync>| CliError::new(Exit::Internal, error);
    let text = match args.format.as_deref().unwrap_or("text") {
        "text" => show::text(builder, plan),
        "json" => show::json(builder, plan).map_err(|error| internal(error.into()))?,
        other => {
            return Err(CliError::usage(format!(
                "--format {other}: it is text or json"
            )));
        }
    };
    plan.warnings.iter().for_each(|warning| app.warn(warning));
    app.print(&text).map_err(|error| internal(error.into()))?;
    Ok(Exit::Done)
}
