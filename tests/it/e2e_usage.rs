//! Command lines: what is ignored with a warning, what is refused, what is taken from elsewhere.

use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    flags_without_effect_are_warned_of,
    what_cannot_be_understood_is_refused,
    the_default_platform_comes_from_the_environment,
);

fn flags_without_effect_are_warned_of(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\n");
    sandbox
        .run(&format!(
            "{BOTH} --squash --rm=false --force-rm --compress -m 1g --memory-swap 2g -c 512 \
             --cpu-period 1 --cpu-quota 1 --cpuset-cpus 0 --cpuset-mems 0 --isolation x \
             --security-opt y -o type=cacheonly ctx"
        ))
        .exits(0)
        .says(&[
            "WARNING: --squash",
            "WARNING: --rm",
            "WARNING: --memory ",
            "WARNING: --cpu-shares",
            "WARNING: --security-opt",
        ]);
}

fn what_cannot_be_understood_is_refused(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\n");
    for (flags, says) in [
        ("--nonsense", "--nonsense"),
        ("--network moon", "--network moon"),
        ("--ulimit nofile", "nofile"),
        ("--shm-size big", "--shm-size"),
        ("--add-host db", "db"),
        ("--platform linux/nonsense/x/y", "linux/nonsense/x/y"),
        ("-t Upper", "Upper"),
        ("-o type=nonsense", "nonsense"),
        ("-o type=local", "dest"),
        ("--secret src=x,nonsense=1", "nonsense"),
        ("--progress nonsense", "nonsense"),
        ("--allow nonsense", "nonsense"),
        ("--no-cache --no-cache-filter a", "--no-cache-filter"),
        ("--push=perhaps", "perhaps"),
        ("--push", "tag"),
    ] {
        sandbox
            .run(&format!("{flags} ctx"))
            .exits(2)
            .prints_nothing()
            .says(&[says])
            .says_not(&["#1 "]);
    }
    sandbox.run("nowhere").exits(2).says(&["nowhere"]);
    sandbox.run("-f nowhere ctx").exits(2).says(&["nowhere"]);
}

fn the_default_platform_comes_from_the_environment(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\n");
    let ran = sandbox
        .mbuild("--dry-run ctx")
        .env("DOCKER_DEFAULT_PLATFORM", "linux/arm64")
        .run()
        .exits(0);
    assert_eq!(ran.out(), "linux/arm64  on farm/arm64 (native)\n");
}
