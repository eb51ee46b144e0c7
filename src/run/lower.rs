//! A unit and its request become what BuildKit is asked to solve. Pure.

use std::collections::BTreeMap;

use crate::buildkit::{CacheSpec, ExporterSpec, SolveSpec};
use crate::reference::ImageRef;
use crate::request::{BuildRequest, Entitlement};
use crate::unit::{BuildUnit, ExportKind, UnitExport};

use super::caches::Caches;
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
    caches: &Caches,
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
        cache_exports: reachable(&caches.exports, target),
        cache_imports: reachable(&caches.imports, target),
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
            relax(&mut attrs, "name", target);
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

/// Caches as the daemon reaches their registries.
fn reachable(caches: &[CacheSpec], target: &Target) -> Vec<CacheSpec> {
    let mut caches = caches.to_vec();
    for cache in caches.iter_mut().filter(|cache| cache.kind == "registry") {
        relax(&mut cache.attrs, "ref", target);
    }
    caches
}

/// Has the daemon not check the certificate of a registry that is configured so. The images' names
/// are the value of `key`.
fn relax(attrs: &mut BTreeMap<String, String>, key: &str, target: &Target) {
    let names = attrs.get(key).map(String::as_str).unwrap_or_default();
    let insecure = names
        .split(',')
        .filter_map(|name| ImageRef::parse(name).ok())
        .any(|name| {
            let mut hosts = target.insecure_registries.iter();
            hosts.any(|host| host == name.domain())
        });
    if insecure {
        attrs
            .entry("registry.insecure".to_owned())
            .or_insert_with(|| "true".to_owned());
    }
}
