//! `mbuild manifest copy`: whole images between registries and layouts, digests unchanged.

use mbuild::digest::Digest;
use mbuild::manifest::{Outcome, Place, Referring, Store, StoreError, TargetError, copy};
use mbuild::oci::layout::Layout;
use mbuild::oci::{Descriptor, media_type};
use mbuild::registry::{Registries, referrers_tag};
use serde_json::json;

use crate::support::fake_registry::{FakeRegistry, Setup};
use crate::support::hub::{Hub, text};
use crate::support::images::{Image, anonymous};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases};

cases!(beside:
    an_image_goes_through_a_layout_and_comes_back_the_same,
    copying_again_sends_nothing,
    a_digest_in_the_targets_name_is_checked,
);

fn place(text: &str) -> Place {
    Place::parse(text, "/".as_ref()).unwrap()
}

/// Copies as the command does.
pub(crate) async fn run(
    registries: &Registries,
    source: &str,
    target: &str,
) -> Result<Outcome, TargetError> {
    let found: Result<_, StoreError> = async {
        let store = Store::open(registries, &place(source)).await?;
        let manifest = store.find(&place(source)).await?;
        Ok((store, manifest))
    }
    .await;
    let (store, manifest) = found.unwrap();
    let target = place(target);
    let from = (&store, &manifest);
    copy(registries, from, &target, Referring::Copied, &|_| ()).await
}

/// Pushes something that refers to `subject`; gives its digest.
pub(crate) fn push_signature(registry: &FakeRegistry, repo: &str, subject: &Descriptor) -> Digest {
    registry.put_blob(repo, b"{}");
    let text = format!("signature of {}", subject.digest);
    registry.put_blob(repo, text.as_bytes());
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "artifactType": "a/signature",
        "config": Descriptor::of("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [Descriptor::of("a/signature", text.as_bytes())],
        "subject": subject});
    registry.put_manifest(repo, media_type::MANIFEST, manifest.to_string().as_bytes())
}

/// An index with an attestation, a signature of the image, one of the index, one of that
/// signature, and one under cosign's tag.
async fn furnished(setup: Setup) -> (FakeRegistry, Digest, Vec<Digest>) {
    let registry = FakeRegistry::start(setup).await;
    let image = Image::new("amd64");
    let root = image.push_attested(&registry, "from").root;
    registry.put_tag("from", "1", root.digest);
    let mut all = vec![root.digest, image.descriptor().digest];
    let signature = push_signature(&registry, "from", &root);
    let mut of_signature = root.clone();
    of_signature.digest = signature;
    all.push(signature);
    all.push(push_signature(&registry, "from", &image.descriptor()));
    all.push(push_signature(&registry, "from", &of_signature));
    let cosign = Image::new("s390x");
    cosign.push(&registry, "from");
    let tag = format!("{}.sig", referrers_tag(root.digest));
    registry.put_tag("from", &tag, cosign.descriptor().digest);
    all.push(cosign.descriptor().digest);
    (registry, root.digest, all)
}

#[tokio::test]
async fn what_refers_to_an_image_goes_with_it_to_any_place() {
    let with = |referrers| Setup {
        referrers,
        ..Setup::default()
    };
    let (one, root, all) = furnished(with(true)).await;
    let (two, three) = (
        FakeRegistry::start(with(false)).await,
        FakeRegistry::start(with(true)).await,
    );
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("layout");
    let registries = anonymous();
    let (from, layout) = (
        format!("{}/from:1", one.host()),
        format!("oci-layout://{}:one", dir.display()),
    );
    // A registry that lists by itself, one that does not, a layout, and back.
    let (middle, last) = (
        format!("{}/m:2", two.host()),
        format!("{}/l:3", three.host()),
    );
    for (source, target) in [(&from, &middle), (&middle, &layout), (&layout, &last)] {
        let outcome = run(&registries, source, target).await.unwrap();
        assert_eq!(outcome.moved.len(), 1, "{source} to {target}");
        assert!(outcome.unmoved.is_empty() && outcome.warnings.is_empty());
    }
    for digest in &all {
        let digest = digest.to_string();
        assert_eq!(
            three.manifest("l", &digest),
            one.manifest("from", &digest),
            "{digest}"
        );
        assert!(two.manifest("m", &digest).is_some(), "{digest}");
    }
    assert_eq!(three.tag("l", "3"), Some(root.to_string()));
    let list = two.tag("m", &referrers_tag(root)).unwrap();
    assert!(
        two.manifest("m", &list).is_some(),
        "the list that clients keep"
    );
    assert_eq!(three.tag("l", &referrers_tag(root)), None, "none is needed");
    let cosign = format!("{}.sig", referrers_tag(root));
    assert_eq!(three.tag("l", &cosign), one.tag("from", &cosign));
    assert_eq!(
        Layout::open(&dir).unwrap().find("one").unwrap().digest,
        root
    );
}

