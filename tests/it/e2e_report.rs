//! What programs read of a build: the metadata file, the id file, stdout, JSON lines, the plan.

use std::os::unix::fs::PermissionsExt;

use jiff::Timestamp;
use serde_json::Value;

use crate::support::hub::{Hub, text};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    the_metadata_of_two_platforms,
    the_metadata_of_one_platform,
    the_metadata_of_a_failed_build_has_no_digests,
    the_metadata_lists_warnings_when_asked_to,
    a_quiet_build_prints_the_digest_under_the_tags,
    the_id_file_holds_the_index_or_the_configuration,
    every_line_of_rawjson_says_whose_it_is,
    a_dry_run_prints_the_plan_and_builds_nothing,
    a_dry_run_needs_no_daemon_whose_platforms_are_configured,
    no_progress_means_nothing_is_printed,
);

cases!(at_endpoints:
    images_kept_on_several_nodes_have_no_common_digest,
);

fn sandbox(target: &Target) -> Sandbox {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile(&format!("FROM BASE\nRUN echo {}\nRUN true\n", fresh()));
    sandbox
}

/// The entry of a platform that was built, without what differs from run to run.
#[track_caller]
fn check_platform(metadata: &Value, platform: &str, node: &str) {
    let entry = &metadata["mbuild.platforms"][platform];
    assert_eq!(entry["node"], node);
    assert!(!text(&entry["ref"]).is_empty());
    let time = |key: &str| text(&entry[key]).parse::<Timestamp>().unwrap();
    assert!(time("started") < time("completed"), "{entry}");
    let steps = &entry["steps"];
    assert!(steps["cached"].as_u64() < steps["total"].as_u64());
}

fn the_metadata_of_two_platforms(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("metadata");
    sandbox
        .run(&format!(
            "{BOTH} -t {name}:1 -t {name}:2 --push --metadata-file meta.json ctx"
        ))
        .exits(0);
    let metadata = sandbox.json("meta.json");
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    assert_eq!(metadata["containerimage.digest"], index.digest);
    let descriptor = &metadata["containerimage.descriptor"];
    assert_eq!(descriptor["digest"], index.digest);
    assert_eq!(descriptor["mediaType"], index.media_type);
    assert_eq!(metadata["image.name"], format!("{name}:1,{name}:2"));
    assert_eq!(metadata["mbuild.version"], 1);
    assert_eq!(metadata.get("containerimage.config.digest"), None);
    for (platform, node) in [("linux/amd64", "amd64"), ("linux/arm64", "arm64")] {
        check_platform(&metadata, platform, node);
        let entry = &metadata["mbuild.platforms"][platform];
        let image = hub.image(&index, platform);
        assert_eq!(entry["manifest"], image.digest);
        assert_eq!(entry["config"], image.json["config"]["digest"]);
        assert_eq!(entry["attestations"], Value::Array(vec![]));
    }
    let first = text(&metadata["mbuild.platforms"]["linux/amd64"]["ref"]);
    assert_eq!(metadata["buildx.build.ref"], format!("farm/amd64/{first}"));
    let mode = std::fs::metadata(sandbox.path("meta.json")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o644);
}

fn the_metadata_of_one_platform(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("metadata");
    sandbox
        .run(&format!(
            "--platform linux/arm64 -t {name}:1 --push --metadata-file meta.json ctx"
        ))
        .exits(0);
    let metadata = sandbox.json("meta.json");
    let manifest = Hub::new(&name).manifest("1");
    assert_eq!(metadata["containerimage.digest"], manifest.digest);
    assert_eq!(
        metadata["containerimage.config.digest"],
        manifest.json["config"]["digest"]
    );
    check_platform(&metadata, "linux/arm64", "arm64");
    assert_eq!(metadata["mbuild.platforms"].as_object().unwrap().len(), 1);
}

fn the_metadata_lists_warnings_when_asked_to(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE as base\n");
    let line = format!("{BOTH} --metadata-file meta.json ctx");
    sandbox.run(&line).exits(0);
    let key = "buildx.build.warnings";
    assert_eq!(sandbox.json("meta.json").get(key), None);
    let asked = sandbox
        .mbuild(&line)
        .env("BUILDX_METADATA_WARNINGS", "true");
    asked.run().exits(0);
    let metadata = sandbox.json("meta.json");
    let warnings = metadata[key].as_array().unwrap();
    let url = |warning: &Value| text(&warning["url"]).contains("from-as-casing");
    assert!(warnings.iter().any(url), "{metadata}");
}

fn the_metadata_of_a_failed_build_has_no_digests(target: &Target) {
    let sandbox = Sandbox::new(target);
    let name = target.repository("metadata");
    sandbox.dockerfile("FROM BASE\nARG TARGETARCH\nRUN [ $TARGETARCH = amd64 ]\n");
    sandbox
        .run(&format!(
            "{BOTH} -t {name}:1 --keep-going --push --metadata-file meta.json ctx"
        ))
        .exits(1);
    let metadata = sandbox.json("meta.json");
    assert!(!metadata.to_string().contains("sha256:"), "{metadata}");
    for (platform, node) in [("linux/amd64", "amd64"), ("linux/arm64", "arm64")] {
        assert_eq!(metadata["mbuild.platforms"][platform]["node"], node);
    }
}

