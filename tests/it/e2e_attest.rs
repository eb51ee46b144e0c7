//! Provenance and SBOMs behind the images of an index: `--provenance`, `--sbom`, `--attest`.

use serde_json::Value;

use crate::support::hub::{Document, Hub, text};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    nothing_is_attested_unless_asked_for,
    every_attestation_follows_its_image_and_names_every_tag,
    min_leaves_out_what_max_tells,
    one_attested_platform_is_an_index_too,
    the_metadata_tells_what_daemons_recorded_when_asked,
    a_push_by_digest_names_no_tag,
    the_artifact_form_keeps_its_subject,
    a_layout_names_its_tags_too,
    files_of_statements_lie_beside_what_they_are_about,
    a_scanner_lists_what_is_in_each_image,
    a_scanner_that_cannot_be_pulled_is_said_to_be_a_matter_of_generator,
    what_cannot_be_stated_is_refused_before_anything_starts,
);

fn sandbox(target: &Target) -> Sandbox {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\nARG WORD=none\nRUN uname -m >/machine\n");
    sandbox
}

/// A statement, and the kind of it that its manifest announces.
struct Statement {
    kind: String,
    json: Value,
}

impl Statement {
    /// What it is about, without the colon that some daemons escape.
    fn subjects(&self) -> Vec<String> {
        let subjects = self.json["subject"].as_array().unwrap().iter();
        subjects
            .map(|subject| text(&subject["name"]).replace("%3A", ":"))
            .collect()
    }
}

/// The statements of an index whose images are all attested: for each platform, in order.
#[track_caller]
fn statements(hub: &Hub, index: &Document, platforms: &[&str]) -> Vec<Vec<Statement>> {
    assert!(index.is_index(), "{index:?}");
    let expect: Vec<&str> = platforms
        .iter()
        .flat_map(|platform| [*platform, "unknown/unknown"])
        .collect();
    assert_eq!(index.platforms(), expect);
    let entries = index.json["manifests"].as_array().unwrap();
    entries
        .chunks(2)
        .map(|pair| attested(hub, &pair[0], &pair[1]))
        .collect()
}

/// The statements of one attestation manifest, with everything that refers to them checked.
fn attested(hub: &Hub, image: &Value, companion: &Value) -> Vec<Statement> {
    let notes = &companion["annotations"];
    assert_eq!(notes["vnd.docker.reference.digest"], image["digest"]);
    assert_eq!(notes["vnd.docker.reference.type"], "attestation-manifest");
    let manifest = hub.manifest(text(&companion["digest"]));
    let config = hub.config(&manifest);
    let layers = manifest.json["layers"].as_array().unwrap();
    match manifest.json["artifactType"].as_str() {
        Some(_) => assert_eq!(manifest.json["subject"]["digest"], image["digest"]),
        None => {
            let listed = config["rootfs"]["diff_ids"].as_array().unwrap().iter();
            assert!(listed.eq(layers.iter().map(|layer| &layer["digest"])));
        }
    }
    let hex = text(&image["digest"]).strip_prefix("sha256:").unwrap();
    let read = |layer: &Value| {
        assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
        let blob = hub.blob(text(&layer["digest"]));
        assert_eq!(layer["size"], blob.len());
        let json: Value = serde_json::from_slice(&blob).unwrap();
        for subject in json["subject"].as_array().unwrap() {
            assert_eq!(subject["digest"]["sha256"], hex);
        }
        Statement {
            kind: text(&layer["annotations"]["in-toto.io/predicate-type"]).to_owned(),
            json,
        }
    };
    layers.iter().map(read).collect()
}

/// buildx attests every image, which makes an index of a single one.
fn nothing_is_attested_unless_asked_for(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("plain");
    sandbox
        .run(&format!("{BOTH} -t {name}:1 --provenance=false --push ctx"))
        .exits(0);
    let hub = Hub::new(&name);
    let expect = ["linux/amd64", "linux/arm64"];
    assert_eq!(hub.manifest("1").platforms(), expect);
    sandbox
        .mbuild(&format!("--platform linux/arm64 -t {name}:2 --push ctx"))
        .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "0")
        .run()
        .exits(0);
    assert!(!hub.manifest("2").is_index());
}

