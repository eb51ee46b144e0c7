//! Names, outputs and their annotations: `--tag`, `--output`, `--push`, `--annotation`.

use crate::reference::ImageRef;
use crate::request::{AnnotationSpec, OutputDest, OutputKind, OutputSpec};

use super::super::super::app::App;
use super::super::super::error::CliError;
use super::super::args::BuildArgs;
use super::{Flag, each};

/// Whether an output makes an image, which has a digest.
pub(in crate::cli::build) fn makes_image(output: &OutputSpec) -> bool {
    use OutputKind::{Docker, Image, Oci, Registry};
    matches!(output.kind, Image | Registry | Oci | Docker)
}

/// Puts the annotations on every output that makes an image.
pub(super) fn annotate(outputs: &mut [OutputSpec], values: &[String]) -> Result<(), CliError> {
    let annotations: Vec<AnnotationSpec> = each(values, AnnotationSpec::parse)?
        .into_iter()
        .flatten()
        .collect();
    for output in outputs.iter_mut().filter(|output| makes_image(output)) {
        for annotation in &annotations {
            output
                .attrs
                .insert(annotation.attr_name(), annotation.value.clone());
        }
    }
    Ok(())
}

pub(super) fn tags(args: &BuildArgs) -> Result<Vec<ImageRef>, CliError> {
    let mut tags = Vec::new();
    for text in &args.tag {
        let tag = ImageRef::parse(text)
            .map_err(|error| CliError::usage(Flag::new("--tag", text, error)))?;
        if tag.digest().is_some() {
            let problem = format!("--tag {text}: a name to be given cannot hold a digest");
            return Err(CliError::usage(problem));
        }
        let tag = tag.with_default_tag();
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

pub(super) fn outputs(args: &BuildArgs, app: &App) -> Result<Vec<OutputSpec>, CliError> {
    let mut outputs = Vec::new();
    for value in &args.output {
        let Some(mut output) = OutputSpec::parse(value).map_err(CliError::usage)? else {
            continue;
        };
        output.check().map_err(CliError::usage)?;
        if let Some(OutputDest::Path(path)) = &mut output.dest {
            *path = app.path(path);
        }
        if writes_to_stdout(&output) && app.stdout_is_terminal {
            return Err(CliError::usage("a tar is not written to a terminal")
                .hint("redirect stdout, or give dest=FILE"));
        }
        outputs.push(output);
    }
    if args.push {
        push(&mut outputs);
    }
    if args.load {
        load(&mut outputs);
    }
    Ok(outputs)
}

/// Whether an output's bytes go to stdout: a tar's by default, not those of an image to load.
fn writes_to_stdout(output: &OutputSpec) -> bool {
    use OutputKind::{Docker, Oci, Tar};
    match output.dest {
        Some(OutputDest::Stdout) => matches!(output.kind, Tar | Oci | Docker),
        None => matches!(output.kind, Tar | Oci),
        Some(OutputDest::Path(_)) => false,
    }
}

/// `--load` adds an output into an engine, unless there is one.
fn load(outputs: &mut Vec<OutputSpec>) {
    let loads = |output: &OutputSpec| output.kind == OutputKind::Docker && output.dest.is_none();
    if !outputs.iter().any(loads) {
        outputs.push(OutputSpec::new(OutputKind::Docker));
    }
}

/// `--push` makes every image output push, and adds one where there is none.
fn push(outputs: &mut Vec<OutputSpec>) {
    let mut images = outputs
        .iter_mut()
        .filter(|output| matches!(output.kind, OutputKind::Image | OutputKind::Registry))
        .peekable();
    if images.peek().is_none() {
        outputs.push(OutputSpec::new(OutputKind::Registry));
        return;
    }
    for output in images {
        output.attrs.insert("push".to_owned(), "true".to_owned());
    }
}

/// Whether `BUILDX_NO_DEFAULT_OCI_ARTIFACT` asks for attestations in the form that older registries
/// take.
pub(super) fn no_artifacts(app: &App) -> bool {
    app.is_on("BUILDX_NO_DEFAULT_OCI_ARTIFACT")
}

/// Says so to every image output that does not choose by itself.
pub(super) fn forgo_artifacts(outputs: &mut [OutputSpec]) {
    use OutputKind::{Image, Oci, Registry};
    for output in outputs {
        if matches!(output.kind, Image | Oci | Registry) {
            output
                .attrs
                .entry("oci-artifact".to_owned())
                .or_insert_with(|| "false".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_forgone_where_an_output_does_not_choose() {
        let check = |value: &str, expect: Option<&str>| {
            let mut outputs = vec![OutputSpec::parse(value).unwrap().unwrap()];
            forgo_artifacts(&mut outputs);
            let got = outputs[0].attrs.get("oci-artifact").map(String::as_str);
            assert_eq!(got, expect, "{value}");
        };
        check("type=image", Some("false"));
        check("type=oci,dest=a", Some("false"));
        check("type=registry,oci-artifact=true", Some("true"));
        check("type=local,dest=a", None);
    }
}
