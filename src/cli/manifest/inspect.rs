//! `mbuild manifest inspect`: shows an image as text, as JSON, or by a template.

use crate::config::Settings;
use crate::manifest::{InspectError, Inspected, Part, Place};

use super::super::app::App;
use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::super::registries;
use super::template::Template;
use super::{show, work};

/// Show an image's index, and of each platform its configuration, SBOM and provenance
#[derive(Debug, Clone, clap::Args)]
pub struct InspectArgs {
    /// Image to show
    #[arg(help = "Image: NAME[:TAG][@DIGEST] or oci-layout://DIR[:TAG][@DIGEST]")]
    name: String,
    /// Print `json`, or a template of fields, json, index and range, such as '{{.Manifest.Digest}}',
    /// '{{json .SBOM}}' or '{{(index .Image "linux/amd64").Config.Env}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print the manifest or index byte for byte
    #[arg(long, conflicts_with = "format")]
    raw: bool,
}

/// What is printed.
enum Form {
    Text,
    Raw,
    Json,
    Template(Template),
}

/// Looks and prints.
pub(super) async fn run(args: &InspectArgs, settings: &Settings, app: &App) -> CommandResult {
    let place = Place::parse(&args.name, &app.cwd).map_err(CliError::usage)?;
    let form = form(args)?;
    let part = match &form {
        Form::Text | Form::Raw => Part::Manifest,
        Form::Json => Part::Statements,
        Form::Template(template) => match template.mentions(&["SBOM", "Provenance"]) {
            true => Part::Statements,
            false => Part::Images,
        },
    };
    let (_, registries) = registries::open(settings, app);
    let inspected = Inspected::load(&registries, &place, part)
        .await
        .map_err(|error| inspect_error(error, &place))?;
    let text = match form {
        Form::Raw => String::from_utf8_lossy(&inspected.manifest.bytes).into_owned(),
        Form::Text => show::text(&place, &inspected),
        Form::Json => format!("{:#}\n", show::everything(&args.name, &inspected)),
        Form::Template(template) => {
            let values = show::fields(&args.name, &inspected);
            let mut text = template.render(&values).map_err(CliError::usage)?;
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text
        }
    };
    app.print(&text)
        .map_err(|error| CliError::new(Exit::Internal, error))?;
    Ok(Exit::Done)
}

fn form(args: &InspectArgs) -> Result<Form, CliError> {
    Ok(match args.format.as_deref() {
        _ if args.raw => Form::Raw,
        None | Some("" | "text") => Form::Text,
        Some("json") => Form::Json,
        // The one value that buildx prints as text.
        Some(text) if text.replace(' ', "") == "{{.Manifest}}" => Form::Text,
        Some(text) => Form::Template(Template::parse(text).map_err(CliError::usage)?),
    })
}

fn inspect_error(error: InspectError, place: &Place) -> CliError {
    let (is_about_content, advice) = (error.is_about_content(), error.advice());
    let text = format!("cannot inspect {place}: {}", crate::causes::causes(&error));
    work::failure(is_about_content, advice, std::io::Error::other(text))
}
