//! Questions to the Dockerfile's frontend in place of a build: `--check` and `--call`.

use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases};

cases!(beside:
    a_clean_dockerfile_is_checked_without_being_built,
    warnings_have_their_place_and_become_the_exit_code,
    a_dockerfile_that_cannot_be_built_fails_its_check,
    checks_may_be_skipped_or_fail_the_build,
    outline_and_targets_are_told_as_text_and_as_json,
    what_the_frontend_does_not_know_is_named_and_no_other_is_pulled,
    a_question_needs_no_node_of_the_platform_and_touches_no_registry,
);

const CLEAN: &str = "ARG VERSION=1\nFROM BASE AS build\nRUN false\n\
                     # app is what runs\nFROM build AS app\nARG VERSION\n\
                     RUN --mount=type=secret,id=key true\n";

fn sandbox(target: &Target, dockerfile: &str) -> Sandbox {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile(dockerfile);
    sandbox
}

/// Its `RUN false` would fail if it were run.
fn a_clean_dockerfile_is_checked_without_being_built(target: &Target) {
    let sandbox = sandbox(target, CLEAN);
    for words in ["--check", "--call check", "--call lint", "--check -q"] {
        let ran = sandbox.run(&format!("{words} ctx")).exits(0);
        assert_eq!(ran.out(), "Check complete, no warnings found.\n");
    }
}

fn warnings_have_their_place_and_become_the_exit_code(target: &Target) {
    let sandbox = sandbox(target, "FROM BASE as build\nWORKDIR here\n");
    let ran = sandbox.run("--check ctx").exits(1);
    let printed = ran.out();
    assert!(
        printed.starts_with("Check complete, 2 warnings have been found!\n"),
        "{printed}"
    );
    for part in [
        "WARNING: FromAsCasing - https://",
        "\nctx/Dockerfile:1\n",
        "   1 | >>> FROM ",
        "WARNING: WorkdirRelativePath - https://",
        "   2 | >>> WORKDIR here",
    ] {
        assert!(printed.contains(part), "{part:?} in {printed}");
    }
    sandbox.run("--call check,ignorestatus=true ctx").exits(0);
    let ran = sandbox
        .run("--call check,format=json --metadata-file meta.json ctx")
        .exits(1);
    let json: serde_json::Value = serde_json::from_str(ran.out()).unwrap();
    let rules: Vec<_> = json["warnings"].as_array().unwrap().iter().collect();
    assert_eq!(rules.len(), 2);
    let metadata = sandbox.json("meta.json");
    assert_eq!(metadata["frontend.lint"], json);
    assert_eq!(metadata["result.json"], json);
    assert_eq!(metadata["result.statuscode"], "1");
}

fn a_dockerfile_that_cannot_be_built_fails_its_check(target: &Target) {
    let sandbox = sandbox(target, "FROM BASE\nFROBNICATE\n");
    sandbox
        .run("--check ctx")
        .exits(1)
        .prints_nothing()
        .says(&["unknown instruction: FROBNICATE", "   2 | >>> FROBNICATE"]);
}

fn checks_may_be_skipped_or_fail_the_build(target: &Target) {
    let warned = "FROM BASE as build\nRUN true\n";
    let sandbox = sandbox(target, &format!("# check=error=true\n{warned}"));
    sandbox
        .run("-o type=cacheonly ctx")
        .exits(1)
        .says(&["lint violation found for rules: FromAsCasing"]);
    sandbox.run("--check ctx").exits(1);
    sandbox.dockerfile(&format!("# check=skip=FromAsCasing\n{warned}"));
    sandbox.run("--check ctx").exits(0);
    sandbox.dockerfile(warned);
    sandbox
        .run("--check --build-arg BUILDKIT_DOCKERFILE_CHECK=skip=all ctx")
        .exits(0);
    sandbox
        .run("-o type=cacheonly --build-arg BUILDKIT_DOCKERFILE_CHECK=error=true ctx")
        .exits(1);
}

fn outline_and_targets_are_told_as_text_and_as_json(target: &Target) {
    let sandbox = sandbox(target, CLEAN);
    let ran = sandbox.run("--call outline ctx").exits(0);
    let outline = ran.out();
    for part in ["TARGET:", "app", "VERSION", "key"] {
        assert!(outline.contains(part), "{part} in {outline}");
    }
    let ran = sandbox
        .run("--call outline,format=json --target build ctx")
        .exits(0);
    let outline: serde_json::Value = serde_json::from_str(ran.out()).unwrap();
    assert_eq!(outline["name"], "build");
    let ran = sandbox.run("--call targets ctx").exits(0);
    assert!(ran.out().contains("app (default)"), "{}", ran.out());
    let ran = sandbox.run("--call targets,format=json ctx").exits(0);
    let targets: serde_json::Value = serde_json::from_str(ran.out()).unwrap();
    assert_eq!(targets["targets"][1]["description"], "is what runs");
    let ran = sandbox.run("--call subrequests.describe ctx").exits(0);
    assert!(ran.out().contains("outline"), "{}", ran.out());
}

/// buildx pulls docker/dockerfile from Docker Hub instead.
fn what_the_frontend_does_not_know_is_named_and_no_other_is_pulled(target: &Target) {
    let sandbox = sandbox(target, CLEAN);
    sandbox
        .run("--call horoscope ctx")
        .exits(1)
        .prints_nothing()
        .says(&[
            "frontend.horoscope",
            "BUILDKIT_SYNTAX=IMAGE",
            "# syntax=IMAGE",
        ])
        .says_not(&["docker.io"]);
    sandbox
        .run("--call check,form=json ctx")
        .exits(2)
        .says(&["--call: unknown key `form`, expected one of: format, ignorestatus"]);
}

/// Both nodes are asked nothing of what they build; the registry of the name is not there.
fn a_question_needs_no_node_of_the_platform_and_touches_no_registry(target: &Target) {
    let sandbox = sandbox(target, CLEAN);
    sandbox
        .run(
            "--check --platform linux/s390x,linux/arm64 --push -t 127.0.0.1:1/no/where \
             --provenance=true -o out ctx",
        )
        .exits(0);
    assert!(!sandbox.path("out").exists());
    let ran = sandbox
        .run("--check --platform linux/arm64 --dry-run ctx")
        .exits(0);
    assert_eq!(ran.out().lines().count(), 1, "{}", ran.out());
}
