//! Small images for registry tests, and a client to reach registries with.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mbuild::credentials::{CredentialEnv, Credentials};
use mbuild::merge::registry::Pushed;
use mbuild::oci::{Descriptor, Index, media_type};
use mbuild::platform::Platform;
use mbuild::reference::ImageRef;
use mbuild::registry::{Manifest, Registries, RegistrySettings};
use mbuild::retry::Backoff;
use serde_json::json;
use tempfile::TempDir;

use super::fake_registry::FakeRegistry;

/// Retries that don't slow a test down.
pub(crate) const QUICK: Backoff = Backoff {
    retries: 4,
    first: Duration::from_millis(5),
    longest: Duration::from_millis(20),
    total: Duration::from_secs(5),
};

/// A client that knows no credentials.
pub(crate) fn anonymous() -> Registries {
    with_settings(RegistrySettings {
        hosts: BTreeMap::new(),
        certs_dirs: vec![],
    })
}

pub(crate) fn with_settings(settings: RegistrySettings) -> Registries {
    provider();
    let credentials = Arc::new(Credentials::new(CredentialEnv::default()));
    Registries::new(settings, credentials).with_backoff(QUICK)
}

/// A client with one entry of docker's configuration, which lives as long as the folder.
pub(crate) fn with_entry(host: &str, entry: &serde_json::Value) -> (Registries, TempDir) {
    provider();
    let dir = tempfile::tempdir().unwrap();
    let config = json!({ "auths": { host: entry } });
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let env = CredentialEnv {
        docker_config_dir: Some(dir.path().into()),
        ..Default::default()
    };
    let settings = RegistrySettings {
        hosts: BTreeMap::new(),
        certs_dirs: vec![],
    };
    let registries = Registries::new(settings, Arc::new(Credentials::new(env)));
    (registries.with_backoff(QUICK), dir)
}

/// Installs the TLS provider, as the program's first line does.
pub(crate) fn provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub(crate) fn image_ref(host: &str, rest: &str) -> ImageRef {
    ImageRef::parse(&format!("{host}/{rest}")).unwrap()
}

/// An index that lists nothing: the smallest thing to write.
pub(crate) fn index() -> Manifest {
    Manifest::new(media_type::INDEX, r#"{"schemaVersion":2,"manifests":[]}"#)
}

/// An image's documents: what a daemon would push.
pub(crate) struct Image {
    pub(crate) config: Vec<u8>,
    pub(crate) layer: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) platform: Platform,
}

impl Image {
    pub(crate) fn new(arch: &str) -> Self {
        let platform = Platform::new("linux", arch);
        let layer = format!("layer of {arch}").into_bytes();
        let config = json!({"architecture": arch, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": []}});
        let config = config.to_string().into_bytes();
        let part = |media_type: &str, bytes: &[u8]| {
            serde_json::to_value(Descriptor::of(media_type, bytes)).unwrap()
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "config": part(media_type::CONFIG, &config),
            "layers": [part("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        Self {
            config,
            layer,
            manifest: manifest.to_string().into_bytes(),
            platform,
        }
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::of(media_type::MANIFEST, &self.manifest).with_platform(self.platform.clone())
    }

    /// Puts it where a daemon's push by digest would.
    pub(crate) fn push(&self, registry: &FakeRegistry, repo: &str) {
        registry.put_blob(repo, &self.config);
        registry.put_blob(repo, &self.layer);
        registry.put_manifest(repo, media_type::MANIFEST, &self.manifest);
    }

    /// What its daemon says then.
    pub(crate) fn pushed(&self) -> Pushed {
        Pushed {
            from: format!("{} on a node", self.platform),
            platform: Some(self.platform.clone()),
            root: self.descriptor(),
        }
    }

    /// Pushes it in an index with a companion that attests it.
    pub(crate) fn push_attested(&self, registry: &FakeRegistry, repo: &str) -> Pushed {
        self.push(registry, repo);
        registry.put_blob(repo, b"{}");
        let config = Descriptor::of("application/vnd.oci.empty.v1+json", b"{}");
        let companion = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "artifactType": "application/vnd.docker.attestation.manifest.v1+json",
            "config": config, "subject": self.descriptor(), "layers": []});
        let companion = companion.to_string().into_bytes();
        registry.put_manifest(repo, media_type::MANIFEST, &companion);
        let mut attestation = Descriptor::of(media_type::MANIFEST, &companion)
            .with_platform(Platform::new("unknown", "unknown"));
        attestation.annotations = BTreeMap::from([
            (
                "vnd.docker.reference.type".to_owned(),
                "attestation-manifest".to_owned(),
            ),
            (
                "vnd.docker.reference.digest".to_owned(),
                self.descriptor().digest.to_string(),
            ),
        ]);
        let index = Index::new(media_type::INDEX, vec![self.descriptor(), attestation]);
        registry.put_manifest(repo, media_type::INDEX, &index.to_bytes());
        Pushed {
            root: Descriptor::of(media_type::INDEX, &index.to_bytes()),
            ..self.pushed()
        }
    }
}