/// With several nodes buildx's subjects say `latest`, whatever `-t` says.
fn every_attestation_follows_its_image_and_names_every_tag(target: &Target) {
    let sandbox = sandbox(target);
    let (one, two) = (target.repository("one"), target.repository("two"));
    sandbox
        .run(&format!(
            "{BOTH} -t {one}:1 -t {one}:2 -t {two}:x --provenance mode=min --push \
             --metadata-file meta.json ctx"
        ))
        .exits(0);
    let metadata = sandbox.json("meta.json");
    for (name, tag) in [(&one, "1"), (&one, "2"), (&two, "x")] {
        let hub = Hub::new(name);
        let index = hub.manifest(tag);
        assert_eq!(metadata["containerimage.digest"], index.digest.as_str());
        let all = statements(&hub, &index, &["linux/amd64", "linux/arm64"]);
        for (statements, arch) in all.iter().zip(["amd64", "arm64"]) {
            let [provenance] = &statements[..] else {
                panic!("{} statements", statements.len())
            };
            assert!(provenance.kind.starts_with("https://slsa.dev/provenance/"));
            let url = |name: &str, tag| format!("pkg:docker/{name}@{tag}?platform=linux%2F{arch}");
            let expect = [url(&one, "1"), url(&one, "2"), url(&two, "x")];
            assert_eq!(provenance.subjects(), expect);
        }
        let entries = index.json["manifests"].as_array().unwrap();
        for (at, arch) in [(0, "amd64"), (2, "arm64")] {
            let platform = &metadata["mbuild.platforms"][format!("linux/{arch}")];
            assert_eq!(platform["manifest"], entries[at]["digest"]);
            let companions = platform["attestations"].as_array().unwrap();
            assert_eq!(companions, &[entries[at + 1]["digest"].clone()]);
        }
    }
}

fn min_leaves_out_what_max_tells(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("modes");
    let told = |tag: &str, flag: &str| {
        sandbox
            .run(&format!(
                "{BOTH} -t {name}:{tag} {flag} --build-arg WORD=xyzzy --push ctx"
            ))
            .exits(0);
        let hub = Hub::new(&name);
        let all = statements(&hub, &hub.manifest(tag), &["linux/amd64", "linux/arm64"]);
        all.iter()
            .all(|one| one[0].json.to_string().contains("xyzzy"))
    };
    assert!(!told("min", "--provenance=mode=min"));
    assert!(told(
        "max",
        "--attest type=provenance,mode=max --provenance mode=min"
    ));
}

/// With several nodes buildx's metadata has none at all.
fn the_metadata_tells_what_daemons_recorded_when_asked(target: &Target) {
    let sandbox = sandbox(target);
    let told = |flags: &str, variable: &str| {
        sandbox
            .mbuild(&format!(
                "{flags} -o type=cacheonly --metadata-file meta.json ctx"
            ))
            .env("BUILDX_METADATA_PROVENANCE", variable)
            .run()
            .exits(0);
        sandbox.json("meta.json")
    };
    let metadata = told(BOTH, "max");
    for platform in ["linux/amd64", "linux/arm64"] {
        let recorded = &metadata[format!("buildx.build.provenance/{platform}")];
        let material = text(&recorded["materials"][0]["uri"]);
        let escaped = platform.replace('/', "%2F");
        assert!(
            material.ends_with(&format!("platform={escaped}")),
            "{material}"
        );
        assert!(recorded["buildConfig"].is_object(), "{recorded}");
    }
    let one = "--platform linux/arm64 --provenance=true";
    let metadata = told(one, "");
    let recorded = &metadata["buildx.build.provenance"];
    assert!(recorded["materials"].is_array(), "{metadata}");
    assert!(recorded["metadata"].is_null() && recorded["buildConfig"].is_null());
    for metadata in [told(one, "disabled"), told("--platform linux/arm64", "")] {
        assert!(metadata["buildx.build.provenance"].is_null());
    }
}

