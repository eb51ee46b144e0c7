//! Files that come back: whole or not at all, beside what is there.

use std::fs;

use crate::support::listing::{assert_same, listing};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    every_platform_has_a_directory_of_its_own,
    a_directory_alone_is_a_local_output,
    deleting_twice_leaves_what_is_not_ours,
    platforms_that_share_a_directory_may_not_differ,
    platforms_that_share_a_directory_may_agree,
    a_failed_build_leaves_the_destination_as_it_was,
    a_stopped_build_leaves_the_destination_as_it_was,
    a_destination_that_cannot_be_written_stops_the_build_before_it_starts,
    a_tar_goes_to_stdout,
    files_and_an_image_come_from_one_build,
);

/// A context whose result is one file that differs between platforms and one that does not.
fn sandbox(target: &Target, number: &str) -> Sandbox {
    let sandbox = Sandbox::new(target);
    write(&sandbox, number);
    sandbox
}

fn write(sandbox: &Sandbox, number: &str) {
    sandbox.write("ctx/same", number);
    sandbox.dockerfile(
        "FROM BASE AS made\nARG TARGETARCH\nCOPY same /t/same\nRUN echo $TARGETARCH >/t/arch\n\
         FROM scratch\nCOPY --from=made /t /\n",
    );
}

fn every_platform_has_a_directory_of_its_own(target: &Target) {
    let sandbox = sandbox(target, "1");
    sandbox.write("out/mine", "mine");
    sandbox.write("out/linux_amd64/old", "old");
    sandbox
        .run(&format!("{BOTH} --output type=local,dest=out ctx"))
        .exits(0)
        .prints_nothing();
    assert_eq!(sandbox.read("out/linux_amd64/arch"), "amd64\n");
    assert_eq!(sandbox.read("out/linux_arm64/arch"), "arm64\n");
    assert_eq!(sandbox.read("out/linux_arm64/same"), "1");
    assert_eq!(sandbox.read("out/mine"), "mine");
    assert_eq!(sandbox.read("out/linux_amd64/old"), "old");
    assert_eq!(listing(&sandbox.path("out")).len(), 8, "no stage is left");
}

fn a_directory_alone_is_a_local_output(target: &Target) {
    let sandbox = sandbox(target, "1");
    sandbox.run("--platform linux/arm64 -o out ctx").exits(0);
    assert_eq!(sandbox.read("out/arch"), "arm64\n");
    sandbox
        .run("--platform linux/arm64 -o type=local,dest=split,platform-split=true ctx")
        .exits(0);
    assert_eq!(sandbox.read("split/linux_arm64/arch"), "arm64\n");
}

/// With buildx whoever finishes last deletes the other platform's directory.
fn deleting_twice_leaves_what_is_not_ours(target: &Target) {
    let sandbox = sandbox(target, "1");
    let line = format!("{BOTH} -o type=local,dest=out,mode=delete ctx");
    sandbox.write("out/mine", "mine");
    sandbox.write("out/linux_s390x/other", "other");
    for number in ["1", "2"] {
        write(&sandbox, number);
        sandbox.write("out/linux_amd64/old/file", "old");
        sandbox.write("out/linux_arm64/old", "old");
        sandbox.run(&line).exits(0);
        assert_eq!(sandbox.read("out/linux_amd64/same"), number);
        assert!(!sandbox.path("out/linux_amd64/old").exists());
        assert!(!sandbox.path("out/linux_arm64/old").exists());
        assert_eq!(sandbox.read("out/mine"), "mine");
        assert_eq!(sandbox.read("out/linux_s390x/other"), "other");
    }
    let before = listing(&sandbox.path("out/linux_arm64"));
    sandbox
        .run("--platform linux/amd64 -o type=local,dest=out,mode=delete,platform-split=true ctx")
        .exits(0);
    assert_same(&listing(&sandbox.path("out/linux_arm64")), &before);
}

/// With buildx one platform's files silently replace the other's.
fn platforms_that_share_a_directory_may_not_differ(target: &Target) {
    let sandbox = sandbox(target, "1");
    sandbox.write("out/arch", "before");
    let before = listing(&sandbox.path("out"));
    sandbox
        .run(&format!(
            "{BOTH} -o type=local,dest=out,platform-split=false ctx"
        ))
        .exits(4)
        .says(&["arch", "linux/amd64", "linux/arm64", "ERROR"]);
    assert_same(&listing(&sandbox.path("out")), &before);
}

