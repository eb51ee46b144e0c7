//! `history inspect`: all that is on record of a build, and the blobs that it left.

use std::io::{self, Write};

use futures_util::future::join_all;
use jiff::Timestamp;

use super::super::app::App;
use super::super::daemons::{Daemons, Failures, ReachArgs, ask_error};
use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::super::format::Format;
use super::attachments::{self, Attachment, is_of_kind, is_provenance, materials};
use super::builds::{Build, Status, Unit};
use super::details::{Details, Failure, Part};
use super::logs::{after, follow};
use super::query::{Wanted, find};
use super::text::text;
use crate::buildkit::history::failure;
use crate::buildkit::{AskError, excerpt};
use crate::config::Settings;
use crate::event::{Event, StatusUpdate, UnitId};
use crate::progress::State;

/// How many of a failed step's last lines are shown; as in buildx.
const LINES: usize = 16;

/// Show all that is on record of a build, on all its nodes
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct InspectArgs {
    #[command(subcommand)]
    command: Option<InspectCommand>,
    /// Build's id, BUILDER/NODE/REF, or ^N for the one N before the latest [default: ^0]
    #[arg(value_name = "REF")]
    reference: Option<String>,
    /// Form: pretty, json, or fields such as '{{.Name}} {{.Status}}'
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "pretty",
        hide_default_value = true
    )]
    format: String,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum InspectCommand {
    /// Print a manifest, provenance or SBOM of a build
    Attachment(AttachmentArgs),
}

/// Print a manifest, provenance or SBOM of a build
#[derive(Debug, Clone, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true)
    .args(["kind", "platform", "digest"])))]
struct AttachmentArgs {
    /// Build's id, BUILDER/NODE/REF, or ^N for the one N before the latest [default: ^0]
    #[arg(value_name = "REF")]
    reference: Option<String>,
    /// Digest, as `inspect` lists it
    #[arg(value_name = "DIGEST")]
    digest: Option<String>,
    /// provenance, sbom, index, manifest, image, or a type as `inspect` lists it
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Platform that it is about
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    #[command(flatten)]
    reach: ReachArgs,
}

pub(super) async fn run(args: &InspectArgs, settings: &Settings, app: &App) -> CommandResult {
    match &args.command {
        Some(InspectCommand::Attachment(args)) => attachment(args, settings, app).await,
        None => inspect(args, settings, app).await,
    }
}

async fn inspect(args: &InspectArgs, settings: &Settings, app: &App) -> CommandResult {
    let format = Format::parse(&args.format)?;
    let wanted = Wanted::parse(args.reference.as_deref())?;
    let (daemons, mut failures) = Daemons::open(&args.reach, settings, app).await?;
    let build = match find(&daemons, &wanted, &mut failures).await {
        Ok(build) => build,
        Err(error) => return Err(after(&failures, error, app)),
    };
    let parts = parts(&build, &daemons, &mut failures).await;
    let details = Details {
        build: &build,
        parts: &parts,
        now: Timestamp::now(),
    };
    let written = match &format {
        Format::Json => serde_json::to_string_pretty(&details.to_json())
            .map(|text| text + "\n")
            .map_err(|error| CliError::new(Exit::Internal, error))?,
        format => match format.write(&[details.to_json()], |_| None)? {
            Some(fields) => fields,
            None => text(&details),
        },
    };
    app.print(&written)
        .map_err(|error| CliError::new(Exit::Internal, error))?;
    Ok(failures.tell(app))
}

/// Asks the daemons of all parts at once; one that does not answer leaves its part bare.
async fn parts(build: &Build, daemons: &Daemons, failures: &mut Failures) -> Vec<Part> {
    let asked = build.units.iter().map(|unit| part(unit, daemons));
    let mut parts = Vec::new();
    for (unit, part) in build.units.iter().zip(join_all(asked).await) {
        parts.push(part.unwrap_or_else(|error| {
            failures.add(&unit.place, error);
            Part::default()
        }));
    }
    parts
}

