//! Images into Docker engines: loaded, or kept by the engine that built them.
//!
//! What buildx does with several nodes is said at each case.

use std::fs::File;
use std::process::Command;

use mbuild::oci::archive::Archive;
use mbuild::oci::{Descriptor, Index};

use crate::support::engine::{Behaviour, FakeEngine};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Node, Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";
const LOADED: Behaviour = Behaviour {
    containerd: false,
    answer: "{\"stream\":\"Loaded image: app:1\\n\"}\n",
};

cases!(at_endpoints:
    platforms_of_two_nodes_are_loaded_as_one_index,
    an_engine_that_builds_several_platforms_keeps_one_index,
    an_engine_keeps_what_it_builds_for_itself,
    an_image_without_a_name_is_loaded,
    a_classic_engine_takes_one_platform,
    a_classic_engine_refuses_several_before_anything_is_built,
    what_an_engine_says_against_an_image_is_the_error,
    an_engine_that_is_not_there_is_known_before_anything_is_built,
    without_an_output_the_cache_is_all_if_the_user_wants_it_so,
);

fn sandbox(target: &Target) -> Sandbox {
    with_nodes(target, &target.nodes)
}

fn with_nodes(target: &Target, nodes: &[Node]) -> Sandbox {
    let sandbox = Sandbox::with_config(target, &target.config_of(nodes));
    sandbox.dockerfile("FROM BASE\nRUN uname -m >/machine\n");
    sandbox
}

fn host(node: &Node) -> &str {
    node.endpoint.trim_start_matches("docker+")
}

/// Runs docker against a node's engine; `None` where there is no docker.
fn docker(target: &Target, node: &Node, words: &[&str]) -> Option<bool> {
    let mut command = Command::new(target.find("DOCKER")?);
    let output = command.env("DOCKER_HOST", host(node)).args(words).output();
    Some(output.unwrap().status.success())
}

/// The platforms that an engine has under a name, which is then removed.
fn kept(target: &Target, sandbox: &Sandbox, node: &Node, name: &str) -> Option<Vec<String>> {
    let path = sandbox.path("saved.tar");
    let saved = docker(
        target,
        node,
        &["image", "save", "-o", path.to_str().unwrap(), name],
    )?;
    assert!(saved, "{name} is not there");
    assert_eq!(docker(target, node, &["image", "rm", name]), Some(true));
    let archive = Archive::read(File::open(path).unwrap()).unwrap();
    let root = archive.root().unwrap();
    let entries = match Index::parse(&archive.document(&root).unwrap()) {
        Ok(index) => index.manifests,
        Err(_) => vec![root],
    };
    let platforms = entries.iter().filter_map(Descriptor::known_platform);
    Some(platforms.map(|platform| platform.to_string()).collect())
}

/// buildx: refused with several nodes.
fn platforms_of_two_nodes_are_loaded_as_one_index(target: &Target) {
    let sandbox = sandbox(target);
    let (name, node) = (format!("e2e-load-{}:1", fresh()), &target.nodes[0]);
    sandbox
        .mbuild(&format!("{BOTH} -t {name} --load --iidfile id ctx"))
        .env("DOCKER_HOST", host(node))
        .run()
        .exits(0)
        .prints_nothing();
    if let Some(platforms) = kept(target, &sandbox, node, &name) {
        assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    }
    assert!(sandbox.read("id").starts_with("sha256:"));
}

fn an_engine_that_builds_several_platforms_keeps_one_index(target: &Target) {
    let node = target.nodes[0].with_platforms(&["linux/amd64", "linux/arm64"]);
    let sandbox = with_nodes(target, std::slice::from_ref(&node));
    for output in ["", "-o type=image"] {
        let name = format!("e2e-kept-{}:1", fresh());
        sandbox
            .run(&format!("{BOTH} -t {name} {output} ctx"))
            .exits(0);
        if let Some(platforms) = kept(target, &sandbox, &node, &name) {
            assert_eq!(platforms, ["linux/amd64", "linux/arm64"], "{output}");
        }
    }
}

