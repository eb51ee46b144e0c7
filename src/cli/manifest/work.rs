//! What `create` and `copy` share: work with its progress on stderr until it ends or the user
//! stops it, and what is said of its outcome.

use std::io;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use crate::causes::causes;
use crate::config::Settings;
use crate::digest::Digest;
use crate::event::{ClientStep, Event};
use crate::manifest::{Outcome, TargetError};
use crate::merge::registry::Report;
use crate::progress::{self, Mode, bytes};

use super::super::app::App;
use super::super::build::interrupt;
use super::super::display;
use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;

/// How long the last progress may take to be written; the terminal may be stopped by Ctrl-S.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Runs `work`, which reports its steps; `None` when the user stopped it.
pub(super) async fn shown<T>(
    flag: Option<&str>,
    settings: &Settings,
    app: &App,
    work: impl AsyncFnOnce(Report<'_>) -> T,
) -> Result<(Option<T>, Mode), CliError> {
    let display = display::choose(flag, false, settings, app)?;
    let mode = display.mode;
    let interrupt = interrupt::watch().map_err(|error| CliError::new(Exit::Internal, error))?;
    let (events, received) = unbounded_channel();
    app.notes.attach(&events);
    let renderer = progress::renderer(display, display::log_lines(app));
    let shown = progress::start(received, renderer, io::stderr());
    let report = move |step: ClientStep| drop(events.send(Event::Client(step)));
    let outcome = tokio::select! {
        outcome = work(&report) => Some(outcome),
        () = interrupt.cancelled() => None,
    };
    drop(report);
    drop(timeout(WRITE_LIMIT, shown).await);
    Ok((outcome, mode))
}

/// Says what came of it, and gives the exit code.
pub(super) fn finish(
    outcome: Option<Result<Outcome, TargetError>>,
    digest: Digest,
    mode: Mode,
    app: &App,
) -> Result<(Option<Outcome>, Exit), CliError> {
    let outcome = match outcome {
        None => {
            app.say("ERROR: interrupted; no name was moved that is not listed above\n");
            return Ok((None, Exit::Interrupted));
        }
        Some(Err(error)) => return Err(target_error(error)),
        Some(Ok(outcome)) => outcome,
    };
    for warning in &outcome.warnings {
        app.warn(&causes(warning));
    }
    for (name, error) in &outcome.unmoved {
        let text = format!("{name} was not moved: {}", causes(error));
        let text = CliError::new(Exit::Publish, text);
        app.say(
            &error
                .advice()
                .into_iter()
                .fold(text, CliError::hint)
                .render(),
        );
    }
    if !outcome.unmoved.is_empty() {
        if !outcome.moved.is_empty() {
            app.say(&format!("moved: {}\n", outcome.moved.join(", ")));
        }
        return Ok((Some(outcome), Exit::Publish));
    }
    match mode {
        Mode::Quiet => {
            app.print(&format!("{digest}\n"))
                .map_err(|error| CliError::new(Exit::Publish, error))?;
        }
        Mode::Tty | Mode::Plain => app.say(&summary(&outcome, digest)),
        _ => {}
    }
    Ok((Some(outcome), Exit::Done))
}

/// One line: what is where, and how much of it had to be copied.
fn summary(outcome: &Outcome, digest: Digest) -> String {
    let tally = outcome.tally;
    format!(
        "{digest} is at {} (copied: {}, {} of {}; there before: {})\n",
        outcome.moved.join(", "),
        count(tally.manifests, "manifest"),
        count(tally.blobs, "blob"),
        bytes(tally.bytes, 1, " "),
        count(tally.present, "blob"),
    )
}

fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// The exit code of a failure: 2 where a name is wrong, 4 where a place fails.
pub(super) fn failure(
    is_about_content: bool,
    advice: Option<String>,
    error: impl std::error::Error + Send + Sync + 'static,
) -> CliError {
    let exit = match is_about_content {
        true => Exit::Usage,
        false => Exit::Publish,
    };
    advice
        .into_iter()
        .fold(CliError::new(exit, error), CliError::hint)
}

fn target_error(error: TargetError) -> CliError {
    failure(error.is_about_content(), error.advice(), error)
}

/// Ends a command whose work was stopped before anything was published.
pub(super) fn stopped(app: &App) -> CommandResult {
    app.say("ERROR: interrupted; nothing was published\n");
    Ok(Exit::Interrupted)
}
