//! mbuild gives what buildx gives, of the same context on the same daemons: trees to the last
//! attribute, images to the digests.

use std::fs;

use crate::support::buildx::Buildx;
use crate::support::hub::Hub;
use crate::support::listing::{assert_same, listing};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";
const EPOCH: (&str, &str) = ("SOURCE_DATE_EPOCH", "1000000000");

cases!(at_endpoints:
    the_tree_of_two_platforms_is_the_same,
    the_tree_of_one_platform_is_the_same,
    a_tar_is_the_same,
    an_image_is_the_same,
    a_context_is_read_the_same_way,
);

/// Everything that a tree can hold.
const TREE: &str = "FROM BASE AS made
ARG TARGETARCH
COPY --link ctx /t/copied
COPY ctx /t/again
RUN mkdir -p /t/made/empty /t/made/sticky /t/made/closed && cd /t/made \\
  && echo $TARGETARCH >arch && echo text >plain && ln plain hard && ln plain zz-hard \\
  && ln -s plain soft && ln -s /no/where dangling && ln -s ../.. up && mkfifo pipe \\
  && : >no-bytes && echo a >'with a space' && echo b >bücher && echo c >.hidden \\
  && chmod 4755 arch && chmod 600 plain && chmod 2710 empty && chmod 1777 sticky \\
  && echo in >closed/in && chmod 000 no-bytes && chmod 555 closed \\
  && touch -d '1999-12-31 23:59:59' bücher empty && chown 12:34 .hidden
FROM scratch
COPY --from=made /t /
";

fn sandbox(target: &Target) -> Sandbox {
    let sandbox = Sandbox::new(target);
    sandbox.write("ctx/ctx/sub/file", fresh());
    sandbox.write("ctx/ctx/script", "#!/bin/sh\n");
    sandbox.write("ctx/ctx/large", vec![7; 300_000]);
    let file = sandbox.path("ctx/ctx/sub/file");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::lsetxattr(&file, "user.mbuild", b"kept", flags).unwrap();
    let script = sandbox.path("ctx/ctx/script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
    std::os::unix::fs::symlink("sub/file", sandbox.path("ctx/ctx/soft")).unwrap();
    fs::hard_link(&file, sandbox.path("ctx/ctx/sub/hard")).unwrap();
    sandbox.dockerfile(TREE);
    sandbox
}

/// Both write a tree with these flags, and the trees are the same.
#[track_caller]
fn check_trees(target: &Target, sandbox: &Sandbox, flags: &str) {
    let Some(buildx) = Buildx::new(target) else {
        return;
    };
    sandbox
        .mbuild(&format!("{flags} -o type=local,dest=ours ctx"))
        .run()
        .exits(0);
    buildx.build(sandbox, &format!("{flags} -o type=local,dest=theirs ctx"));
    let ours = listing(&sandbox.path("ours"));
    assert!(ours.len() > 3, "{ours:?}");
    assert_same(&ours, &listing(&sandbox.path("theirs")));
}

fn the_tree_of_two_platforms_is_the_same(target: &Target) {
    let sandbox = sandbox(target);
    check_trees(target, &sandbox, BOTH);
    assert!(sandbox.path("ours/linux_arm64/made/arch").exists());
}

fn the_tree_of_one_platform_is_the_same(target: &Target) {
    let sandbox = sandbox(target);
    check_trees(target, &sandbox, "--platform linux/arm64");
    assert_eq!(sandbox.read("ours/made/arch"), "arm64\n");
    // Both could have lost the same.
    let ours = listing(&sandbox.path("ours"));
    for (path, has) in [
        ("copied/sub/file", "user.mbuild"),
        ("copied/sub/hard", "link "),
        ("made/arch", " 4755 "),
        ("made/bücher", " 946684799."),
        ("made/pipe", "fifo "),
        ("made/sticky", "directory 1777 "),
        ("made/up", "symlink to \"../..\""),
        ("made/zz-hard", "link made/hard"),
    ] {
        assert!(ours[path].contains(has), "{path}: {}", ours[path]);
    }
}

fn a_tar_is_the_same(target: &Target) {
    let Some(buildx) = Buildx::new(target) else {
        return;
    };
    let sandbox = sandbox(target);
    let flags = "--platform linux/amd64";
    let to_stdout = sandbox
        .mbuild(&format!("{flags} -o type=tar,dest=- ctx"))
        .run()
        .exits(0);
    sandbox
        .mbuild(&format!("{flags} -o type=tar,dest=ours.tar ctx"))
        .run()
        .exits(0)
        .prints_nothing();
    buildx.build(
        &sandbox,
        &format!("{flags} -o type=tar,dest=theirs.tar ctx"),
    );
    let theirs = fs::read(sandbox.path("theirs.tar")).unwrap();
    assert!(theirs.len() > 300_000);
    assert!(fs::read(sandbox.path("ours.tar")).unwrap() == theirs);
    assert!(to_stdout.stdout == theirs);
}

fn an_image_is_the_same(target: &Target) {
    let Some(buildx) = Buildx::new(target) else {
        return;
    };
    let buildx = buildx.with_env(EPOCH.0, EPOCH.1);
    let sandbox = sandbox(target);
    let (ours, theirs) = (target.repository("ours"), target.repository("theirs"));
    sandbox
        .mbuild(&format!("{BOTH} --label a=b -t {ours}:1 --push ctx"))
        .env(EPOCH.0, EPOCH.1)
        .run()
        .exits(0);
    let hub = Hub::new(&ours);
    let index = hub.manifest("1");
    for platform in ["linux/amd64", "linux/arm64"] {
        let output = format!("-o type=image,name={theirs}:1,push=true,oci-mediatypes=true");
        buildx.build(
            &sandbox,
            &format!("--platform {platform} --label a=b {output} ctx"),
        );
        let (ours, theirs) = (hub.image(&index, platform), Hub::new(&theirs).manifest("1"));
        assert_eq!(ours.json["layers"], theirs.json["layers"], "{platform}");
        assert_eq!(ours.digest, theirs.digest, "{platform}");
    }
}

/// Ignore rules, odd names and links: what arrives is the same.
fn a_context_is_read_the_same_way(target: &Target) {
    let sandbox = Sandbox::new(target);
    for path in [
        "a/keep",
        "a/drop.log",
        "b/drop.log",
        "b/x/y/z",
        "c d/e",
        "!f",
        ".git/x",
    ] {
        sandbox.write(&format!("ctx/{path}"), path);
    }
    let rules = "**/*.log\n!a/drop.log\n.git\nb/x\n!b/x/y\n# comment\n\\!f\n";
    sandbox.write("ctx/.dockerignore", rules);
    std::os::unix::fs::symlink("a", sandbox.path("ctx/to-a")).unwrap();
    sandbox.dockerfile("FROM BASE AS read\nCOPY . /all\nFROM scratch\nCOPY --from=read /all /\n");
    check_trees(target, &sandbox, BOTH);
}
