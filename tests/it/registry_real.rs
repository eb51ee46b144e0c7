//! The same against the real registry of the test environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use mbuild::config::RegistryDef;
use mbuild::credentials::{CredentialEnv, Credentials};
use mbuild::merge::registry::{Publication, check_push, publish};
use mbuild::oci::{Index, media_type};
use mbuild::reference::ImageRef;
use mbuild::registry::{At, Manifest, Registries, RegistrySettings, Repository};

use crate::support::images::{Image, image_ref, provider};
use crate::support::real;

/// A client for the real registry, which speaks plain HTTP.
fn registries(host: &str, settings: RegistryDef) -> Registries {
    provider();
    let hosts = BTreeMap::from([(host.to_owned(), settings)]);
    let settings = RegistrySettings {
        hosts,
        certs_dirs: vec![],
    };
    Registries::new(
        settings,
        Arc::new(Credentials::new(CredentialEnv::default())),
    )
}

/// A repository that no other run of this test uses.
fn fresh(host: &str, name: &str) -> ImageRef {
    let now = jiff::Timestamp::now().as_nanosecond();
    image_ref(host, &format!("mbuild-test/{name}-{now}"))
}

async fn put(repository: &Repository, base: &Repository, image: &Image) -> Manifest {
    // Blobs that the registry has are enough for a manifest; those of the base image serve.
    let from = base.get_manifest(At::Tag("latest")).await.unwrap().unwrap();
    let index = Index::parse(&from.bytes).unwrap();
    let wanted = |entry: &&mbuild::oci::Descriptor| {
        entry
            .known_platform()
            .is_some_and(|p| p.architecture == image.platform.architecture)
    };
    let entry = index.manifests.iter().find(wanted).unwrap();
    repository.copy_image(base, entry.digest).await.unwrap();
    repository
        .get_manifest(At::Digest(entry.digest))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn an_index_is_published_under_tags_in_two_repositories() {
    let Some(env) = real::env() else { return };
    let host = env.get("REGISTRY");
    let registries = registries(
        host,
        RegistryDef {
            http: true,
            ..Default::default()
        },
    );
    let base = registries
        .repository(&ImageRef::parse(env.get("BASE")).unwrap())
        .await
        .unwrap();
    let (one, two) = (fresh(host, "one"), fresh(host, "two"));
    check_push(&registries, &[one.clone(), two.clone()])
        .await
        .unwrap();
    let repository = registries.repository(&one).await.unwrap();
    let mut units = Vec::new();
    for arch in ["arm64", "amd64"] {
        let image = Image::new(arch);
        let manifest = put(&repository, &base, &image).await;
        let mut unit = image.pushed();
        unit.root = manifest.descriptor();
        units.push(unit);
    }
    let tags = [one.with_tag("1").unwrap(), two.with_tag("latest").unwrap()];
    let notes = BTreeMap::from([("org.example.k".to_owned(), "v".to_owned())]);
    let publication = Publication {
        repositories: std::slice::from_ref(&one),
        tags: &tags,
        index_annotations: &notes,
        descriptor_annotations: &[],
    };
    let published = publish(&registries, &publication, &units, &|_| ())
        .await
        .unwrap();
    assert_eq!(published.moved, tags);
    for (image, tag) in [(&one, "1"), (&two, "latest")] {
        let repository = registries.repository(image).await.unwrap();
        let manifest = repository
            .get_manifest(At::Tag(tag))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(manifest.media_type, media_type::INDEX);
        assert_eq!(manifest.digest, published.root.digest);
        let index = Index::parse(&manifest.bytes).unwrap();
        assert_eq!((index.manifests.len(), &index.annotations), (2, &notes));
        for entry in index.manifests {
            assert!(
                repository
                    .head_manifest(At::Digest(entry.digest))
                    .await
                    .unwrap()
                    .is_some()
            );
        }
    }
}

#[tokio::test]
async fn plain_http_is_found_out_for_an_insecure_registry_and_told_otherwise() {
    let Some(env) = real::env() else { return };
    let image = fresh(env.get("REGISTRY"), "check");
    let lax = registries(
        env.get("REGISTRY"),
        RegistryDef {
            insecure: true,
            ..Default::default()
        },
    );
    check_push(&lax, std::slice::from_ref(&image))
        .await
        .unwrap();
    let strict = registries(env.get("REGISTRY"), RegistryDef::default());
    let error = check_push(&strict, &[image]).await.unwrap_err();
    assert!(error.advice().unwrap().contains("http = true"), "{error:?}");
}
