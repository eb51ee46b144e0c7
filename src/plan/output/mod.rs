//! What each output means for the units, and the merge step that makes one result of theirs.
//!
//! Pushing outputs push by digest; trees and files are staged by the client; nothing that a
//! unit does is visible under the names that the user gave.

mod archive;
mod image;
mod local;
mod notes;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::node::{EngineInfo, NodeInfo};
use crate::platform::Platform;
use crate::request::{BuildRequest, OutputDest, OutputKind, OutputSpec};
use crate::unit::{ArchiveKind, ExportKind, MergeStep, UnitExport};

use super::PlanError;
use super::annotations::Annotations;

/// The outputs of a request, planned for any platform.
#[derive(Default)]
pub(super) struct PlannedOutputs {
    /// In the order of the exporters.
    templates: Vec<Template>,
    pub(super) merge: Vec<MergeStep>,
    pub(super) warnings: Vec<String>,
}

/// An export before it is known for which platform.
struct Template {
    export: UnitExport,
    annotations: Annotations,
    /// The nodes whose units have it; `None` means all.
    nodes: Option<BTreeSet<String>>,
    /// Whether files of statements have their platform in front of their names.
    prefixed: bool,
}

/// Plans every output of `request`; `placed` has the node of each platform.
pub(super) fn plan_outputs(
    request: &BuildRequest,
    placed: &[&NodeInfo],
    engines: &BTreeMap<usize, EngineInfo>,
) -> Result<PlannedOutputs, PlanError> {
    refuse_shared_destinations(&request.outputs)?;
    let mut planned = PlannedOutputs::default();
    for (position, spec) in request.outputs.iter().enumerate() {
        let output = Output {
            position,
            spec,
            request,
            platforms: placed.len(),
            placed,
            engine: engines.get(&position),
        };
        output.plan(&mut planned)?;
    }
    // The answers of a unit's exporters are merged, and the last one's digest stays: what is
    // pushed must be what is published, and an archive says itself what it holds.
    planned
        .templates
        .sort_by_key(|template| match template.export.kind {
            ExportKind::Tree | ExportKind::File(_) => 0,
            ExportKind::Store => 1,
            ExportKind::Push => 2,
        });
    Ok(planned)
}

impl PlannedOutputs {
    /// The exports of the unit of one platform, on this node.
    pub(super) fn exports_for(&self, platform: &Platform, node: &str) -> Vec<UnitExport> {
        self.templates
            .iter()
            .filter(|template| {
                let nodes = template.nodes.as_ref();
                nodes.is_none_or(|nodes| nodes.contains(node))
            })
            .map(|template| template.export_for(platform))
            .collect()
    }

    fn add(&mut self, (template, step): Planned) {
        self.templates.push(template);
        self.merge.extend(step);
    }
}

impl Template {
    fn export_for(&self, platform: &Platform) -> UnitExport {
        let mut export = self.export.clone();
        export.attrs.extend(match export.kind {
            // The daemon's own index is the one that is kept.
            ExportKind::Store => self.annotations.all_for(platform),
            _ => self.annotations.attrs_for(platform),
        });
        if self.prefixed {
            let prefix = export.attrs.entry("attestation-prefix".to_owned());
            let platform = platform.to_string().replace('/', "_");
            prefix.or_default().push_str(&format!("{platform}."));
        }
        export
    }
}

struct Output<'a> {
    position: usize,
    spec: &'a OutputSpec,
    request: &'a BuildRequest,
    platforms: usize,
    /// The node of each platform.
    placed: &'a [&'a NodeInfo],
    /// The engine that the image is loaded into, where it is.
    engine: Option<&'a EngineInfo>,
}

type Planned = (Template, Option<MergeStep>);

impl Output<'_> {
    fn plan(&self, planned: &mut PlannedOutputs) -> Result<(), PlanError> {
        match &self.spec.kind {
            OutputKind::Cacheonly => {}
            OutputKind::Other(_) => {
                return Err(self.error(
                    "no such output: local, tar, oci, docker, image, registry and cacheonly exist",
                ));
            }
            OutputKind::Local => planned.add(self.local()?),
            OutputKind::Tar => planned.add(self.tar()?),
            OutputKind::Oci => planned.add(self.archive(ArchiveKind::Oci)?),
            OutputKind::Docker if self.loads() => self.load(planned)?,
            OutputKind::Docker => planned.add(self.archive(ArchiveKind::Docker)?),
            OutputKind::Image | OutputKind::Registry => self.image(planned)?,
        }
        Ok(())
    }

    fn template(&self, kind: ExportKind, attrs: BTreeMap<String, String>) -> Template {
        let export = UnitExport {
            output: self.position,
            attrs,
            kind,
        };
        Template {
            export,
            annotations: Annotations::default(),
            nodes: None,
            prefixed: false,
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
