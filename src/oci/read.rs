//! Reads what others wrote: a configuration's platform, a manifest's parts.
//!
//! Nothing read here is ever written again; the bytes are passed on as they came.

use oci_spec::image::ImageManifest;

use super::{Descriptor, Index, media_type};
use crate::platform::{Platform, PlatformObject};

/// The platform that an image configuration says it is for.
///
/// The members have the same names there as in an index, `os.version` included.
pub fn config_platform(config: &[u8]) -> Result<Platform, serde_json::Error> {
    serde_json::from_slice::<PlatformObject>(config).map(Platform::from)
}

/// The blobs that a manifest needs, its configuration first.
///
/// `None` when the bytes are not a manifest, or name a blob by another digest than sha256.
/// Layers with `urls` are left out: they are by definition not in the registry.
pub fn manifest_parts(manifest: &[u8]) -> Option<Vec<Descriptor>> {
    let manifest = ImageManifest::from_reader(manifest).ok()?;
    let foreign = |layer: &oci_spec::image::Descriptor| {
        layer.urls().as_ref().is_some_and(|urls| !urls.is_empty())
    };
    std::iter::once(manifest.config())
        .chain(manifest.layers().iter().filter(|layer| !foreign(layer)))
        .map(|part| {
            let digest = part.digest().to_string().parse().ok()?;
            Some(Descriptor::new(
                part.media_type().as_ref(),
                digest,
                part.size(),
            ))
        })
        .collect()
}

/// What an index lists, or a manifest needs; `None` when the bytes are neither.
pub fn blobs_below(media_type: &str, document: &[u8]) -> Option<Vec<Descriptor>> {
    match media_type::is_index(media_type) {
        true => Some(Index::parse(document).ok()?.manifests),
        false => manifest_parts(document),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_configurations_platform_is_read_in_full() {
        let config = br#"{"architecture":"amd64","os":"windows","os.version":"10.0.1",
            "variant":"v2","rootfs":{"type":"layers","diff_ids":[]},"history":[]}"#;
        let platform = config_platform(config).unwrap();
        assert_eq!(platform.format_all(), "windows(10.0.1)/amd64/v2");
        assert!(config_platform(b"{}").is_err());
    }

    #[test]
    fn a_manifests_parts_leave_foreign_layers_out() {
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",
            "config":{{"mediaType":"c","digest":"{DIGEST}","size":2}},
            "layers":[{{"mediaType":"l","digest":"{DIGEST}","size":3}},
                      {{"mediaType":"f","digest":"{DIGEST}","size":4,"urls":["https://u"]}}]}}"#
        );
        let sizes: Vec<_> = manifest_parts(manifest.as_bytes())
            .unwrap()
            .iter()
            .map(|part| part.size)
            .collect();
        assert_eq!(sizes, [2, 3]);
        assert_eq!(manifest_parts(b"{}"), None);
    }
}