fn one_attested_platform_is_an_index_too(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("single");
    sandbox
        .run(&format!(
            "--platform linux/arm64 -t {name}:1.0 --provenance=true --push \
             --iidfile id --metadata-file meta.json ctx"
        ))
        .exits(0);
    let hub = Hub::new(&name);
    let index = hub.manifest("1.0");
    let all = statements(&hub, &index, &["linux/arm64"]);
    let expect = format!("pkg:docker/{name}@1.0?platform=linux%2Farm64");
    assert_eq!(all[0][0].subjects(), [expect]);
    assert_eq!(sandbox.read("id"), index.digest);
    let metadata = sandbox.json("meta.json");
    let descriptor = &metadata["containerimage.descriptor"];
    assert_eq!(descriptor["digest"], index.digest.as_str());
    assert_eq!(descriptor["mediaType"], index.media_type.as_str());
}

fn a_push_by_digest_names_no_tag(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("by-digest");
    sandbox
        .run(&format!(
            "{BOTH} -o type=image,name={name},push=true,push-by-digest=true --provenance \
             --metadata-file meta.json ctx"
        ))
        .exits(0);
    let hub = Hub::new(&name);
    let digest = sandbox.json("meta.json")["containerimage.digest"].clone();
    let index = hub.manifest(text(&digest));
    let all = statements(&hub, &index, &["linux/amd64", "linux/arm64"]);
    let expect = format!("pkg:docker/{name}?platform=linux%2Famd64");
    assert_eq!(all[0][0].subjects(), [expect]);
}

fn the_artifact_form_keeps_its_subject(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("artifact");
    sandbox
        .run(&format!(
            "{BOTH} -o type=registry,name={name}:1,oci-artifact=true --provenance=true ctx"
        ))
        .exits(0);
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    let all = statements(&hub, &index, &["linux/amd64", "linux/arm64"]);
    let expect = format!("pkg:docker/{name}@1?platform=linux%2Farm64");
    assert_eq!(all[1][0].subjects(), [expect]);
    let companion = hub.manifest(text(&index.json["manifests"][1]["digest"]));
    assert!(companion.json["artifactType"].is_string(), "{companion:?}");
}

/// The names are the daemons' to know there; buildx cannot merge layouts of several nodes.
fn a_layout_names_its_tags_too(target: &Target) {
    let sandbox = sandbox(target);
    sandbox
        .run(&format!(
            "{BOTH} -t r.example/app:1 -t r.example/app:2 --provenance=true \
             -o type=oci,tar=false,dest=layout ctx"
        ))
        .exits(0);
    let read = |digest: &Value| {
        let hex = text(digest).replace(':', "/");
        sandbox.json(&format!("layout/blobs/{hex}"))
    };
    let index = read(&sandbox.json("layout/index.json")["manifests"][0]["digest"]);
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 4);
    for (pair, arch) in entries.chunks(2).zip(["amd64", "arm64"]) {
        assert_eq!(pair[0]["platform"]["architecture"], arch);
        let about = &pair[1]["annotations"]["vnd.docker.reference.digest"];
        assert_eq!(*about, pair[0]["digest"]);
        let layer = read(&pair[1]["digest"])["layers"][0].clone();
        let provenance = Statement {
            kind: String::new(),
            json: read(&layer["digest"]),
        };
        let url = |tag| format!("pkg:docker/r.example/app@{tag}?platform=linux%2F{arch}");
        assert_eq!(provenance.subjects(), [url("1"), url("2")]);
    }
}

