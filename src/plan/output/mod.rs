//! What each output means for the units, and the merge step that makes one result of theirs.
//!
//! Pushing outputs push by digest; trees and files are staged by the client; nothing that a
//! unit does is visible under the names that the user gave.

mod archive;
mod image;
mod local;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::platform::Platform;
use crate::request::{BuildRequest, OutputDest, OutputKind, OutputSpec};
use crate::unit::{ArchiveKind, BuildUnit, ExportKind, MergeStep, UnitExport};

use super::PlanError;
use super::annotations::Annotations;

/// The outputs of a request, planned for any platform.
pub(super) struct PlannedOutputs {
    pub(super) templates: Vec<Template>,
    pub(super) merge: Vec<MergeStep>,
    pub(super) warnings: Vec<String>,
}

/// An export before it is known for which platform.
pub(super) struct Template {
    export: UnitExport,
    annotations: Annotations,
}

/// Plans every output of `request` for a build of `platforms` platforms.
pub(super) fn plan_outputs(
    request: &BuildRequest,
    platforms: usize,
) -> Result<PlannedOutputs, PlanError> {
    refuse_shared_destinations(&request.outputs)?;
    let mut planned = PlannedOutputs {
        templates: Vec::new(),
        merge: Vec::new(),
        warnings: Vec::new(),
    };
    for (position, spec) in request.outputs.iter().enumerate() {
        let output = Output {
            position,
            spec,
            request,
            platforms,
        };
        let stored = matches!(spec.kind, OutputKind::Image) && !spec.pushes().unwrap_or(true);
        if stored && platforms > 1 {
            planned.warnings.push(
                "type=image without push: each node keeps the image of its own platform, and no \
                 index of them is made"
                    .to_owned(),
            );
        }
        let (template, step) =
            match &spec.kind {
                OutputKind::Cacheonly => continue,
                OutputKind::Other(_) => return Err(output.error(
                    "no such output: local, tar, oci, docker, image, registry and cacheonly exist",
                )),
                OutputKind::Local => output.local()?,
                OutputKind::Tar => output.archive(ArchiveKind::Tar)?,
                OutputKind::Oci => output.archive(ArchiveKind::Oci)?,
                OutputKind::Docker => output.archive(ArchiveKind::Docker)?,
                OutputKind::Image | OutputKind::Registry => output.image()?,
            };
        planned.templates.push(template);
        planned.merge.extend(step);
    }
    Ok(planned)
}

/// The exports of one platform's unit.
pub(super) fn exports_for(templates: &[Template], platform: &Platform) -> Vec<UnitExport> {
    templates
        .iter()
        .map(|template| {
            let mut export = template.export.clone();
            export
                .attrs
                .extend(template.annotations.attrs_for(platform));
            export
        })
        .collect()
}

/// Refuses two units of one node that would store their images under one name.
pub(super) fn refuse_shared_store(units: &[BuildUnit]) -> Result<(), PlanError> {
    let mut storing = BTreeSet::new();
    for unit in units {
        let stores = unit
            .exports
            .iter()
            .any(|export| export.kind == ExportKind::Store);
        if stores && !storing.insert(&unit.node) {
            return Err(PlanError::Output {
                kind: "image".to_owned(),
                problem: format!(
                    "node {} builds several platforms and would keep only the last under the \
                     name; push the image, or build one platform at a time",
                    unit.node
                ),
            });
        }
    }
    Ok(())
}

struct Output<'a> {
    position: usize,
    spec: &'a OutputSpec,
    request: &'a BuildRequest,
    platforms: usize,
}

type Planned = (Template, Option<MergeStep>);

impl Output<'_> {
    fn template(&self, kind: ExportKind, attrs: BTreeMap<String, String>) -> Template {
        let export = UnitExport {
            output: self.position,
            attrs,
            kind,
        };
        Template {
            export,
            annotations: Annotations::default(),
        }
    }

    /// Refuses keys that the daemon would pass over without a word.
    fn only_keys(
        &self,
        attrs: &BTreeMap<String, String>,
        allowed: &[&str],
    ) -> Result<(), PlanError> {
        match attrs.keys().find(|key| !allowed.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(self.error(&format!(
                "unknown key `{key}`, expected one of: dest, mode, {}",
                allowed.join(", ")
            ))),
        }
    }

    fn boolean(&self, key: &str, value: &str) -> Result<bool, PlanError> {
        crate::attrs::parse_bool(value)
            .ok_or_else(|| self.error(&format!("{key}={value} is neither true nor false")))
    }

    fn error(&self, problem: &str) -> PlanError {
        PlanError::Output {
            kind: self.spec.kind.name().to_owned(),
            problem: problem.to_owned(),
        }
    }
}

fn refuse_shared_destinations(outputs: &[OutputSpec]) -> Result<(), PlanError> {
    let mut taken: Vec<&OutputDest> = Vec::new();
    for spec in outputs {
        let dest = match (&spec.kind, &spec.dest) {
            (OutputKind::Tar | OutputKind::Oci, None) => &OutputDest::Stdout,
            (_, None) => continue,
            (_, Some(dest)) => dest,
        };
        // Paths are compared part by part, so a slash at the end makes no difference.
        if taken.contains(&dest) {
            let problem = match dest {
                OutputDest::Stdout => "two outputs would be written to stdout".to_owned(),
                OutputDest::Path(path) => {
                    format!("two outputs would be written to {}", path.display())
                }
            };
            return Err(PlanError::Output {
                kind: spec.kind.name().to_owned(),
                problem,
            });
        }
        taken.push(dest);
    }
    Ok(())
}
