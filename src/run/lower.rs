//! A unit and its request become what BuildKit is asked to solve. Pure.

use std::collections::BTreeMap;

use crate::buildkit::{ExporterSpec, SolveSpec};
use crate::reference::ImageRef;
use crate::request::{BuildRequest, Entitlement};
use crate::unit::{BuildUnit, ExportKind, UnitExport};

use super::error::UnitError;
use super::frontend::{self, frontend};

/// Names that a unit gets just before it runs.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The Solve's own id.
    pub(super) reference: String,
    /// The unit's session.
    pub(super) session: String,
}

/// What of the daemon and its sessions the spec depends on.
#[derive(Debug, Clone, Default)]
pub(super) struct Target {
    /// For the frontend.
    pub(super) frontend: frontend::Surroundings,
    /// Whether images go to the store of a Docker engine, which has its own exporter.
    pub(super) docker_store: bool,
    /// Hosts whose certificates need not be checked.
    pub(super) insecure_registries: Vec<String>,
}

/// Makes the Solve of one unit.
pub(super) fn solve_spec(
    request: &BuildRequest,
    unit: &BuildUnit,
    target: &Target,
    names: &Names,
) -> Result<SolveSpec, UnitError> {
    let frontend = frontend(request, &unit.platform, &target.frontend)?;
    Ok(SolveSpec {
        reference: names.reference.clone(),
        session: names.session.clone(),
        frontend: frontend.name.to_owned(),
        frontend_attrs: frontend.attrs,
        exporters: unit
            .exports
            .iter()
            .map(|export| exporter(export, target))
            .collect(),
        entitlements: request
            .entitlements
            .iter()
            .filter_map(Entitlement::for_daemon)
            .collect(),
        question: request.call.is_some(),
        ..SolveSpec::default()
    })
}

fn exporter(export: &UnitExport, target: &Target) -> ExporterSpec {
    let mut attrs = export.attrs.clone();
    let kind = match export.kind {
        ExportKind::Push => {
            if pushes_insecurely(&attrs, &target.insecure_registries) {
                attrs
                    .entry("registry.insecure".to_owned())
                    .or_insert_with(|| "true".to_owned());
            }
            "image"
        }
        ExportKind::Store if target.docker_store => "moby",
        ExportKind::Store => "image",
        ExportKind::Tree => "local",
        ExportKind::File(archive) => archive.exporter(),
    };
    ExporterSpec {
        kind: kind.to_owned(),
        attrs,
    }
}

fn pushes_insecurely(attrs: &BTreeMap<String, String>, insecure: &[String]) -> bool {
    let names = attrs.get("name").map(String::as_str).unwrap_or_default();
    names
        .split(',')
        .filter_map(|name| ImageRef::parse(name).ok())
        .any(|name| insecure.iter().any(|host| host == name.domain()))
}
