//! What the user is left with: errors with their causes, files with digests, one line on
//! stdout, and the exit code.

use std::path::Path;

use serde_json::Value;

use crate::buildkit::excerpt;
use crate::causes::causes;
use crate::event::UnitLabel;
use crate::progress::{Mode, State, report, warnings_json};
use crate::request::{BuildRequest, CallSpec};
use crate::run::{BuildOutcome, DeliverError, Delivered, PrepareError, UnitError};
use crate::unit::BuildUnit;

use super::super::app::App;
use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::answer;
use super::args::BuildArgs;
use super::execute::Executed;
use super::files;
use super::metadata::{Image, metadata};
use super::provenance;

/// Reports what came of the build, and returns the exit code.
pub(super) fn finish(
    executed: Executed,
    (builder, request): (&str, &BuildRequest),
    args: &BuildArgs,
    mode: Mode,
    app: &App,
) -> CommandResult {
    let outcome = match executed.outcome {
        Some(Ok(outcome)) => outcome,
        Some(Err(PrepareError::Interrupted)) | None => return Ok(interrupted(app)),
        Some(Err(error)) => return Err(prepare_error(error)),
    };
    let progress = &executed.progress;
    let mut exits = Vec::new();
    for (unit, error) in outcome.failures() {
        app.say(&unit_failure(unit, error, progress));
        exits.push(unit_exit(error));
    }
    for delivered in &outcome.delivered {
        exits.extend(report_delivery(delivered, app));
    }
    if outcome.interrupted {
        exits.push(interrupted(app));
    }
    if Exit::worst(exits.iter().copied()) == Exit::Done {
        hand_out(&outcome, args, mode, app)?;
    }
    // After all else: a file that cannot be written must not hide what happened.
    if let Some(path) = &args.metadata_file {
        let mut json = metadata((builder, request), &outcome, progress);
        let warnings = warnings_json(progress);
        if wants_warnings(app) && !warnings.is_empty() {
            json["buildx.build.warnings"] = warnings.into();
        }
        if let Some(detail) = request.recorded {
            provenance::add(&mut json, &outcome, detail);
        }
        if let Err(error) = write_json(&app.path(path), &json) {
            app.say(&error.render());
            exits.push(error.exit);
        }
    }
    Ok(Exit::worst(exits))
}

/// Prints what the frontend answered; the answer's own status is the exit code.
pub(super) fn finish_call(
    executed: Executed,
    (call, dockerfile): (&CallSpec, Option<&str>),
    args: &BuildArgs,
    app: &App,
) -> CommandResult {
    let outcome = match executed.outcome {
        Some(Ok(outcome)) if !outcome.interrupted => outcome,
        Some(Ok(_)) | Some(Err(PrepareError::Interrupted)) | None => return Ok(interrupted(app)),
        Some(Err(error)) => return Err(prepare_error(error)),
    };
    let mut exits = Vec::new();
    for (unit, error) in outcome.failures() {
        app.say(&unit_failure(unit, error, &executed.progress));
        exits.push(unit_exit(error));
    }
    let results = outcome.units.iter();
    let Some(output) = results.filter_map(|unit| unit.result.as_ref().ok()).next() else {
        return Ok(Exit::worst(exits));
    };
    let answer = answer::answer(call, &output.response, dockerfile);
    app.print(&answer.text)
        .map_err(|error| CliError::new(Exit::Publish, error))?;
    if let Some(error) = &answer.error {
        app.say(&format!("ERROR: {error}"));
    }
    if let Some(path) = &args.metadata_file {
        write_json(&app.path(path), &answer::metadata(call, &output.response))?;
    }
    Ok(Exit::of_answer(answer.status))
}

/// The digest to whom it was promised: the file, and stdout.
fn hand_out(
    outcome: &BuildOutcome,
    args: &BuildArgs,
    mode: Mode,
    app: &App,
) -> Result<(), CliError> {
    let Some(image) = Image::of(outcome) else {
        if args.iidfile.is_some() {
            app.warn("--iidfile: nothing was written, since the build made no single image");
        }
        return Ok(());
    };
    if let Some(path) = &args.iidfile {
        let id = image.config.as_ref().unwrap_or(&image.digest);
        files::write(&app.path(path), id.as_bytes())?;
    }
    if mode == Mode::Quiet {
        let line = format!("{}\n", image.digest);
        app.print(&line)
            .map_err(|error| CliError::new(Exit::Publish, error))?;
    }
    Ok(())
}