fn platforms_that_share_a_directory_may_agree(target: &Target) {
    let sandbox = sandbox(target, "1");
    sandbox.dockerfile(
        "FROM BASE AS made\nARG TARGETARCH\nCOPY same /t/same\nRUN echo x >/t/only-$TARGETARCH\n\
         FROM scratch\nCOPY --from=made /t /\n",
    );
    sandbox
        .run(&format!(
            "{BOTH} -o type=local,dest=out,platform-split=false ctx"
        ))
        .exits(0);
    let names: Vec<_> = listing(&sandbox.path("out")).into_keys().collect();
    assert_eq!(names, ["only-amd64", "only-arm64", "same"]);
}

fn a_failed_build_leaves_the_destination_as_it_was(target: &Target) {
    let sandbox = sandbox(target, "1");
    let line = format!("{BOTH} -o type=local,dest=out,mode=delete ctx");
    sandbox.run(&line).exits(0);
    let before = listing(&sandbox.path("out"));
    sandbox.dockerfile(
        "FROM BASE AS made\nARG TARGETARCH\nRUN [ $TARGETARCH = amd64 ] && echo 2 >/t\n\
         FROM scratch\nCOPY --from=made /t /\n",
    );
    sandbox.run(&line).exits(1);
    assert_same(&listing(&sandbox.path("out")), &before);
    sandbox.run(&line.replace("out", "new")).exits(1);
    let left = fs::read_dir(sandbox.path("new")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing in a new destination");
}

fn a_stopped_build_leaves_the_destination_as_it_was(target: &Target) {
    let sandbox = sandbox(target, "1");
    let line = format!("{BOTH} -o type=local,dest=out,mode=delete ctx");
    sandbox.run(&line).exits(0);
    let before = listing(&sandbox.path("out"));
    sandbox.dockerfile(&format!(
        "FROM BASE\nRUN : {}; echo wait''ing; sleep 60\n",
        fresh()
    ));
    let mut running = sandbox.mbuild(&line).start();
    let interrupt = rustix::process::Signal::INT;
    running
        .until("waiting", 2)
        .signal(interrupt)
        .wait()
        .exits(130);
    assert_same(&listing(&sandbox.path("out")), &before);
}

fn a_destination_that_cannot_be_written_stops_the_build_before_it_starts(target: &Target) {
    let sandbox = sandbox(target, "1");
    sandbox.write("file", "");
    sandbox
        .run(&format!("{BOTH} -o type=local,dest=file/out ctx"))
        .exits(4)
        .says(&["nothing was built", "file/out"])
        .says_not(&["#1 "]);
}

fn a_tar_goes_to_stdout(target: &Target) {
    let sandbox = sandbox(target, "1");
    let ran = sandbox
        .run("--platform linux/arm64 -o type=tar ctx")
        .exits(0);
    let mut tar = tar::Archive::new(&ran.stdout[..]);
    let entries = tar.entries().unwrap().map(Result::unwrap);
    let names: Vec<_> = entries
        .map(|e| e.path().unwrap().display().to_string())
        .collect();
    assert!(names.contains(&"arch".to_owned()), "{names:?}");
    sandbox.dockerfile("FROM BASE\nRUN false\n");
    sandbox
        .run("--platform linux/arm64 -o - ctx")
        .exits(1)
        .prints_nothing();
    sandbox
        .run("--platform linux/arm64 -o type=tar,dest=out.tar ctx")
        .exits(1);
    assert!(!sandbox.path("out.tar").exists(), "whole or not at all");
}

fn files_and_an_image_come_from_one_build(target: &Target) {
    let sandbox = sandbox(target, "1");
    let name = target.repository("and-files");
    sandbox
        .run(&format!("{BOTH} -o out -o type=registry,name={name}:1 ctx"))
        .exits(0);
    assert_eq!(sandbox.read("out/linux_arm64/arch"), "arm64\n");
    let hub = crate::support::hub::Hub::new(&name);
    let image = hub.image(&hub.manifest("1"), "linux/arm64");
    assert_eq!(hub.file(&image, "arch"), b"arm64\n");
}