#[tokio::test]
async fn within_a_registry_blobs_are_mounted_or_else_uploaded() {
    for mounts in [true, false] {
        let (registry, root, _) = furnished(Setup {
            mounts,
            ..Setup::default()
        })
        .await;
        let host = registry.host();
        let (from, to) = (format!("{host}/from:1"), format!("{host}/to:1"));
        run(&anonymous(), &from, &to).await.unwrap();
        assert_eq!(registry.tag("to", "1"), Some(root.to_string()));
        let uploads = registry.count("PUT /v2/to/blobs/uploads/");
        assert_eq!(uploads == 0, mounts, "{uploads}");
    }
}

#[tokio::test]
async fn what_is_there_is_not_sent_again() {
    let (one, ..) = furnished(Setup::default()).await;
    let two = FakeRegistry::open().await;
    let registries = anonymous();
    let (from, to) = (
        format!("{}/from:1", one.host()),
        format!("{}/to:1", two.host()),
    );
    let first = run(&registries, &from, &to).await.unwrap().tally;
    assert!(first.blobs > 3 && first.manifests > 3, "{first:?}");
    let sent = two.count("POST ");
    let second = run(&registries, &from, &to).await.unwrap().tally;
    assert_eq!((second.blobs, second.bytes, second.manifests), (0, 0, 0));
    assert_eq!(two.count("POST "), sent, "no upload is begun");
}

fn digest_at(hub: &Hub, name: &str) -> String {
    hub.manifest(name).digest
}

fn an_image_goes_through_a_layout_and_comes_back_the_same(target: &Target) {
    let sandbox = Sandbox::new(target);
    let (one, two) = (target.repository("copy-one"), target.repository("copy-two"));
    let base = &target.base;
    for (source, to) in [
        (base.clone(), format!("{one}:1")),
        (format!("{one}:1"), "oci-layout://disk:x".to_owned()),
        (
            "oci-layout://disk:x".to_owned(),
            "oci-layout://other".to_owned(),
        ),
        ("oci-layout://other".to_owned(), format!("{two}:2")),
    ] {
        sandbox
            .run(&format!("manifest copy {source} {to}"))
            .exits(0)
            .prints_nothing()
            .says(&["copying linux/arm64 sha256:", " is at "]);
    }
    let (repository, tag) = base.rsplit_once(':').unwrap();
    let original = Hub::new(repository).manifest(tag);
    let copied = Hub::new(&two).manifest("2");
    assert_eq!(copied, original);
    let hub = Hub::new(&two);
    for platform in ["linux/amd64", "linux/arm64"] {
        let image = hub.image(&copied, platform);
        assert_eq!(
            hub.config(&image)["architecture"],
            platform.split_once('/').unwrap().1
        );
        assert!(!hub.layers(&image).is_empty());
    }
    assert_eq!(
        text(&sandbox.json("disk/index.json")["manifests"][0]["digest"]),
        original.digest
    );
}

fn copying_again_sends_nothing(target: &Target) {
    let sandbox = Sandbox::new(target);
    let (base, name) = (&target.base, target.repository("copy-again"));
    sandbox
        .run(&format!("manifest cp {base} {name}:1"))
        .exits(0);
    sandbox
        .run(&format!("manifest cp --progress plain {base} {name}:2"))
        .exits(0)
        .says(&["copied: 0 manifests, 0 blobs of 0 B"]);
    let hub = Hub::new(&name);
    assert_eq!(digest_at(&hub, "1"), digest_at(&hub, "2"));
}

fn a_digest_in_the_targets_name_is_checked(target: &Target) {
    let sandbox = Sandbox::new(target);
    let (base, name) = (&target.base, target.repository("copy-digest"));
    let (repository, tag) = base.rsplit_once(':').unwrap();
    let digest = Hub::new(repository).manifest(tag).digest;
    let other = Digest::of(b"other");
    sandbox
        .run(&format!("manifest copy {base} {name}@{other}"))
        .exits(2)
        .says(&["is for another image", &digest]);
    let run = sandbox.run(&format!(
        "manifest copy --progress quiet {base} {name}@{digest}"
    ));
    assert_eq!(run.exits(0).out(), format!("{digest}\n"));
    assert_eq!(Hub::new(&name).find("latest"), None, "no tag was asked for");
    assert!(Hub::new(&name).find(&digest).is_some());
}
