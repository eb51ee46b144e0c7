//! The plan, as text for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::plan::BuildPlan;
use crate::request::{BuildRequest, Dockerfile};
use crate::unit::{ImageTo, MergeStep};

use super::super::app::App;
use super::args::BuildArgs;

/// The plan as JSON; the form is documented in README.
#[derive(Debug, Serialize)]
struct PlanJson<'a> {
    builder: &'a str,
    units: Vec<UnitJson<'a>>,
    results: Vec<String>,
    warnings: &'a [String],
}

#[derive(Debug, Serialize)]
struct UnitJson<'a> {
    platform: String,
    node: &'a str,
    why: &'a str,
    /// Caches that it reads, in order, and those that it writes; without logins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache_from: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache_to: Vec<String>,
}

/// One line for each platform: where it is built, and why there.
pub(super) fn text(builder: &str, plan: &BuildPlan) -> String {
    let platforms: Vec<String> = plan
        .units
        .iter()
        .map(|unit| unit.platform.to_string())
        .collect();
    let width = platforms.iter().map(String::len).max().unwrap_or_default();
    let mut text = String::new();
    for (unit, platform) in plan.units.iter().zip(&platforms) {
        let _ = writeln!(
            text,
            "{platform:width$}  on {builder}/{} ({})",
            unit.node, unit.why
        );
    }
    for (unit, platform) in plan.units.iter().zip(&platforms) {
        for cache in &unit.caches.exports {
            let _ = writeln!(text, "{platform:width$}  cached in {cache}");
        }
    }
    for result in plan.merge.iter().map(result) {
        let _ = writeln!(text, "then {result}");
    }
    text
}

/// The plan as one JSON object.
pub(super) fn json(builder: &str, plan: &BuildPlan) -> serde_json::Result<String> {
    let units = plan
        .units
        .iter()
        .map(|unit| UnitJson {
            platform: unit.platform.to_string(),
            node: &unit.node,
            why: &unit.why,
            cache_from: unit
                .caches
                .imports
                .iter()
                .map(ToString::to_string)
                .collect(),
            cache_to: unit
                .caches
                .exports
                .iter()
                .map(ToString::to_string)
                .collect(),
        })
        .collect();
    let results = plan.merge.iter().map(result).collect();
    let plan = PlanJson {
        builder,
        units,
        results,
        warnings: &plan.warnings,
    };
    Ok(serde_json::to_string_pretty(&plan)? + "\n")
}

/// The Dockerfile's path as the user sees it below the working directory; `None` if it is
/// elsewhere, or came on stdin.
pub(super) fn dockerfile(request: &BuildRequest, args: &BuildArgs, app: &App) -> Option<String> {
    if args.context == "-" || args.file.as_deref() == Some("-") {
        return None;
    }
    let Dockerfile::Local { dir, name } = &request.dockerfile else {
        return None;
    };
    let path = dir.join(name);
    Some(path.strip_prefix(&app.cwd).ok()?.display().to_string())
}

/// What a merge step leaves behind, as a phrase.
fn result(step: &MergeStep) -> String {
    match step {
        MergeStep::Publish {
            repositories, tags, ..
        } => {
            let names = if tags.is_empty() { repositories } else { tags };
            let names: Vec<String> = names.iter().map(|name| name.familiar()).collect();
            match tags.is_empty() {
                true => format!("push by digest to {}", names.join(", ")),
                false => format!("publish {}", names.join(", ")),
            }
        }
        MergeStep::Local { dest, .. } => format!("write files below {}", dest.display()),
        MergeStep::File {
            dest: Some(dest), ..
        } => format!("write {}", dest.display()),
        MergeStep::Tars {
            dest: Some(dest), ..
        }
        | MergeStep::Image {
            to: ImageTo::File(Some(dest)) | ImageTo::Layout(dest),
            ..
        } => format!("write {}", dest.display()),
        MergeStep::File { dest: None, .. }
        | MergeStep::Tars { dest: None, .. }
        | MergeStep::Image {
            to: ImageTo::File(None),
            ..
        } => "write to stdout".to_owned(),
        MergeStep::Image {
            to: ImageTo::NamedEngine,
            ..
        } => "load into a Docker engine".to_owned(),
        MergeStep::Image {
            to: ImageTo::Node(node),
            ..
        } => format!("load into {node}"),
    }
}
