//! The files of `deploy/buildkit`, as they are at the time of building: [`documents`].
//!
//! What kustomize makes of them is for `pool`; nothing here changes a document.

use serde_json::Value;

use super::ManifestError;

macro_rules! deployed {
    ($path:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/deploy/buildkit/",
            $path
        ))
    };
}

/// The daemons' configuration.
pub(super) const BUILDKITD_TOML: &str = deployed!("base/buildkitd.toml");
/// The namespace.
pub(super) const NAMESPACE: &str = deployed!("base/namespace.yaml");
/// What all architectures share.
pub(super) const SHARED: &[&str] = &[
    deployed!("base/client.yaml"),
    deployed!("base/network-policy.yaml"),
];
/// What each architecture has.
pub(super) const DAEMON: &[&str] = &[
    deployed!("base/daemon/service.yaml"),
    deployed!("base/daemon/statefulset.yaml"),
    deployed!("base/daemon/disruption.yaml"),
];
/// The HPAs, one for each architecture that the files know.
pub(super) const SCALE_UP: &str = deployed!("components/autoscale/scale-up.yaml");
/// What removes idle pods.
pub(super) const SCALE_DOWN: &str = deployed!("components/autoscale/scale-down.yaml");

/// The component `rootless`.
pub(super) const ROOTLESS: &[&str] = &[deployed!("components/rootless/daemon.yaml")];
/// The component `userns`.
pub(super) const USERNS: &[&str] = &[deployed!("components/userns/daemon.yaml")];
/// The component `persistent`.
pub(super) const PERSISTENT: &[&str] = &[deployed!("components/persistent/claim.yaml")];
/// The component `mtls`.
pub(super) const MTLS: &[&str] = &[
    deployed!("components/mtls/daemon.yaml"),
    deployed!("components/mtls/service.yaml"),
    deployed!("components/mtls/network-policy.yaml"),
];
/// The patch of the component `autoscale`.
pub(super) const AUTOSCALE: &[&str] = &[deployed!("components/autoscale/daemon.yaml")];

/// The documents of one file.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, ManifestError> {
    serde_saphyr::from_multiple(text).map_err(|error| ManifestError::Embedded(error.to_string()))
}
