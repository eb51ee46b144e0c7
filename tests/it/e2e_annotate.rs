//! `--annotation`: on manifests, on entries, on the index, on its descriptor, and on no other.

use serde_json::Value;

use crate::support::hub::{Hub, text};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases};

const BOTH: &str = "--platform linux/amd64,linux/arm64";
const ALL: &str = "--annotation all=1 --annotation manifest[linux/arm64]:arm=2 \
                   --annotation index:top=3 --annotation manifest-descriptor:each=4 \
                   --annotation index,manifest-descriptor[linux/amd64]:amd=5";

cases!(beside:
    each_annotation_is_on_its_own_place_and_platform,
    platforms_of_one_node_are_told_apart,
    attestations_are_not_annotated,
    an_index_of_one_platform_is_there_with_attestations_only,
    a_layout_describes_its_index,
);

fn sandbox(target: &Target, config: &str) -> Sandbox {
    let sandbox = Sandbox::with_config(target, config);
    sandbox.dockerfile("FROM BASE\nRUN uname -m >/machine\n");
    sandbox
}

/// The annotations, but for those that say whose attestation it is.
fn notes(of: &Value) -> Vec<String> {
    let notes = of["annotations"].as_object().into_iter().flatten();
    notes
        .filter(|(key, _)| !key.starts_with("vnd.docker."))
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect()
}

fn check(hub: &Hub, tag: &str) {
    let index = hub.manifest(tag);
    assert_eq!(notes(&index.json), ["amd=5", "top=3"]);
    for (platform, manifest, entry) in [
        ("linux/amd64", &["all=1"][..], &["amd=5", "each=4"][..]),
        ("linux/arm64", &["all=1", "arm=2"], &["each=4"]),
    ] {
        let image = hub.image(&index, platform);
        assert_eq!(notes(&image.json), manifest, "{platform}");
        let entries = index.json["manifests"].as_array().unwrap().iter();
        let mut entries = entries.filter(|entry| entry["digest"] == image.digest.as_str());
        assert_eq!(notes(entries.next().unwrap()), entry, "{platform}");
    }
}

fn each_annotation_is_on_its_own_place_and_platform(target: &Target) {
    let sandbox = sandbox(target, &target.config());
    let name = target.repository("notes");
    sandbox
        .run(&format!("{BOTH} {ALL} -t {name}:1 --push ctx"))
        .exits(0);
    check(&Hub::new(&name), "1");
}

/// With several platforms on a node, buildx's daemon refuses annotations of a platform that
/// another node builds: "invalid annotation: no platform".
fn platforms_of_one_node_are_told_apart(target: &Target) {
    let node = target.nodes[0].with_platforms(&["linux/amd64", "linux/arm64"]);
    let sandbox = sandbox(target, &target.config_of(&[node]));
    let name = target.repository("one-node");
    sandbox
        .run(&format!(
            "{BOTH} {ALL} --annotation manifest[linux/s390x]:z=6 -t {name}:1 --push ctx"
        ))
        .exits(0)
        .says(&["an annotation is for linux/s390x, which is not built"]);
    check(&Hub::new(&name), "1");
}

/// buildx puts what is for all entries on attestations too.
fn attestations_are_not_annotated(target: &Target) {
    let sandbox = sandbox(target, &target.config());
    let name = target.repository("attested");
    sandbox
        .run(&format!(
            "{BOTH} {ALL} --provenance=true -t {name}:1 --push ctx"
        ))
        .exits(0);
    let hub = Hub::new(&name);
    check(&hub, "1");
    let index = hub.manifest("1");
    let entries = index.json["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 4);
    for entry in entries
        .iter()
        .filter(|entry| entry["platform"]["os"] == "unknown")
    {
        assert_eq!(notes(entry), [""; 0]);
    }
}

fn an_index_of_one_platform_is_there_with_attestations_only(target: &Target) {
    let sandbox = sandbox(target, &target.config());
    let name = target.repository("single");
    let line = format!(
        "--platform linux/arm64 --annotation index:top=3 --annotation manifest-descriptor:each=4 \
         -t {name}:1 --push ctx"
    );
    let refusal = "annotation-index needs an index, and one platform without attestations has none";
    sandbox.run(&line).exits(2).says(&[refusal]);
    let hub = Hub::new(&name);
    assert_eq!(hub.find("1"), None);
    sandbox.run(&format!("--provenance=true {line}")).exits(0);
    let index = hub.manifest("1");
    assert_eq!(notes(&index.json), ["top=3"]);
    assert_eq!(notes(&index.json["manifests"][0]), ["each=4"]);
    assert_eq!(notes(&index.json["manifests"][1]), [""; 0]);
}

fn a_layout_describes_its_index(target: &Target) {
    let sandbox = sandbox(target, &target.config());
    let name = target.repository("layout");
    sandbox
        .run(&format!(
            "{BOTH} {ALL} --annotation index-descriptor:list=7 -t {name}:1 \
             -o type=oci,tar=false,dest=layout -o type=registry ctx"
        ))
        .exits(0)
        .says(&["annotation-index-descriptor is written nowhere"]);
    let hub = Hub::new(&name);
    check(&hub, "1");
    let list = sandbox.json("layout/index.json");
    let entry = &list["manifests"][0];
    assert_eq!(entry["annotations"]["list"], "7");
    assert_eq!(entry["digest"], hub.manifest("1").digest.as_str());
}
