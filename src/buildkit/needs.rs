//! What a build needs of its daemon beyond the base, so that an old one refuses by name
//! instead of leaving something out: before v0.13, all exporters but the first are ignored.

use super::caps::{Capabilities, CapabilitiesError};
use super::connection::Connection;
use super::error::SolveError;
use super::solve::SolveSpec;

/// Attributes that limit a step's resources.
const RESOURCES: &[&str] = &[
    "memory",
    "memswap",
    "cpushares",
    "cpuperiod",
    "cpuquota",
    "cpusetcpus",
    "cpusetmems",
];

/// A feature that is asked for, and the capability that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Need {
    capability: &'static str,
    /// The feature in words, and since when daemons have it.
    feature: &'static str,
    since: &'static str,
}

const MULTIPLE: Need = Need {
    capability: "exporter.multiple",
    feature: "more than one output per build",
    since: "v0.13",
};
const ATTESTATIONS: Need = Need {
    capability: "exporter.image.attestations",
    feature: "attestations",
    since: "v0.11",
};
const ANNOTATIONS: Need = Need {
    capability: "exporter.image.annotations",
    feature: "annotations",
    since: "v0.11",
};
const OCI_LAYOUT: Need = Need {
    capability: "source.ocilayout",
    feature: "OCI layouts as contexts",
    since: "v0.11",
};
const LIMITS: Need = Need {
    capability: "exec.meta.linux.resources",
    feature: "limits on memory and processors of steps",
    since: "v0.31",
};
const CACHE_GHA: Need = Need {
    capability: "cache.gha",
    feature: "caches of type `gha`",
    since: "v0.9",
};
const CACHE_S3: Need = Need {
    capability: "cache.s3",
    feature: "caches of type `s3`",
    since: "v0.11",
};
const CACHE_AZBLOB: Need = Need {
    capability: "cache.azblob",
    feature: "caches of type `azblob`",
    since: "v0.11",
};

fn needs(spec: &SolveSpec) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut need = |needed: bool, what: Need| {
        if needed {
            needs.push(what);
        }
    };
    let attrs = &spec.frontend_attrs;
    let exporter_attrs = || {
        spec.exporters
            .iter()
            .flat_map(|exporter| exporter.attrs.keys())
    };
    let cache = |kind: &str| {
        let mut caches = spec.cache_imports.iter().chain(&spec.cache_exports);
        caches.any(|cache| cache.kind == kind)
    };
    need(spec.exporters.len() > 1, MULTIPLE);
    need(
        attrs.keys().any(|key| key.starts_with("attest:")),
        ATTESTATIONS,
    );
    need(
        exporter_attrs().any(|key| key.starts_with("annotation")),
        ANNOTATIONS,
    );
    need(
        attrs
            .values()
            .any(|value| value.starts_with("oci-layout://")),
        OCI_LAYOUT,
    );
    need(
        attrs.keys().any(|key| RESOURCES.contains(&key.as_str())),
        LIMITS,
    );
    need(cache("gha"), CACHE_GHA);
    need(cache("s3"), CACHE_S3);
    need(cache("azblob"), CACHE_AZBLOB);
    needs
}

impl Connection {
    /// Refuses a build that the daemon would not do as asked. Asks the daemon only if the
    /// build needs something that not all daemons have.
    pub(super) async fn check_needs(&self, spec: &SolveSpec) -> Result<(), SolveError> {
        let needs = needs(spec);
        if needs.is_empty() {
            return Ok(());
        }
        let none = Capabilities::default();
        let capabilities = match self.capabilities().await {
            Ok(capabilities) => capabilities,
            // It cannot say what it can do, so it is older than all of these.
            Err(CapabilitiesError::Refused { .. }) => &none,
            Err(CapabilitiesError::Lost { reason, .. }) => {
                return Err(SolveError::lost(self.endpoint(), reason));
            }
            Err(error @ CapabilitiesError::Silent { .. }) => {
                return Err(SolveError::lost(self.endpoint(), error.to_string()));
            }
        };
        let missing = needs.iter().find(|need| !capabilities.has(need.capability));
        missing.map_or(Ok(()), |need| {
            Err(SolveError::refused(self.endpoint(), need.sentence()))
        })
    }
}

impl Need {
    fn sentence(self) -> String {
        let Self { feature, since, .. } = self;
        format!("the daemon does not support {feature}, which BuildKit has since {since}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildkit::solve::{CacheSpec, ExporterSpec};

    fn exporter(attr: &str) -> ExporterSpec {
        ExporterSpec {
            kind: "image".into(),
            attrs: [(attr.to_owned(), String::new())].into(),
        }
    }

    fn with_attr(key: &str, value: &str) -> SolveSpec {
        SolveSpec {
            frontend_attrs: [(key.to_owned(), value.to_owned())].into(),
            ..SolveSpec::default()
        }
    }

    #[test]
    fn a_plain_build_needs_nothing_special() {
        let mut spec = with_attr("platform", "linux/amd64");
        spec.exporters = vec![exporter("push")];
        assert_eq!(needs(&spec), []);
    }

    #[test]
    fn each_feature_has_its_capability() {
        let mut spec = SolveSpec {
            exporters: vec![exporter("push"), exporter("annotation.x")],
            ..SolveSpec::default()
        };
        assert_eq!(needs(&spec), [MULTIPLE, ANNOTATIONS]);
        spec = with_attr("attest:sbom", "");
        assert_eq!(needs(&spec), [ATTESTATIONS]);
        spec = with_attr("context:base", "oci-layout://x@sha256:1");
        assert_eq!(needs(&spec), [OCI_LAYOUT]);
        spec = with_attr("memory", "1");
        assert_eq!(needs(&spec), [LIMITS]);
        spec.cache_exports = vec![CacheSpec {
            kind: "s3".into(),
            ..CacheSpec::default()
        }];
        assert_eq!(needs(&spec), [LIMITS, CACHE_S3]);
    }
}
