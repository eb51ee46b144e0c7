//! `mbuild manifest create` and `inspect` against the real registry.

use serde_json::json;

use crate::support::hub::{Hub, text};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases};

cases!(beside:
    a_matrix_of_single_platforms_is_joined_from_its_metadata,
    sources_may_be_tags_digests_descriptors_and_layouts,
    what_a_dry_run_prints_is_what_is_pushed,
    images_are_appended_annotated_and_filtered,
    one_source_stays_as_it_is,
    an_index_goes_to_several_repositories_and_a_layout,
    attestations_follow_their_images,
    wrong_sources_and_targets_are_named,
    an_image_is_shown_as_text_raw_and_by_template,
    buildx_spells_it_imagetools,
);

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// The digest of the base image for one architecture.
fn digest_of(target: &Target, platform: &str) -> String {
    let (repository, tag) = target.base.rsplit_once(':').unwrap();
    let hub = Hub::new(repository);
    hub.image(&hub.manifest(tag), platform).digest
}

/// The base image's repository and its digest for one architecture.
fn base_at(target: &Target, platform: &str) -> String {
    let (repository, _) = target.base.rsplit_once(':').unwrap();
    format!("{repository}@{}", digest_of(target, platform))
}

/// buildx needs scripts around `imagetools create` for this.
fn a_matrix_of_single_platforms_is_joined_from_its_metadata(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\nRUN uname -m >/machine\n");
    let name = target.repository("matrix");
    for platform in PLATFORMS {
        let file = platform.replace('/', "-");
        sandbox
            .run(&format!(
                "--platform {platform} -o type=image,name={name},push=true,push-by-digest=true \
                 --metadata-file {file}.json ctx"
            ))
            .exits(0);
    }
    sandbox
        .run(&format!(
            "manifest create -t {name}:1 --metadata-file out.json ./linux-arm64.json -f linux-amd64.json"
        ))
        .exits(0)
        .prints_nothing();
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    assert_eq!(index.platforms(), PLATFORMS);
    for platform in PLATFORMS {
        let machine = hub.file(&hub.image(&index, platform), "machine");
        let expect: &[u8] = if platform.ends_with("arm64") {
            b"aarch64\n"
        } else {
            b"x86_64\n"
        };
        assert_eq!(machine, expect);
    }
    let metadata = sandbox.json("out.json");
    assert_eq!(text(&metadata["containerimage.digest"]), index.digest);
    assert_eq!(
        metadata["containerimage.descriptor"]["mediaType"],
        index.media_type
    );
    assert_eq!(metadata["image.name"], format!("{name}:1"));
    // As if one build had made it, and what was made is a source itself.
    sandbox
        .run(&format!(
            "--platform linux/amd64,linux/arm64 -t {name}:2 --push ctx"
        ))
        .exits(0);
    assert_eq!(hub.manifest("2").digest, index.digest);
    sandbox
        .run(&format!("manifest create -t {name}:3 ./out.json"))
        .exits(0);
    assert_eq!(hub.manifest("3").digest, index.digest);
}

fn sources_may_be_tags_digests_descriptors_and_layouts(target: &Target) {
    let sandbox = Sandbox::new(target);
    let name = target.repository("sources");
    let [amd, arm] = PLATFORMS.map(|platform| base_at(target, platform));
    sandbox
        .run(&format!("manifest copy {arm} oci-layout://disk:arm"))
        .exits(0);
    sandbox
        .run(&format!(
            "manifest create -t {name}:1 {amd} oci-layout://disk:arm"
        ))
        .exits(0);
    let digest = digest_of(target, "linux/arm64");
    sandbox
        .run(&format!(
            "manifest create -t {name}:2 oci-layout://disk@{digest} {amd}"
        ))
        .exits(0);
    // What has no place is in the only repository that is named.
    let digests = PLATFORMS.map(|platform| digest_of(target, platform));
    let json = json!({"digest": digests[1], "platform": {"os": "linux", "architecture": "arm64"}});
    sandbox
        .mbuild(&format!("manifest create -t {name}:3 {}", digests[0]))
        .arg(json.to_string())
        .run()
        .exits(0);
    sandbox.write("d.json", json!({"digest": digests[0]}).to_string());
    sandbox
        .mbuild(&format!("manifest create -t {name}:4 -f d.json -f -"))
        .stdin(json.to_string())
        .run()
        .exits(0);
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    assert_eq!(index.platforms(), PLATFORMS);
    for tag in ["2", "3", "4"] {
        assert_eq!(hub.manifest(tag).digest, index.digest, "{tag}");
    }
}

