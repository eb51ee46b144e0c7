//! Which node builds what, as far as real daemons show it: emulation, dead nodes, slots.

use std::time::Duration;

use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";
const DEAD: &str = "tcp://127.0.0.1:1";

cases!(beside:
    a_platform_that_would_be_emulated_is_refused,
    emulation_that_is_allowed_is_used,
    a_builder_that_is_not_there_is_named_with_those_that_are,
    with_one_slot_platforms_take_turns,
    nothing_but_a_configured_file_is_trusted,
);

cases!(at_endpoints:
    a_dead_node_that_is_not_needed_is_no_error,
    a_dead_node_that_is_needed_is_named,
    a_dead_node_without_platforms_is_named_when_it_would_be_needed,
    without_configuration_every_place_is_listed,
);

/// The amd64 daemon alone, which tells its platforms itself. It lists arm64 by emulation.
fn alone(target: &Target) -> Sandbox {
    let node = target.nodes[0].with_platforms(&[]);
    let config = target.config_of(&[node]).replace("platforms = []\n", "");
    let sandbox = Sandbox::with_config(target, &config);
    sandbox.dockerfile("FROM BASE\nRUN uname -m\n");
    sandbox
}

fn a_platform_that_would_be_emulated_is_refused(target: &Target) {
    let sandbox = alone(target);
    for dry in ["", "--dry-run"] {
        sandbox
            .run(&format!("{BOTH} {dry} ctx"))
            .exits(3)
            .prints_nothing()
            .says(&[
                "linux/arm64",
                "node amd64",
                "linux/amd64",
                "--allow-emulation",
                "MBUILD_ALLOW_EMULATION",
                "allow_emulation",
            ])
            .says_not(&["#1 "]);
    }
}

fn emulation_that_is_allowed_is_used(target: &Target) {
    let sandbox = alone(target);
    let line = format!("{BOTH} -o type=cacheonly ctx");
    sandbox
        .mbuild(&line)
        .arg("--allow-emulation")
        .run()
        .exits(0)
        .says(&["linux/arm64  on farm/amd64 (emulated", "RUN uname -m"]);
    sandbox
        .mbuild(&line)
        .env("MBUILD_ALLOW_EMULATION", "1")
        .run()
        .exits(0);
}

fn a_dead_node_that_is_not_needed_is_no_error(target: &Target) {
    let [amd, arm] = target.nodes.clone();
    let sandbox = Sandbox::with_config(target, &target.config_of(&[amd, arm.at(DEAD)]));
    sandbox.dockerfile("FROM BASE\nRUN true\n");
    sandbox
        .run("--platform linux/amd64 -o type=cacheonly ctx")
        .exits(0)
        .says_not(&["ERROR"]);
}

fn a_dead_node_that_is_needed_is_named(target: &Target) {
    let [amd, arm] = target.nodes.clone();
    let sandbox = Sandbox::with_config(target, &target.config_of(&[amd, arm.at(DEAD)]));
    sandbox.dockerfile(&format!("FROM BASE\nRUN : {}; sleep 60\n", fresh()));
    sandbox
        .run(&format!("{BOTH} -o type=cacheonly ctx"))
        .exits(5)
        .within(Duration::from_secs(20))
        .says(&["ERROR: linux/arm64 on arm64: ", DEAD, "onnection refused"]);
}

fn a_dead_node_without_platforms_is_named_when_it_would_be_needed(target: &Target) {
    let [amd, arm] = target.nodes.clone();
    let config = target.config_of(&[amd, arm.with_platforms(&[]).at(DEAD)]);
    let sandbox = Sandbox::with_config(target, &config.replace("platforms = []\n", ""));
    sandbox.dockerfile("FROM BASE\nRUN true\n");
    sandbox
        .run(&format!("{BOTH} -o type=cacheonly ctx"))
        .exits(5)
        .says(&["linux/arm64", "node arm64", "onnection refused"]);
    sandbox
        .run("--platform linux/amd64 -o type=cacheonly ctx")
        .exits(0)
        .says_not(&["ERROR"]);
}

fn a_builder_that_is_not_there_is_named_with_those_that_are(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\n");
    sandbox
        .run("--builder nowhere ctx")
        .exits(3)
        .says(&["nowhere", "farm"]);
    sandbox
        .mbuild("ctx")
        .env("MBUILD_BUILDER", "nowhere")
        .run()
        .exits(3)
        .says(&["nowhere", "MBUILD_BUILDER"]);
}

fn with_one_slot_platforms_take_turns(target: &Target) {
    let node = target.nodes[0].with_platforms(&["linux/amd64", "linux/arm64"]);
    let config = target.config_of(&[node]);
    let config = config.replace("platforms =", "slots = 1\nplatforms =");
    let sandbox = Sandbox::with_config(target, &config);
    sandbox.dockerfile(&format!("FROM BASE\nRUN : {}; sleep 1\n", fresh()));
    sandbox
        .run(&format!("{BOTH} -o type=cacheonly ctx"))
        .exits(0)
        .says(&["a free slot on amd64"]);
}

fn without_configuration_every_place_is_listed(target: &Target) {
    let sandbox = Sandbox::with_config(target, "");
    sandbox.dockerfile("FROM BASE\n");
    sandbox
        .mbuild("ctx")
        .env("BUILDKIT_HOST", "tcp://127.0.0.1:1")
        .run()
        .exits(3)
        .says(&["BUILDKIT_HOST", "tcp://127.0.0.1:1"]);
    let endpoint = target.nodes[0].endpoint.trim_start_matches("docker+");
    sandbox
        .mbuild("-o type=cacheonly ctx")
        .env("DOCKER_HOST", endpoint)
        .run()
        .exits(0);
}

/// A file that a pull request could add must not say where the build goes.
fn nothing_but_a_configured_file_is_trusted(target: &Target) {
    let sandbox = Sandbox::with_config(target, "");
    sandbox.dockerfile("FROM BASE\n");
    sandbox.write("ctx/mbuild.toml", target.config());
    sandbox
        .mbuild("--dry-run .")
        .cwd(sandbox.path("ctx"))
        .run()
        .exits(3)
        .says(&["[builders.farm] may not be defined here", "hint:"]);
    sandbox
        .mbuild("--config mbuild.toml --dry-run --platform linux/arm64 .")
        .cwd(sandbox.path("ctx"))
        .run()
        .exits(0);
}
