//! `mbuild manifest create`: one image of several sources.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::causes::causes;
use crate::config::Settings;
use crate::manifest::{
    FindError, Found, Made, Outcome, Place, Source, TargetError, Wanted, attestations,
    check_targets, find, locate, make, publish,
};
use crate::merge::registry::Report;
use crate::platform::Platform;
use crate::registry::Registries;
use crate::request::{AnnotationPlace, AnnotationSpec, parse_platforms};
use crate::unit::DescriptorAnnotation;

use super::super::app::App;
use super::super::build::args::go_bool;
use super::super::build::files;
use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::super::registries;
use super::work;

/// Make one image of several, such as one of the single platforms of a CI matrix
#[derive(Debug, Clone, clap::Args)]
pub struct CreateArgs {
    /// Images that the new one is made of
    #[arg(
        value_name = "SOURCE",
        help = "Image NAME[:TAG][@DIGEST] or oci-layout://DIR[:TAG][@DIGEST]; digest or descriptor \
                in the only repository that is named otherwise; or ./FILE, see --file"
    )]
    sources: Vec<String>,
    /// Names of the new image
    #[arg(
        short,
        long,
        value_name = "NAME",
        help = "Name of the new image, or oci-layout://DIR[:TAG]; may be repeated"
    )]
    tag: Vec<String>,
    /// Source in a file, `-` for stdin: a descriptor, or what a build's --metadata-file wrote
    #[arg(short, long, value_name = "FILE")]
    file: Vec<String>,
    /// Add to what the first --tag points to now
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "false", hide_default_value = true, value_parser = go_bool,
        hide_possible_values = true, value_name = "BOOL")]
    append: bool,
    /// Annotations of the new image
    #[arg(
        long,
        value_name = "NOTE",
        help = "Annotation [index|manifest-descriptor[PLATFORM]:]KEY=VALUE"
    )]
    annotation: Vec<String>,
    /// Print the image that would be made, and push nothing
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "false", hide_default_value = true, value_parser = go_bool,
        hide_possible_values = true, value_name = "BOOL")]
    dry_run: bool,
    /// Make an index of a single image, too; `=false` leaves it a plain manifest
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "true", value_parser = go_bool, hide_possible_values = true,
        value_name = "BOOL")]
    prefer_index: bool,
    /// Keep only these platforms
    #[arg(short, long, value_name = "PLATFORMS")]
    platform: Vec<String>,
    /// Write digest, descriptor and names to this file as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Progress: auto, tty, plain, rawjson, quiet, none
    #[arg(long, value_name = "MODE")]
    progress: Option<String>,
}

/// Makes the image and publishes or prints it.
pub(super) async fn run(args: &CreateArgs, settings: &Settings, app: &App) -> CommandResult {
    let targets = targets(args, app)?;
    let wanted = wanted(args)?;
    let sources = sources(args, app)?;
    let sources = locate(sources, &targets).map_err(CliError::usage)?;
    let (_, registries) = registries::open(settings, app);
    let (found, made) = tokio::select! {
        made = resolve(&registries, &sources, &wanted, app) => made?,
        _ = tokio::signal::ctrl_c() => return work::stopped(app),
    };
    for platform in &made.missing {
        app.warn(&format!("no source is for {platform}"));
    }
    if args.dry_run {
        return print(&made, app);
    }
    check_targets(&targets, made.manifest.digest).map_err(CliError::usage)?;
    let work = async |report: Report<'_>| -> Result<Outcome, TargetError> {
        publish(&registries, &targets, &found, &made, report).await
    };
    let (outcome, mode) = work::shown(args.progress.as_deref(), settings, app, work).await?;
    let (outcome, exit) = work::finish(outcome, made.manifest.digest, mode, app)?;
    if let (Some(path), Some(outcome)) = (&args.metadata_file, outcome) {
        let metadata = metadata(&made, &outcome);
        files::write(&app.path(path), metadata.as_bytes())?;
    }
    Ok(exit)
}

async fn resolve(
    registries: &Registries,
    sources: &[crate::manifest::Located],
    wanted: &Wanted,
    app: &App,
) -> Result<(Vec<Found>, Made), CliError> {
    let found = find(registries, sources).await.map_err(find_error)?;
    let is_plain = wanted.index_annotations.is_empty() && wanted.descriptor_annotations.is_empty();
    // A single source to which nothing is done stays as it is.
    let (extra, failures) = match &found[..] {
        [only] if is_plain && (only.index.is_some() || !wanted.prefer_index) => Default::default(),
        _ => attestations(&found).await,
    };
    for failure in failures {
        app.warn(&format!(
            "whether its images have attestations of their own is not known: {}",
            causes(&failure)
        ));
    }
    let made = make(&found, &extra, wanted).map_err(CliError::usage)?;
    Ok((found, made))
}