fn what_a_dry_run_prints_is_what_is_pushed(target: &Target) {
    let sandbox = Sandbox::new(target);
    let name = target.repository("dry");
    let [amd, arm] = PLATFORMS.map(|platform| base_at(target, platform));
    let shown = sandbox
        .run(&format!(
            "manifest create --dry-run -t {name}:1 {arm} {amd} --annotation index:k=v"
        ))
        .exits(0);
    assert_eq!(Hub::new(&name).find("1"), None, "nothing was pushed");
    sandbox
        .run(&format!(
            "manifest create -t {name}:1 {amd} {arm} --annotation index:k=v"
        ))
        .exits(0);
    let raw = sandbox
        .run(&format!("manifest inspect --raw {name}:1"))
        .exits(0);
    assert_eq!(shown.out().strip_suffix('\n'), Some(raw.out()));
    let digest = mbuild::digest::Digest::of(&raw.stdout).to_string();
    assert_eq!(digest, Hub::new(&name).manifest("1").digest);
}

fn images_are_appended_annotated_and_filtered(target: &Target) {
    let sandbox = Sandbox::new(target);
    let name = target.repository("append");
    let [amd, arm] = PLATFORMS.map(|platform| base_at(target, platform));
    sandbox
        .run(&format!("manifest create -t {name}:1 {amd}"))
        .exits(0);
    let hub = Hub::new(&name);
    assert_eq!(hub.manifest("1").platforms(), ["linux/amd64"]);
    sandbox
        .run(&format!(
            "manifest create --append -t {name}:1 {arm} --annotation index:a=1 \
             --annotation manifest-descriptor[linux/arm64]:b=2"
        ))
        .exits(0);
    let index = hub.manifest("1");
    assert_eq!(index.platforms(), PLATFORMS);
    assert_eq!(index.json["annotations"], json!({"a": "1"}));
    let entry = |position: usize| &index.json["manifests"][position]["annotations"];
    assert_eq!((entry(0), entry(1)), (&json!(null), &json!({"b": "2"})));
    sandbox
        .run(&format!(
            "manifest create -t {name}:2 -p linux/arm64,linux/386 {}",
            target.base
        ))
        .exits(0)
        .says(&["WARNING: no source is for linux/386"]);
    assert_eq!(hub.manifest("2").platforms(), ["linux/arm64"]);
}

fn one_source_stays_as_it_is(target: &Target) {
    let sandbox = Sandbox::new(target);
    let name = target.repository("carbon");
    let (repository, tag) = target.base.rsplit_once(':').unwrap();
    let original = Hub::new(repository).manifest(tag);
    sandbox
        .run(&format!("manifest create -t {name}:1 {}", target.base))
        .exits(0);
    let hub = Hub::new(&name);
    assert_eq!(hub.manifest("1"), original);
    let arm = base_at(target, "linux/arm64");
    sandbox
        .run(&format!(
            "manifest create --prefer-index=false -t {name}:2 {arm}"
        ))
        .exits(0);
    assert_eq!(hub.manifest("2").digest, digest_of(target, "linux/arm64"));
    assert!(!hub.manifest("2").is_index());
}

fn an_index_goes_to_several_repositories_and_a_layout(target: &Target) {
    let sandbox = Sandbox::new(target);
    let (one, two) = (target.repository("to-one"), target.repository("to-two"));
    let [amd, arm] = PLATFORMS.map(|platform| base_at(target, platform));
    sandbox
        .run(&format!(
            "manifest create -t {one}:1 -t {two}:2 -t {two} -t oci-layout://disk:3 {amd} {arm}"
        ))
        .exits(0);
    let (one, two) = (Hub::new(&one), Hub::new(&two));
    let index = one.manifest("1");
    assert_eq!(two.manifest("2").digest, index.digest);
    assert_eq!(two.manifest("latest").digest, index.digest);
    assert!(!two.layers(&two.image(&index, "linux/arm64")).is_empty());
    let entry = &sandbox.json("disk/index.json")["manifests"][0];
    assert_eq!(text(&entry["digest"]), index.digest);
    assert_eq!(
        entry["annotations"]["org.opencontainers.image.ref.name"],
        "3"
    );
    sandbox.run("manifest inspect oci-layout://disk:3").exits(0);
}

fn attestations_follow_their_images(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\nRUN uname -m >/machine\n");
    let name = target.repository("attested");
    let attest = "-o type=image,name={name},push=true,push-by-digest=true";
    for platform in PLATFORMS {
        sandbox
            .run(&format!(
                "--provenance mode=min --platform {platform} {} --metadata-file {}.json ctx",
                attest.replace("{name}", &name),
                platform.replace('/', "-"),
            ))
            .exits(0);
    }
    let copy = target.repository("attested-copy");
    sandbox
        .run(&format!(
            "manifest create -t {copy}:1 ./linux-arm64.json ./linux-amd64.json"
        ))
        .exits(0);
    let index = Hub::new(&copy).manifest("1");
    assert_eq!(
        index.platforms(),
        [
            "linux/amd64",
            "unknown/unknown",
            "linux/arm64",
            "unknown/unknown"
        ]
    );
    let provenance = sandbox
        .run(&format!(
            "manifest inspect {copy}:1 --format {{{{json(.Provenance)}}}}"
        ))
        .exits(0);
    let provenance: serde_json::Value = serde_json::from_str(provenance.out()).unwrap();
    assert!(
        provenance["linux/arm64"]["SLSA"].is_object(),
        "{provenance}"
    );
}