fn a_quiet_build_prints_the_digest_under_the_tags(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("quiet");
    for platforms in [BOTH, "--platform linux/amd64"] {
        for quiet in ["-q", "--progress quiet"] {
            let ran = sandbox
                .run(&format!("{platforms} {quiet} -t {name}:1 --push ctx"))
                .exits(0);
            let digest = Hub::new(&name).manifest("1").digest;
            assert_eq!((ran.out(), &*ran.stderr), (&*format!("{digest}\n"), ""));
        }
    }
}

fn the_id_file_holds_the_index_or_the_configuration(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("id");
    let hub = Hub::new(&name);
    sandbox
        .run(&format!("{BOTH} --iidfile id -t {name}:1 --push ctx"))
        .exits(0);
    assert_eq!(sandbox.read("id"), hub.manifest("1").digest);
    sandbox
        .run(&format!(
            "--platform linux/amd64 --iidfile id -t {name}:2 --push ctx"
        ))
        .exits(0);
    assert_eq!(
        sandbox.read("id"),
        text(&hub.manifest("2").json["config"]["digest"])
    );
    sandbox.dockerfile("FROM BASE\nRUN false\n");
    sandbox
        .run(&format!("{BOTH} --iidfile id -t {name}:3 --push ctx"))
        .exits(1);
    assert!(!sandbox.path("id").exists(), "an id of an earlier build");
}

fn images_kept_on_several_nodes_have_no_common_digest(target: &Target) {
    let sandbox = sandbox(target);
    sandbox
        .run(&format!(
            "{BOTH} -q --iidfile id --metadata-file meta.json ctx"
        ))
        .exits(0)
        .prints_nothing()
        .says(&["WARNING: --iidfile"]);
    assert!(!sandbox.path("id").exists());
    let metadata = sandbox.json("meta.json");
    assert_eq!(metadata.get("containerimage.digest"), None);
    for platform in ["linux/amd64", "linux/arm64"] {
        let entry = &metadata["mbuild.platforms"][platform];
        assert!(text(&entry["manifest"]).starts_with("sha256:"), "{entry}");
    }
    let ran = sandbox.run("--platform linux/arm64 -q ctx").exits(0);
    assert!(ran.out().starts_with("sha256:"), "{}", ran.out());
}

fn every_line_of_rawjson_says_whose_it_is(target: &Target) {
    let sandbox = sandbox(target);
    let ran = sandbox
        .run(&format!("{BOTH} --progress rawjson -o type=cacheonly ctx"))
        .exits(0)
        .prints_nothing();
    let mut steps = Vec::new();
    for line in ran.json_lines() {
        let node = text(&line["node"]);
        assert_eq!(text(&line["platform"]), format!("linux/{node}"));
        for vertex in line["vertexes"].as_array().into_iter().flatten() {
            let done = vertex.get("completed").is_some();
            if done && text(&vertex["name"]).ends_with("RUN true") {
                steps.push(node.to_owned());
            }
        }
    }
    steps.sort();
    steps.dedup();
    assert_eq!(steps, ["amd64", "arm64"]);
}

fn a_dry_run_prints_the_plan_and_builds_nothing(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("dry");
    sandbox.write("id", "of an earlier build");
    let line =
        format!("{BOTH} -t {name}:1 --push --dry-run --metadata-file meta.json --iidfile id ctx");
    let ran = sandbox.run(&line).exits(0);
    assert_eq!(
        (ran.out(), &*ran.stderr),
        (
            &*format!(
                "linux/amd64  on farm/amd64 (native)\nlinux/arm64  on farm/arm64 (native)\n\
                 then publish {name}:1\n"
            ),
            ""
        )
    );
    let ran = sandbox.run(&format!("{line} --format json")).exits(0);
    let plan: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(plan["units"][1]["platform"], "linux/arm64");
    assert_eq!(plan["units"][1]["node"], "arm64");
    assert_eq!(Hub::new(&name).find("1"), None);
    assert!(!sandbox.path("meta.json").exists());
    assert_eq!(sandbox.read("id"), "of an earlier build");
}

fn a_dry_run_needs_no_daemon_whose_platforms_are_configured(target: &Target) {
    let nodes = [0, 1].map(|at: usize| target.nodes[at].at("tcp://127.0.0.1:1"));
    let sandbox = Sandbox::with_config(target, &target.config_of(&nodes));
    sandbox.dockerfile("FROM BASE\n");
    sandbox
        .run(&format!("{BOTH} -o type=cacheonly --dry-run ctx"))
        .exits(0)
        .says_not(&["WARNING"]);
}

fn no_progress_means_nothing_is_printed(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("none");
    let ran = sandbox
        .run(&format!("{BOTH} --progress none -t {name}:1 --push ctx"))
        .exits(0)
        .prints_nothing();
    assert_eq!(ran.stderr, "");
}
