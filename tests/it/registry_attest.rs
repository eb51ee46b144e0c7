//! Attestations on their way into an index: the names they give, what is signed, what is missing.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use mbuild::merge::registry::{Publication, PublishError, Published, Pushed, publish};
use mbuild::oci::{Descriptor, Index, media_type};
use mbuild::platform::Platform;
use mbuild::reference::ImageRef;
use serde_json::{Value, json};

use crate::support::fake_registry::{Act, FakeRegistry};
use crate::support::images::{Image, anonymous, image_ref};

const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An image in an index with a statement about it, as a daemon pushes it to these repositories.
struct Attested {
    image: Image,
    statement: Vec<u8>,
    companion: Descriptor,
    index: Vec<u8>,
}

impl Attested {
    fn new(arch: &str, sign: bool) -> Self {
        let image = Image::new(arch);
        let hex = image.descriptor().digest.to_string().replace("sha256:", "");
        let statement = json!({"_type": "https://in-toto.io/Statement/v0.1",
            "subject": [{"name": "pkg:docker/REPO@latest", "digest": {"sha256": hex}}],
            "predicate": {"for": arch}});
        Self {
            statement: match sign {
                false => statement.to_string().into_bytes(),
                true => {
                    let payload = STANDARD.encode(statement.to_string());
                    json!({"payload": payload, "signatures": []})
                        .to_string()
                        .into_bytes()
                }
            },
            companion: Descriptor::of("", b""),
            index: Vec::new(),
            image,
        }
    }

    /// Puts it into a repository; its statement names that.
    fn push(mut self, registry: &FakeRegistry, repo: &str) -> Self {
        let host = registry.host().replace(':', "%3A");
        let text = String::from_utf8(self.statement).unwrap();
        self.statement = text.replace("REPO", &format!("{host}/{repo}")).into_bytes();
        self.image.push(registry, repo);
        registry.put_blob(repo, &self.statement);
        registry.put_blob(repo, b"{}");
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "config": Descriptor::of("application/vnd.oci.empty.v1+json", b"{}"),
            "subject": self.image.descriptor(),
            "layers": [Descriptor::of(IN_TOTO, &self.statement)]});
        let manifest = manifest.to_string().into_bytes();
        registry.put_manifest(repo, media_type::MANIFEST, &manifest);
        self.companion = Descriptor::of(media_type::MANIFEST, &manifest)
            .with_platform(Platform::new("unknown", "unknown"));
        let notes = [
            (
                "vnd.docker.reference.type",
                "attestation-manifest".to_owned(),
            ),
            (
                "vnd.docker.reference.digest",
                self.image.descriptor().digest.to_string(),
            ),
        ];
        let notes = notes.map(|(key, value)| (key.to_owned(), value));
        self.companion.annotations = BTreeMap::from(notes);
        let entries = vec![self.image.descriptor(), self.companion.clone()];
        self.index = Index::new(media_type::INDEX, entries).to_bytes();
        registry.put_manifest(repo, media_type::INDEX, &self.index);
        self
    }

    fn pushed(&self) -> Pushed {
        Pushed {
            root: Descriptor::of(media_type::INDEX, &self.index),
            ..self.image.pushed()
        }
    }
}

async fn run(
    registry: &FakeRegistry,
    repos: &[&str],
    tags: &[&str],
    units: &[&Attested],
) -> Result<Published, PublishError> {
    let name = |rest: &&str| image_ref(&registry.host(), rest);
    let repositories: Vec<ImageRef> = repos.iter().map(name).collect();
    let tags: Vec<ImageRef> = tags.iter().map(name).collect();
    let units: Vec<Pushed> = units.iter().map(|unit| unit.pushed()).collect();
    let publication = Publication {
        repositories: &repositories,
        tags: &tags,
        index_annotations: &BTreeMap::new(),
        descriptor_annotations: &[],
    };
    publish(&anonymous(), &publication, &units, &|_| ()).await
}