fn wrong_sources_and_targets_are_named(target: &Target) {
    let sandbox = Sandbox::new(target);
    let name = target.repository("wrong");
    let [amd, arm] = PLATFORMS.map(|platform| base_at(target, platform));
    let digest = digest_of(target, "linux/arm64");
    sandbox.write("failed.json", "{\"mbuild.version\":1}");
    sandbox.write("text.json", "text");
    sandbox
        .run(&format!("manifest create -t {name}:1 {amd}"))
        .exits(0);
    sandbox.dockerfile("FROM BASE\nRUN echo other >/other\n");
    sandbox
        .run(&format!(
            "--platform linux/amd64 -t {name}:other --push ctx"
        ))
        .exits(0);
    let nowhere = target.repository("nowhere");
    for (words, says) in [
        (arm.clone(), "--tag is needed"),
        (format!("-t {name}:2"), "no source"),
        (format!("-t {name}:2 {nowhere}:1"), nowhere.as_str()),
        (format!("-t {name}:2 {name}:nothing"), "nothing"),
        (format!("-t {nowhere}:1 --append {arm}"), "is not there"),
        (format!("-t {name}:2 ./failed.json"), "failed, or made none"),
        (format!("-t {name}:2 ./text.json"), "not JSON"),
        (format!("-t {name}:2 ./absent.json"), "absent.json"),
        (format!("-t {name}:2 oci-layout://absent"), "absent"),
        (
            format!("-t {name}:2 -t {nowhere}:3 {digest} {amd}"),
            "several places",
        ),
        (
            format!("-t {name}:2 {amd} --annotation k=v"),
            "images stay as they are",
        ),
        (
            format!("-t {name}:2 {amd} -p linux/s390x"),
            "no source is for linux/s390x",
        ),
        (format!("-t {name}:2 {amd} -p nonsense/x/y/z"), "nonsense"),
        (format!("-t Upper {amd}"), "Upper"),
        (format!("-t {name}@{digest} {amd}"), "is for another image"),
        (
            format!("-t {name}:2 {amd} {name}:other"),
            "two different images for linux/amd64: from ",
        ),
    ] {
        sandbox
            .run(&format!("manifest create {words}"))
            .exits(2)
            .prints_nothing()
            .says(&[says]);
    }
    assert_eq!(Hub::new(&name).find("2"), None, "nothing was pushed");
}

fn an_image_is_shown_as_text_raw_and_by_template(target: &Target) {
    let sandbox = Sandbox::new(target);
    let base = &target.base;
    let (repository, tag) = base.rsplit_once(':').unwrap();
    let hub = Hub::new(repository);
    let index = hub.manifest(tag);
    let arm = hub.image(&index, "linux/arm64");
    let show = |format: &str| {
        let run = sandbox
            .mbuild("manifest inspect")
            .arg(base)
            .arg("--format")
            .arg(format);
        run.run().exits(0).out().to_owned()
    };
    let shown = sandbox.run(&format!("manifest inspect {base}")).exits(0);
    for part in [
        format!("Name:      {base}\n"),
        format!("Digest:    {}\n", index.digest),
        format!("  Name:      {base}@{}\n", arm.digest),
        "  Platform:  linux/arm64\n".to_owned(),
    ] {
        assert!(shown.out().contains(&part), "{part}: {}", shown.out());
    }
    assert_eq!(show("{{.Manifest.Digest}}").trim(), index.digest);
    assert_eq!(
        show("{{(index .Image \"linux/arm64\").Architecture}}"),
        "arm64\n"
    );
    let json = |format: &str| -> serde_json::Value { serde_json::from_str(&show(format)).unwrap() };
    assert_eq!(json("{{json .Manifest}}")["digest"], index.digest);
    assert_eq!(json("{{json .Image}}")["linux/arm64"], hub.config(&arm));
    assert_eq!(
        json("json")["manifest"]["manifests"],
        index.json["manifests"]
    );
    let one = sandbox
        .run(&format!(
            "manifest inspect {repository}@{} --format {{{{json(.Image)}}}}",
            arm.digest
        ))
        .exits(0);
    let one: serde_json::Value = serde_json::from_str(one.out()).unwrap();
    assert_eq!(one, hub.config(&arm));
    for (words, says) in [
        (format!("{repository}:nothing"), "nothing"),
        (
            format!("{base} --format {{{{upper(.Name)}}}}"),
            "is not understood",
        ),
        (format!("{base} --raw --format json"), "cannot be used with"),
    ] {
        sandbox
            .run(&format!("manifest inspect {words}"))
            .exits(2)
            .says(&[says]);
    }
}

fn buildx_spells_it_imagetools(target: &Target) {
    let sandbox = Sandbox::new(target);
    let name = target.repository("alias");
    sandbox
        .run(&format!(
            "imagetools create --tag {name}:1 --progress none {}",
            target.base
        ))
        .exits(0);
    sandbox
        .run(&format!("--builder farm imagetools inspect {name}:1"))
        .exits(0);
    sandbox
        .run(&format!("imagetools copy {name}:1 {name}:2"))
        .exits(2);
}