async fn part(unit: &Unit, daemons: &Daemons) -> Result<Part, CliError> {
    let connection = &daemons.list[unit.daemon].connection;
    let mut part = Part::default();
    if matches!(unit.status(), Status::Error | Status::Canceled) {
        part.failure = Some(failure_of(unit, daemons).await?);
    }
    part.attachments = attachments::attachments(unit, connection)
        .await
        .map_err(ask_error)?;
    if let Some(provenance) = part.attachments.iter().find(|one| is_provenance(one)) {
        let bytes = provenance.read(connection).await.map_err(ask_error)?;
        part.materials = materials(&bytes.unwrap_or_default());
    }
    Ok(part)
}

/// What the daemon kept of the error, and what the step said last.
async fn failure_of(unit: &Unit, daemons: &Daemons) -> Result<Failure, CliError> {
    let connection = &daemons.list[unit.daemon].connection;
    let error = unit.record.error.clone().unwrap_or_default();
    let details = failure(connection, &unit.record).await.map_err(ask_error)?;
    let mut told = Failure {
        code: error.code,
        message: error.message,
        source: details.sources.iter().map(excerpt::render).collect(),
        ..Failure::default()
    };
    if unit.status() == Status::Error {
        let state = state_of(unit, daemons).await?;
        // A daemon before v0.15 does not name the step: then it is the first one that failed.
        if let Some(step) = state.failed_step(UnitId(0), details.vertex.as_deref()) {
            told.step = state.step_name(step);
            let lines = step.output.tail(LINES).into_iter();
            told.logs = lines.map(|line| line.text).collect();
        }
    }
    Ok(told)
}

/// The picture at the end of a part's progress.
async fn state_of(unit: &Unit, daemons: &Daemons) -> Result<State, CliError> {
    let connection = &daemons.list[unit.daemon].connection;
    let mut state = State::default();
    let report = |update: StatusUpdate| {
        let unit = UnitId(0);
        state.apply(&Event::Status { unit, update }, Timestamp::now());
    };
    follow(connection, &unit.record.reference, report).await?;
    Ok(state)
}

/// Prints one blob of a build, as it is.
async fn attachment(args: &AttachmentArgs, settings: &Settings, app: &App) -> CommandResult {
    let wanted = Wanted::parse(args.reference.as_deref())?;
    let (daemons, mut failures) = Daemons::open(&args.reach, settings, app).await?;
    let build = match find(&daemons, &wanted, &mut failures).await {
        Ok(build) => build,
        Err(error) => return Err(after(&failures, error, app)),
    };
    for unit in &build.units {
        match matching(unit, args, &daemons).await {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                let written = io::stdout().lock().write_all(&bytes);
                return match written {
                    Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                        Err(CliError::new(Exit::Internal, error))
                    }
                    _ => Ok(Exit::Done),
                };
            }
            Err(error) => failures.add(&unit.place, ask_error(error)),
        }
    }
    let text = format!("build `{}` has no such attachment", build.id);
    let error = CliError::usage(text).hint("`mbuild history inspect` lists those it has");
    Err(after(&failures, error, app))
}

async fn matching(
    unit: &Unit,
    args: &AttachmentArgs,
    daemons: &Daemons,
) -> Result<Option<Vec<u8>>, AskError> {
    let connection = &daemons.list[unit.daemon].connection;
    let fits = |one: &&Attachment| {
        let is_kind = args.kind.as_ref().is_none_or(|kind| is_of_kind(one, kind));
        let platform = args.platform.as_ref();
        let digest = args.digest.as_ref();
        is_kind
            && platform.is_none_or(|platform| one.platform == *platform)
            && digest.is_none_or(|digest| one.digest() == digest)
    };
    let all = attachments::attachments(unit, connection).await?;
    for one in all.iter().filter(fits) {
        if let Some(bytes) = one.read(connection).await? {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}
