//! `history logs`: what a build's steps said, told again as progress is shown.
//!
//! A build that still runs is followed to its end.

use std::io;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::super::app::App;
use super::super::daemons::{Daemons, Failures, ReachArgs, ask_error};
use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::builds::{Build, Unit};
use super::query::{Wanted, find};
use crate::buildkit::{AskError, Connection, FollowError};
use crate::config::Settings;
use crate::event::{Event, StatusUpdate, UnitEnd, UnitId, UnitLabel};
use crate::progress::{self, LOG_LINES, Mode, choose, renderer};

/// Print what a build's steps said, on stdout
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LogsArgs {
    /// Build's id, BUILDER/NODE/REF, or ^N for the one N before the latest [default: ^0]
    #[arg(value_name = "REF")]
    reference: Option<String>,
    /// How it is shown: plain, tty or rawjson
    #[arg(
        long,
        value_name = "MODE",
        default_value = "plain",
        hide_default_value = true
    )]
    progress: String,
    #[command(flatten)]
    reach: ReachArgs,
}

pub(super) async fn logs(args: &LogsArgs, settings: &Settings, app: &App) -> CommandResult {
    let mode = match args.progress.parse::<Mode>().map_err(CliError::usage)? {
        Mode::Auto => Mode::Plain,
        Mode::Quiet | Mode::None => {
            let text = format!("--progress {}: it is plain, tty or rawjson", args.progress);
            return Err(CliError::usage(text));
        }
        mode => mode,
    };
    let no_color = app.var("NO_COLOR").is_some();
    let term = app.env.get("TERM").map(String::as_str);
    let display = choose(mode, app.stdout_is_terminal, no_color, term)
        .map_err(|_| CliError::usage("--progress tty needs a terminal as stdout"))?;
    let wanted = Wanted::parse(args.reference.as_deref())?;
    let (daemons, mut failures) = Daemons::open(&args.reach, settings, app).await?;
    let build = match find(&daemons, &wanted, &mut failures).await {
        Ok(build) => build,
        Err(error) => return Err(after(&failures, error, app)),
    };
    let (events, received) = unbounded_channel();
    let shown = progress::start(received, renderer(display, LOG_LINES), io::stdout());
    replay(&build, &daemons, &events, &mut failures).await;
    drop(events);
    shown
        .await
        .map_err(|error| CliError::new(Exit::Internal, error))?;
    Ok(failures.tell(app))
}

/// What was not found may be where nobody answered: that is told first, and counts.
pub(super) fn after(failures: &Failures, error: CliError, app: &App) -> CliError {
    match failures.tell(app) {
        Exit::Done => error,
        exit => CliError { exit, ..error },
    }
}

/// Tells all of a build again: nodes one after the other, but all at once while it runs, since
/// nobody wants to wait for one before the other.
async fn replay(
    build: &Build,
    daemons: &Daemons,
    events: &UnboundedSender<Event>,
    failures: &mut Failures,
) {
    let labels = build
        .units
        .iter()
        .enumerate()
        .map(|(number, unit)| UnitLabel {
            unit: UnitId(number),
            platform: unit.platform().parse().ok(),
            node: unit.place.node.clone(),
            instance: unit.place.instance.clone(),
        });
    drop(events.send(Event::Planned(labels.collect())));
    let tell = |number: usize, unit| tell(UnitId(number), unit, daemons, events);
    let units = build.units.iter().enumerate();
    let ends = if build.units.iter().any(|unit| unit.record.running) {
        futures_util::future::join_all(units.map(|(number, unit)| tell(number, unit))).await
    } else {
        let mut ends = Vec::new();
        for (number, unit) in units {
            ends.push(tell(number, unit).await);
        }
        ends
    };
    for (unit, end) in build.units.iter().zip(ends) {
        if let Err(error) = end {
            failures.add(&unit.place, error);
        }
    }
}

async fn tell(
    id: UnitId,
    unit: &Unit,
    daemons: &Daemons,
    events: &UnboundedSender<Event>,
) -> Result<(), CliError> {
    let now = jiff::Timestamp::now();
    drop(events.send(Event::UnitStarted {
        unit: id,
        instance: unit.place.instance.clone(),
        at: unit.record.created.unwrap_or(now),
    }));
    let connection = &daemons.list[unit.daemon].connection;
    let end = follow(connection, &unit.record.reference, |update| {
        drop(events.send(Event::Status { unit: id, update }));
    });
    let end = end.await;
    drop(events.send(Event::UnitFinished {
        unit: id,
        at: unit.record.completed.unwrap_or(now),
        end: match &unit.record.error {
            None => UnitEnd::Done,
            Some(error) if error.is_cancel() => UnitEnd::Cancelled,
            Some(error) => UnitEnd::Failed(error.message.clone()),
        },
    }));
    end
}

/// Follows a build that ended, or runs, for as long as its daemon lives.
pub(super) async fn follow(
    connection: &Connection,
    reference: &str,
    report: impl FnMut(StatusUpdate) + Send,
) -> Result<(), CliError> {
    let never = CancellationToken::new();
    let follow = connection.follow(reference, never, report);
    match connection.while_alive(follow).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(FollowError::Lost { endpoint, reason })) => {
            Err(ask_error(AskError::Lost { endpoint, reason }))
        }
        Ok(Err(error)) => Err(CliError::config(error)),
        Err(error) => Err(ask_error(error)),
    }
}