/// The statements behind the images of an index, in its order.
fn statements(registry: &FakeRegistry, repo: &str, root: &str) -> Vec<Value> {
    let json = |digest: &str| {
        let (_, bytes) = registry.manifest(repo, digest).unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    let entries = json(root)["manifests"].as_array().unwrap().clone();
    let mut statements = Vec::new();
    for pair in entries.chunks(2) {
        let [image, companion] = pair else {
            panic!("{entries:?}")
        };
        let about = &companion["annotations"]["vnd.docker.reference.digest"];
        assert_eq!(about, &image["digest"], "each follows its image");
        let manifest = json(companion["digest"].as_str().unwrap());
        assert_eq!(manifest["subject"]["digest"], image["digest"]);
        for layer in manifest["layers"].as_array().unwrap() {
            let blob = registry.blob(repo, layer["digest"].as_str().unwrap());
            assert_eq!(layer["size"], blob.len());
            statements.push(serde_json::from_slice(&blob).unwrap());
        }
    }
    statements
}

fn subjects(statement: &Value) -> Vec<&str> {
    let subjects = statement["subject"].as_array().unwrap().iter();
    subjects
        .map(|subject| subject["name"].as_str().unwrap())
        .collect()
}

/// buildx leaves `latest` in every statement, whatever the tag.
#[tokio::test]
async fn statements_name_every_tag_in_every_repository() {
    let registry = FakeRegistry::open().await;
    let units = ["arm64", "amd64"].map(|arch| Attested::new(arch, false).push(&registry, "app"));
    let published = run(
        &registry,
        &["app", "other"],
        &["app:1", "app:2", "other:x"],
        &[&units[0], &units[1]],
    )
    .await
    .unwrap();
    assert!(published.warnings.is_empty());
    let root = published.root.digest.to_string();
    let host = registry.host().replace(':', "%3A");
    for repo in ["app", "other"] {
        let found = statements(&registry, repo, &root);
        assert_eq!(found.len(), 2);
        for (statement, arch) in found.iter().zip(["amd64", "arm64"]) {
            let expect = [
                format!("pkg:docker/{host}/app@1"),
                format!("pkg:docker/{host}/app@2"),
            ];
            assert_eq!(subjects(statement), expect);
            assert_eq!(statement["predicate"]["for"], arch);
        }
    }
    // buildx asks for referrers when it merges: a registry that fails there must fail no merge.
    let asked = registry
        .seen()
        .iter()
        .filter(|seen| seen.line.contains("/referrers/"))
        .count();
    assert_eq!(asked, 0, "nobody has to know what refers to an image");
}

#[tokio::test]
async fn what_is_right_already_is_published_as_the_daemon_pushed_it() {
    let registry = FakeRegistry::open().await;
    let unit = Attested::new("amd64", false).push(&registry, "app");
    let before = registry.manifest_count("app");
    let published = run(&registry, &["app"], &["app:latest"], &[&unit])
        .await
        .unwrap();
    assert_eq!(published.root.digest, unit.pushed().root.digest);
    assert_eq!(registry.manifest_count("app"), before);
}

#[tokio::test]
async fn without_a_tag_none_is_named() {
    let registry = FakeRegistry::open().await;
    let unit = Attested::new("amd64", false).push(&registry, "app");
    let published = run(&registry, &["app"], &[], &[&unit]).await.unwrap();
    let found = statements(&registry, "app", &published.root.digest.to_string());
    let host = registry.host().replace(':', "%3A");
    assert_eq!(subjects(&found[0]), [format!("pkg:docker/{host}/app")]);
}

#[tokio::test]
async fn signed_statements_stay_and_are_told() {
    let registry = FakeRegistry::open().await;
    let mut signed = Attested::new("amd64", true);
    // What is signed names the repository already.
    let host = registry.host().replace(':', "%3A");
    let envelope: Value = serde_json::from_slice(&signed.statement).unwrap();
    let payload = STANDARD
        .decode(envelope["payload"].as_str().unwrap())
        .unwrap();
    let payload = String::from_utf8(payload)
        .unwrap()
        .replace("REPO", &format!("{host}/app"));
    let payload = STANDARD.encode(payload);
    signed.statement = json!({"payload": payload, "signatures": []})
        .to_string()
        .into_bytes();
    let signed = signed.push(&registry, "app");
    let published = run(&registry, &["app"], &["app:1"], &[&signed])
        .await
        .unwrap();
    assert_eq!(published.root.digest, signed.pushed().root.digest);
    let expect = "linux/amd64 on a node: 1 signed statements keep names that are not this image's";
    assert_eq!(published.warnings, [expect]);
}

#[tokio::test]
async fn nothing_moves_when_an_attestation_is_missing_or_cannot_be_written() {
    let registry = FakeRegistry::open().await;
    let lost = Attested::new("amd64", false).push(&registry, "lost");
    registry.remove_manifest("lost", lost.companion.digest);
    let error = run(&registry, &["lost"], &["lost:1"], &[&lost])
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("nothing was published"),
        "{error}"
    );
    assert_eq!(registry.tag("lost", "1"), None);
    let unit = Attested::new("amd64", false).push(&registry, "app");
    registry.fault(
        &Method::PUT,
        "/v2/app/manifests/sha256:",
        1,
        Act::Answer(403, None, ""),
    );
    run(&registry, &["app"], &["app:1"], &[&unit])
        .await
        .unwrap_err();
    assert_eq!(registry.tag("app", "1"), None);
}
