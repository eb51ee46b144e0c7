//! Flags that ask the Dockerfile's frontend in place of building: `--call`, `--check`.

use clap::Args;

use crate::request::CallSpec;

use super::super::super::error::CliError;
use super::go_bool;

/// A question to the frontend.
#[derive(Debug, Clone, Default, Args)]
pub struct CallArgs {
    /// Question to the frontend in place of a build
    #[arg(
        help = "Ask in place of building: check, outline, targets [,format=json][,ignorestatus=true]",
        long,
        alias = "print",
        value_name = "NAME",
        help_heading = "What to build"
    )]
    call: Option<String>,
    /// Check the Dockerfile in place of building it, as --call=check
    #[arg(long, help_heading = "What to build", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_default_value = true,
        value_parser = go_bool, hide_possible_values = true, value_name = "BOOL")]
    check: bool,
}

impl CallArgs {
    /// What is asked; `None` if a build is wanted.
    pub(in crate::cli::build) fn resolve(&self) -> Result<Option<CallSpec>, CliError> {
        let call = self.call.as_deref().unwrap_or_default();
        let call = CallSpec::parse(call).map_err(CliError::usage)?;
        match call {
            None if self.check => CallSpec::parse("check").map_err(CliError::usage),
            Some(call) if self.check && call.name != "lint" => Err(CliError::usage(format!(
                "--check and --call {} exclude each other",
                call.name
            ))),
            call => Ok(call),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        call: CallArgs,
        context: Option<String>,
    }

    fn asked(line: &str) -> Result<Option<String>, String> {
        let words = ["build"].into_iter().chain(line.split_whitespace());
        let call = Line::try_parse_from(words).unwrap().call.resolve();
        let call = call.map_err(|error| error.render())?;
        Ok(call.map(|call| call.request_id()))
    }

    #[test]
    fn check_is_short_for_a_call() {
        let check = |line: &str, expect: Option<&str>| {
            assert_eq!(asked(line).unwrap().as_deref(), expect, "{line}");
        };
        check(".", None);
        check("--check=false --call build .", None);
        check("--check .", Some("frontend.lint"));
        check("--check --call=check,format=json .", Some("frontend.lint"));
        check("--print targets .", Some("frontend.targets"));
    }

    #[test]
    fn two_questions_are_refused() {
        let error = asked("--check --call outline .").unwrap_err();
        assert_eq!(
            error,
            "ERROR: --check and --call outline exclude each other\n"
        );
    }
}