/// As buildx does with the `docker` driver: nothing is transferred.
fn an_engine_keeps_what_it_builds_for_itself(target: &Target) {
    let node = &target.nodes[0];
    let sandbox = with_nodes(target, std::slice::from_ref(node));
    let name = format!("e2e-own-{}:1", fresh());
    sandbox
        .mbuild(&format!("-t {name} --platform linux/amd64 --load ctx"))
        .env("DOCKER_HOST", host(node))
        .run()
        .exits(0)
        .says_not(&["loading into"]);
    // A manifest alone does not say its platform here; it is enough that it is there.
    drop(kept(target, &sandbox, node, &name));
}

fn an_image_without_a_name_is_loaded(target: &Target) {
    let sandbox = sandbox(target);
    let node = &target.nodes[0];
    sandbox.dockerfile(&format!("FROM BASE\nLABEL own={}\n", fresh()));
    sandbox
        .mbuild("--platform linux/arm64 --load --metadata-file m.json ctx")
        .env("DOCKER_HOST", host(node))
        .run()
        .exits(0);
    let metadata = sandbox.json("m.json");
    let digest = metadata["containerimage.digest"].as_str().unwrap();
    if let Some(removed) = docker(target, node, &["image", "rm", digest]) {
        assert!(removed, "{digest}");
    }
}

fn a_classic_engine_takes_one_platform(target: &Target) {
    let sandbox = sandbox(target);
    let engine = FakeEngine::start(&sandbox.path(""), LOADED);
    sandbox
        .mbuild("--platform linux/arm64 -t app:1 --load ctx")
        .env("DOCKER_HOST", engine.host())
        .run()
        .exits(0);
    let requests = engine.requests();
    let lines: Vec<&str> = requests.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(lines, ["GET /info", "POST /images/load?quiet=1"]);
    let mut tar = tar::Archive::new(&requests[1].1[..]);
    let mut entries = tar.entries().unwrap().map(Result::unwrap);
    assert!(entries.any(|entry| entry.path().unwrap().ends_with("manifest.json")));
}

/// buildx lets the daemon fail in the middle of the build.
fn a_classic_engine_refuses_several_before_anything_is_built(target: &Target) {
    let sandbox = sandbox(target);
    let engine = FakeEngine::start(&sandbox.path(""), LOADED);
    sandbox
        .mbuild(&format!("{BOTH} -t app:1 --load ctx"))
        .env("DOCKER_HOST", engine.host())
        .run()
        .exits(2)
        .says(&["classic image store", "--platform local"])
        .says_not(&["#1 "]);
    assert_eq!(engine.requests().len(), 1);
}

fn what_an_engine_says_against_an_image_is_the_error(target: &Target) {
    let sandbox = sandbox(target);
    let full = Behaviour {
        containerd: true,
        answer: "{\"status\":\"Loading\"}\n{\"error\":\"no space left on device\"}\n",
    };
    let engine = FakeEngine::start(&sandbox.path(""), full);
    sandbox
        .mbuild(&format!("{BOTH} -t app:1 --load ctx"))
        .env("DOCKER_HOST", engine.host())
        .run()
        .exits(4)
        .says(&["no space left on device", "engine.sock"]);
}

fn an_engine_that_is_not_there_is_known_before_anything_is_built(target: &Target) {
    let sandbox = sandbox(target);
    sandbox
        .mbuild("--platform linux/arm64 -t app:1 --load ctx")
        .env("DOCKER_HOST", "unix:///nowhere/engine.sock")
        .run()
        .exits(3)
        .says(&["/nowhere/engine.sock", "DOCKER_HOST"])
        .says_not(&["#1 "]);
    sandbox
        .run("--platform linux/arm64 -o type=docker,context=missing ctx")
        .exits(3)
        .says(&["docker context `missing`"]);
}

fn without_an_output_the_cache_is_all_if_the_user_wants_it_so(target: &Target) {
    let sandbox = sandbox(target);
    let name = format!("e2e-none-{}:1", fresh());
    sandbox
        .mbuild(&format!("{BOTH} -t {name} ctx"))
        .env("BUILDX_NO_DEFAULT_LOAD", "1")
        .run()
        .exits(0)
        .says(&["no output was given"]);
    let node = &target.nodes[0];
    let there = docker(target, node, &["image", "inspect", &name]);
    assert!(there != Some(true), "{name}");
}