fn find_error(error: FindError) -> CliError {
    work::failure(error.is_about_content(), error.advice(), error)
}

/// What buildx prints: the document and a line's end.
fn print(made: &Made, app: &App) -> CommandResult {
    let text = String::from_utf8_lossy(&made.manifest.bytes);
    app.print(&format!("{text}\n"))
        .map_err(|error| CliError::new(Exit::Internal, error))?;
    Ok(Exit::Done)
}

fn metadata(made: &Made, outcome: &Outcome) -> String {
    let json = json!({
        "containerimage.digest": made.manifest.digest,
        "containerimage.descriptor": made.manifest.descriptor(),
        "image.name": outcome.moved.join(","),
    });
    format!("{json:#}\n")
}

fn targets(args: &CreateArgs, app: &App) -> Result<Vec<Place>, CliError> {
    if args.tag.is_empty() && !args.dry_run {
        let error = CliError::usage("--tag is needed: what is the new image called?");
        return Err(error.hint("--dry-run prints it instead"));
    }
    if args.tag.is_empty() && args.append {
        return Err(CliError::usage("--append needs the --tag to add to"));
    }
    let parse = |text: &String| {
        Place::parse(text, &app.cwd).map_err(|error| {
            let text = format!("--tag {text}: {}", causes(&error));
            CliError::usage(text)
        })
    };
    args.tag.iter().map(parse).collect()
}

/// The sources in buildx's order: what is appended to, files, words.
fn sources(args: &CreateArgs, app: &App) -> Result<Vec<Source>, CliError> {
    let mut sources = Vec::new();
    if let (true, Some(tag)) = (args.append, args.tag.first()) {
        sources.push(Source::parse(tag, &app.cwd).map_err(CliError::usage)?);
    }
    for file in &args.file {
        sources.push(read(file, app)?);
    }
    for word in &args.sources {
        // No image's name begins so.
        let source = match word.starts_with(['.', '/']) {
            true => read(word, app)?,
            false => Source::parse(word, &app.cwd).map_err(|error| {
                let is_file = app.path(Path::new(word)).is_file();
                let hint = is_file.then(|| format!("for the file of that name write ./{word}"));
                hint.into_iter()
                    .fold(CliError::usage(error), CliError::hint)
            })?,
        };
        sources.push(source);
    }
    if args.sources.is_empty() && args.file.is_empty() {
        return Err(CliError::usage("no source is named"));
    }
    Ok(sources)
}

fn read(file: &str, app: &App) -> Result<Source, CliError> {
    /// The largest file that is read, in bytes: a build's metadata may hold provenance.
    const LIMIT: u64 = 64 << 20;
    let mut bytes = Vec::new();
    let read = match file {
        "-" => std::io::stdin().lock().take(LIMIT).read_to_end(&mut bytes),
        _ => std::fs::File::open(app.path(Path::new(file)))
            .and_then(|file| file.take(LIMIT).read_to_end(&mut bytes)),
    };
    read.map_err(|error| CliError::usage(format!("cannot read {file}: {error}")))?;
    let label = if file == "-" { "stdin" } else { file };
    Source::of_file(label, &bytes).map_err(CliError::usage)
}

fn wanted(args: &CreateArgs) -> Result<Wanted, CliError> {
    let mut wanted = Wanted {
        index_annotations: BTreeMap::new(),
        descriptor_annotations: Vec::new(),
        prefer_index: args.prefer_index,
        platforms: parse_platforms(&args.platform, &Platform::host()).map_err(CliError::usage)?,
    };
    for text in &args.annotation {
        for spec in AnnotationSpec::parse(text).map_err(CliError::usage)? {
            match spec.place {
                Some(AnnotationPlace::Index) => {
                    wanted.index_annotations.insert(spec.key, spec.value);
                }
                Some(AnnotationPlace::ManifestDescriptor) => {
                    wanted.descriptor_annotations.push(DescriptorAnnotation {
                        platform: spec.platform,
                        key: spec.key,
                        value: spec.value,
                    });
                }
                _ => {
                    let text = format!("--annotation {text}: images stay as they are");
                    return Err(CliError::usage(text)
                        .hint("write index:KEY=VALUE or manifest-descriptor:KEY=VALUE"));
                }
            }
        }
    }
    Ok(wanted)
}