fn interrupted(app: &App) -> Exit {
    app.say("ERROR: interrupted; the builds were cancelled on their nodes\n");
    Exit::Interrupted
}

/// The log's end, the Dockerfile's lines, then the error itself with platform and node.
fn unit_failure(unit: &BuildUnit, error: &UnitError, progress: &State) -> String {
    let label = UnitLabel {
        unit: unit.id,
        platform: Some(unit.platform.clone()),
        node: unit.node.clone(),
        instance: None,
    };
    let mut text = String::new();
    let mut hint = None;
    if let UnitError::Solve(solve) = error {
        let details = &solve.details;
        let excerpts: String = details.sources.iter().map(excerpt::render).collect();
        text += &report::failure(progress, unit.id, details.vertex.as_deref(), &excerpts);
        hint = solve.hint();
    }
    text += &format!("ERROR: {label}: {}\n", causes(error));
    if let Some(hint) = hint.or_else(|| unit_hint(error)) {
        text += &format!("hint: {hint}\n");
    }
    text
}

fn unit_hint(error: &UnitError) -> Option<String> {
    match error {
        UnitError::Open(error) => error.hint(),
        _ => None,
    }
}

fn unit_exit(error: &UnitError) -> Exit {
    match error {
        _ if error.is_infrastructure() => Exit::Infrastructure,
        UnitError::Solve(error) if error.is_push() => Exit::Publish,
        UnitError::Solve(_) => Exit::BuildFailed,
        UnitError::Open(_) | UnitError::Lacks { .. } => Exit::Config,
        UnitError::Gateway(_) => Exit::Usage,
        UnitError::Write(_) | UnitError::Cache(_) => Exit::Publish,
        UnitError::Incomplete { .. } => Exit::Infrastructure,
        _ => Exit::Internal,
    }
}

fn prepare_error(error: PrepareError) -> CliError {
    let (exit, hint) = match &error {
        PrepareError::Context(_) => (Exit::Usage, None),
        PrepareError::Registry(error) => (Exit::Publish, error.advice()),
        PrepareError::Destination(_) | PrepareError::Cache(_) => (Exit::Publish, None),
        _ => (Exit::Internal, None),
    };
    let error = CliError::new(exit, error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Says what was not delivered; names that did move are listed beside those that did not.
fn report_delivery(delivered: &Result<Delivered, DeliverError>, app: &App) -> Option<Exit> {
    match delivered {
        Ok(Delivered::Published(published)) if !published.unmoved.is_empty() => {
            for (name, error) in &published.unmoved {
                let text = CliError::new(
                    Exit::Publish,
                    format!("{name} was not moved: {}", causes(error)),
                );
                let text = error.advice().into_iter().fold(text, CliError::hint);
                app.say(&text.render());
            }
            let moved: Vec<String> = published.moved.iter().map(ToString::to_string).collect();
            if !moved.is_empty() {
                app.say(&format!("moved: {}\n", moved.join(", ")));
            }
            Some(Exit::Publish)
        }
        Ok(_) => None,
        Err(DeliverError::Skipped) => Some(Exit::Publish),
        Err(error) => {
            let hint = match error {
                DeliverError::Publish(error) => error.advice(),
                DeliverError::Engine(error) => error.hint(),
                _ => None,
            };
            let text = CliError::new(Exit::Publish, causes(error));
            app.say(&hint.into_iter().fold(text, CliError::hint).render());
            Some(Exit::Publish)
        }
    }
}

/// Whether the metadata file lists the warnings: as with buildx only where the environment says so.
fn wants_warnings(app: &App) -> bool {
    app.is_on("BUILDX_METADATA_WARNINGS")
}

fn write_json(path: &Path, json: &Value) -> Result<(), CliError> {
    let text =
        serde_json::to_string_pretty(json).map_err(|error| CliError::new(Exit::Internal, error))?;
    files::write(path, format!("{text}\n").as_bytes())
}
