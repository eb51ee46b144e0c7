//! One platform fails: what is said, what becomes of the others, and that no name moves.

use std::time::Duration;

use crate::support::hub::Hub;
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    the_failing_platform_is_named_and_the_other_is_cancelled,
    a_failure_leaves_every_tag_as_it_was,
    keep_going_lets_the_other_finish_and_delivers_nothing,
    keep_going_reports_every_failure,
    a_quiet_build_says_on_stderr_why_it_failed,
    a_dockerfile_that_cannot_be_read_names_its_line,
    a_base_image_that_is_not_there_is_named,
);

/// A context whose one step does `arm` on arm64 and `amd` on amd64, and is in no cache. The
/// quotes in its commands tell what a step prints from its text.
fn sandbox(target: &Target, amd: &str, arm: &str) -> Sandbox {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile(&format!(
        "FROM BASE\nARG TARGETARCH\nRUN : {}; \\\n  case $TARGETARCH in arm64) {arm} ;; *) {amd} ;; esac\n",
        fresh()
    ));
    sandbox
}

fn the_failing_platform_is_named_and_the_other_is_cancelled(target: &Target) {
    let sandbox = sandbox(
        target,
        "sleep 60",
        "echo first'' words; sleep 2; echo last'' words; exit 7",
    );
    let node = &target.nodes[1].name;
    sandbox
        .run(&format!("{BOTH} --metadata-file meta.json ctx"))
        .exits(1)
        .within(Duration::from_secs(20))
        .prints_nothing()
        .says(&[
            &format!("ERROR: linux/arm64 on {node}: process \"/bin/sh -c"),
            "exit code: 7",
            "Dockerfile:3",
            "   3 | >>> RUN : ",
            "   4 | >>>   case $TARGETARCH in",
            "first words",
            "last words",
            "linux/amd64 on amd64",
            ": cancelled after ",
        ])
        .says_not(&["ERROR: linux/amd64"]);
    let metadata = sandbox.json("meta.json");
    assert_eq!(metadata.get("containerimage.digest"), None);
    for platform in ["linux/amd64", "linux/arm64"] {
        let entry = &metadata["mbuild.platforms"][platform];
        assert!(entry["node"].is_string() && entry["ref"].is_string());
        assert_eq!(entry.get("manifest"), None, "{platform}");
    }
}

fn a_failure_leaves_every_tag_as_it_was(target: &Target) {
    let sandbox = sandbox(target, "true", "true");
    let (one, two) = (target.repository("kept"), target.repository("kept-too"));
    let line = format!("{BOTH} -t {one}:1 -t {two}:2 --push ctx");
    sandbox.run(&line).exits(0);
    let before = Hub::new(&one).manifest("1");
    sandbox.dockerfile("FROM BASE\nARG TARGETARCH\nRUN [ $TARGETARCH != arm64 ]\n");
    sandbox.run(&line).exits(1);
    assert_eq!(Hub::new(&one).manifest("1"), before);
    assert_eq!(Hub::new(&two).manifest("2"), before);
}

fn keep_going_lets_the_other_finish_and_delivers_nothing(target: &Target) {
    let sandbox = sandbox(target, "sleep 3; echo finished'' it", "exit 7");
    let name = target.repository("keep-going");
    sandbox
        .run(&format!("{BOTH} --keep-going -t {name}:1 --push ctx"))
        .exits(1)
        .says(&["finished it", ": done in", "ERROR: linux/arm64 on arm64"])
        .says_not(&["ERROR: linux/amd64", "tagging"]);
    assert_eq!(Hub::new(&name).find("1"), None);
}

fn keep_going_reports_every_failure(target: &Target) {
    let sandbox = sandbox(target, "sleep 1; exit 8", "exit 7");
    sandbox
        .run(&format!("{BOTH} --keep-going ctx"))
        .exits(1)
        .says(&[
            "ERROR: linux/amd64 on amd64",
            "exit code: 8",
            "ERROR: linux/arm64 on arm64",
            "exit code: 7",
        ]);
}

fn a_quiet_build_says_on_stderr_why_it_failed(target: &Target) {
    let sandbox = sandbox(target, "sleep 60", "echo last'' words; exit 7");
    sandbox
        .run(&format!("{BOTH} -q ctx"))
        .exits(1)
        .prints_nothing()
        .says(&["ERROR: linux/arm64 on arm64", ">>> RUN", "last words"]);
}

fn a_dockerfile_that_cannot_be_read_names_its_line(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\nRNU true\n");
    sandbox
        .run(&format!("{BOTH} ctx"))
        .exits(1)
        .says(&["unknown instruction: RNU", "   2 | >>> RNU true"]);
}

fn a_base_image_that_is_not_there_is_named(target: &Target) {
    let sandbox = Sandbox::new(target);
    let name = target.repository("nowhere");
    sandbox.dockerfile(&format!("FROM {name}:1\nRUN true\n"));
    sandbox
        .run(&format!("{BOTH} ctx"))
        .exits(1)
        .says(&[&format!("{name}:1: not found"), ">>> FROM"]);
}