fn files_of_statements_lie_beside_what_they_are_about(target: &Target) {
    let sandbox = sandbox(target);
    sandbox.dockerfile("FROM scratch\nCOPY Dockerfile /\n");
    sandbox
        .run(&format!("{BOTH} --provenance=true -o split ctx"))
        .exits(0);
    for platform in ["linux_amd64", "linux_arm64"] {
        assert!(
            sandbox
                .path(format!("split/{platform}/provenance.json"))
                .exists()
        );
    }
    sandbox
        .run(&format!(
            "{BOTH} --provenance=true -o type=local,dest=one,platform-split=false ctx"
        ))
        .exits(0);
    for platform in ["linux_amd64", "linux_arm64"] {
        assert!(
            sandbox
                .path(format!("one/{platform}.provenance.json"))
                .exists()
        );
    }
}

/// What a scanner is: it finds the files and a destination in its environment.
const SCANNER: &str = r#"set -e
machine=$(cat $BUILDKIT_SCAN_SOURCE/machine)
cat >$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json <<END
{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document",
"predicate":{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT",
"name":"$machine $BUILDKIT_SCAN_Word","documentNamespace":"https://sbom.example/x",
"creationInfo":{"creators":["Tool: test"],"created":"2026-01-01T00:00:00Z"},"packages":[]}}
END
"#;

fn a_scanner_lists_what_is_in_each_image(target: &Target) {
    let sandbox = sandbox(target);
    sandbox.write("scanner/scan", SCANNER);
    let dockerfile = "FROM BASE\nCOPY scan /scan\nENTRYPOINT [\"/bin/sh\", \"/scan\"]\n";
    sandbox.write("scanner/Dockerfile", sandbox.with_base(dockerfile));
    let (scanner, name) = (target.repository("scanner"), target.repository("sbom"));
    sandbox
        .run(&format!("{BOTH} -t {scanner}:1 --push scanner"))
        .exits(0);
    sandbox
        .run(&format!(
            "{BOTH} -t {name}:1 --sbom=generator={scanner}:1,Word=hello --provenance --push ctx"
        ))
        .exits(0);
    let hub = Hub::new(&name);
    let all = statements(&hub, &hub.manifest("1"), &["linux/amd64", "linux/arm64"]);
    for (statements, (arch, machine)) in all.iter().zip([("amd64", "x86_64"), ("arm64", "aarch64")])
    {
        assert_eq!(statements.len(), 2, "an SBOM and a provenance");
        let sboms = statements.iter();
        let mut sboms = sboms.filter(|one| one.kind == "https://spdx.dev/Document");
        let sbom = sboms.next().unwrap();
        let name = format!("pkg:docker/{name}@1?platform=linux%2F{arch}");
        assert_eq!(sbom.subjects(), [name]);
        assert_eq!(sbom.json["predicate"]["name"], format!("{machine} hello"));
    }
}

fn a_scanner_that_cannot_be_pulled_is_said_to_be_a_matter_of_generator(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("no-scanner");
    let generator = format!("{}/docker/buildkit-syft-scanner:none", target.registry);
    sandbox
        .run(&format!(
            "-t {name} --sbom=generator={generator} --push ctx"
        ))
        .exits(1)
        .says(&["hint:", "--sbom=generator=IMAGE"]);
    assert_eq!(Hub::new(&name).find("latest"), None);
}

fn what_cannot_be_stated_is_refused_before_anything_starts(target: &Target) {
    let sandbox = sandbox(target);
    for (flag, says) in [
        (
            "--attest type=horoscope",
            "`type` is `horoscope`, which is not provenance or sbom",
        ),
        ("--attest mode=max", "--attest: `mode=max` has no `type`"),
        (
            "--provenance mode=full",
            "--provenance: `mode` is `full`, which is not min or max",
        ),
        (
            "--provenance mod=max",
            "--provenance: unknown key `mod`, expected one of: mode, version",
        ),
        ("--sbom .", "hint: without a value, write --sbom=true"),
    ] {
        sandbox
            .run(&format!("{flag} --platform linux/amd64 -o type=cacheonly"))
            .exits(2)
            .says(&[says]);
    }
}
