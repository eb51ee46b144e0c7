//! What stands in the registry after a push: one index, or one manifest, under every name.

use crate::support::fake_registry::FakeRegistry;
use crate::support::hub::{Document, Hub, text};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, plain_http};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    two_platforms_are_one_index_under_every_tag,
    the_index_is_the_same_in_whatever_order_platforms_are_given,
    one_platform_is_a_plain_manifest,
    several_pushing_outputs_all_get_the_whole_index,
    push_makes_an_image_output_push,
    a_push_by_digest_moves_no_tag,
    nothing_but_the_result_is_left_in_the_registry,
    both_platforms_on_one_daemon_make_one_index,
);

fn sandbox(target: &Target) -> Sandbox {
    let sandbox = Sandbox::new(target);
    sandbox.write("ctx/file", "in both");
    sandbox.dockerfile("FROM BASE\nCOPY file /file\nRUN uname -m >/machine\n");
    sandbox
}

/// The index lists these platforms, in this order, each once and as what it is.
#[track_caller]
fn check_index(hub: &Hub, index: &Document, platforms: &[&str]) {
    assert!(index.is_index(), "{index:?}");
    assert_eq!(index.platforms(), platforms);
    for platform in platforms {
        let image = hub.image(index, platform);
        let config = hub.config(&image);
        assert_eq!(
            format!("{}/{}", text(&config["os"]), text(&config["architecture"])),
            *platform
        );
        let machine = if platform.ends_with("arm64") {
            "aarch64\n"
        } else {
            "x86_64\n"
        };
        assert_eq!(hub.file(&image, "machine"), machine.as_bytes());
    }
}

fn two_platforms_are_one_index_under_every_tag(target: &Target) {
    let sandbox = sandbox(target);
    let (one, two) = (target.repository("one"), target.repository("two"));
    sandbox
        .run(&format!("{BOTH} -t {one}:1 -t {two}:latest --push ctx"))
        .exits(0)
        .prints_nothing();
    let (one, two) = (Hub::new(&one), Hub::new(&two));
    let index = one.manifest("1");
    check_index(&one, &index, &["linux/amd64", "linux/arm64"]);
    let other = two.manifest("latest");
    assert_eq!(other.digest, index.digest);
    check_index(&two, &other, &["linux/amd64", "linux/arm64"]);
    assert_eq!(one.find("latest"), None, "a tag of the other repository");
}

fn the_index_is_the_same_in_whatever_order_platforms_are_given(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("order");
    for (tag, platforms) in [
        ("1", "--platform linux/arm64 --platform linux/amd64"),
        ("2", BOTH),
    ] {
        sandbox
            .run(&format!("{platforms} -t {name}:{tag} --push ctx"))
            .exits(0);
    }
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    check_index(&hub, &index, &["linux/amd64", "linux/arm64"]);
    assert_eq!(hub.manifest("2").digest, index.digest);
}

fn one_platform_is_a_plain_manifest(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("single");
    sandbox
        .run(&format!(
            "--platform linux/arm64 -t {name}:a -t {name}:b --push ctx"
        ))
        .exits(0);
    let hub = Hub::new(&name);
    let manifest = hub.manifest("a");
    assert_eq!(
        manifest.media_type,
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(hub.config(&manifest)["architecture"], "arm64");
    assert_eq!(hub.manifest("b").digest, manifest.digest);
}

/// buildx pushes by digest for the first output only: under the other's name every node moves the tag
/// in its turn, and the last platform stays.
fn several_pushing_outputs_all_get_the_whole_index(target: &Target) {
    let sandbox = sandbox(target);
    let (one, two) = (target.repository("out-one"), target.repository("out-two"));
    sandbox
        .run(&format!(
            "{BOTH} -o type=registry,name={one}:1 -o type=image,push=true,name={two}:2 ctx"
        ))
        .exits(0);
    for (name, tag) in [(one, "1"), (two, "2")] {
        let hub = Hub::new(&name);
        check_index(&hub, &hub.manifest(tag), &["linux/amd64", "linux/arm64"]);
    }
}

fn push_makes_an_image_output_push(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("image");
    sandbox
        .run(&format!("{BOTH} --push -o type=image,name={name}:x ctx"))
        .exits(0);
    let hub = Hub::new(&name);
    check_index(&hub, &hub.manifest("x"), &["linux/amd64", "linux/arm64"]);
}

fn a_push_by_digest_moves_no_tag(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("by-digest");
    sandbox
        .run(&format!(
            "{BOTH} -o type=image,name={name},push=true,push-by-digest=true \
             --metadata-file meta.json ctx"
        ))
        .exits(0);
    let hub = Hub::new(&name);
    let metadata = sandbox.json("meta.json");
    let index = hub.manifest(text(&metadata["containerimage.digest"]));
    check_index(&hub, &index, &["linux/amd64", "linux/arm64"]);
    assert_eq!(hub.find("latest"), None, "no tag was asked for");
}

/// Every manifest that is pushed and is no part of the result stays for ever.
fn nothing_but_the_result_is_left_in_the_registry(target: &Target) {
    let Some(host) = target.find("HOST") else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let registry = runtime.block_on(FakeRegistry::on(host));
    let config = target.config() + &plain_http(&registry.host());
    let sandbox = Sandbox::with_config(target, &config);
    sandbox.dockerfile("FROM BASE\nRUN uname -m >/machine\n");
    let name = format!("{}/app", registry.host());
    sandbox
        .run(&format!("{BOTH} -t {name}:1 -t {name}:2 --push ctx"))
        .exits(0);
    assert_eq!(registry.manifest_count("app"), 3, "two images, one index");
    sandbox
        .run(&format!("--platform linux/amd64 -t {name}:3 --push ctx"))
        .exits(0);
    assert_eq!(registry.manifest_count("app"), 3, "an image it has already");
    assert_eq!(registry.tag("app", "1"), registry.tag("app", "2"));
}

fn both_platforms_on_one_daemon_make_one_index(target: &Target) {
    let node = target.nodes[0].with_platforms(&["linux/amd64", "linux/arm64"]);
    let sandbox = Sandbox::with_config(target, &target.config_of(&[node]));
    sandbox.write("ctx/file", "in both");
    sandbox.dockerfile("FROM BASE\nCOPY file /file\nRUN uname -m >/machine\n");
    let name = target.repository("one-daemon");
    sandbox
        .run(&format!("{BOTH} -t {name}:1 --push ctx"))
        .exits(0);
    let hub = Hub::new(&name);
    check_index(&hub, &hub.manifest("1"), &["linux/amd64", "linux/arm64"]);
}
