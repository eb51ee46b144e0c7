//! Which display a command's progress gets: [`choose`].

use crate::config::Settings;
use crate::progress::{self, Colors, Display, LOG_LINES, Mode};

use super::app::App;
use super::error::CliError;

/// How progress is shown: the flag, else the environment, else the configuration.
pub(super) fn choose(
    flag: Option<&str>,
    quiet: bool,
    settings: &Settings,
    app: &App,
) -> Result<Display, CliError> {
    let parse = |text: &str| text.parse::<Mode>().map_err(CliError::usage);
    let asked = match (flag.map(parse).transpose()?, quiet) {
        (None | Some(Mode::Auto | Mode::Quiet), true) => Mode::Quiet,
        (Some(other), true) => {
            return Err(CliError::usage(format!(
                "--quiet and --progress {other} exclude each other"
            )));
        }
        (Some(Mode::Auto) | None, false) => {
            let default = app
                .var("BUILDKIT_PROGRESS")
                .or(settings.build.progress.as_deref());
            default.map(parse).transpose()?.unwrap_or(Mode::Auto)
        }
        (Some(mode), false) => mode,
    };
    let no_color = app.var("NO_COLOR").is_some();
    let mut display = progress::choose(
        asked,
        app.stderr_is_terminal,
        no_color,
        app.env.get("TERM").map(String::as_str),
    )
    .map_err(CliError::usage)?;
    if let (Some(colors), Some(text)) = (&mut display.colors, app.var("BUILDKIT_COLORS")) {
        let (chosen, bad) = Colors::parse(text);
        bad.iter().for_each(|bad| app.warn(&bad.to_string()));
        *colors = chosen;
    }
    Ok(display)
}

/// How many lines of a step's output the live table shows.
pub(super) fn log_lines(app: &App) -> usize {
    app.var("BUILDKIT_TTY_LOG_LINES")
        .and_then(|lines| lines.parse().ok())
        .unwrap_or(LOG_LINES)
}
