//! Pods and connections that are lost while a build runs: the build goes on elsewhere, or says
//! what became of the pod.

use std::time::Duration;

use crate::support::kube_api::{Act, Farm, Fault, Loss, PodState};
use crate::support::ran::Running;
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    a_deleted_pod_is_replaced_by_another_and_siblings_go_on,
    a_cut_connection_is_no_failed_build,
    a_silent_connection_is_noticed,
    losses_are_forgiven_as_often_as_told,
    no_retries_means_none,
    a_failed_build_is_not_built_again,
    a_build_that_was_too_big_is_not_built_again,
    a_pod_evicted_for_its_own_disk_is_told,
    an_eviction_for_the_nodes_sake_is_no_failed_build,
    a_fresh_node_is_waited_for,
    a_command_that_fails_is_quoted,
    a_stream_that_says_nothing_is_opened_again,
    a_handshake_that_is_not_answered_is_begun_again,
);

/// A context whose step says "begunnow", goes on for some seconds, and ends well.
fn slow(farm: &Farm<'_>, seconds: u32) -> Sandbox {
    let sandbox = farm.sandbox("");
    let fresh = fresh();
    sandbox.dockerfile(&format!(
        "FROM BASE\nRUN : {fresh}; echo begun''now; sleep {seconds}; uname -m >/machine\n"
    ));
    sandbox
}

/// Starts a build for both platforms and waits until both are in their step.
fn begin(sandbox: &Sandbox, more: &str) -> Running {
    let mut running = sandbox
        .mbuild(&format!("{BOTH} {more} --progress plain ctx"))
        .start();
    running.until("begunnow", 2);
    running
}

fn execs(farm: &Farm<'_>) -> usize {
    farm.api.count("get", "pods/exec")
}

fn a_deleted_pod_is_replaced_by_another_and_siblings_go_on(target: &Target) {
    let farm = Farm::new(target, 2);
    let sandbox = slow(&farm, 5);
    let mut running = begin(&sandbox, "-o type=local,dest=out --metadata-file meta.json");
    let (amd, lost) = (farm.pod_in_use("amd64"), farm.pod_in_use("arm64"));
    farm.api.delete("default", &lost);
    running.wait().exits(0).says(&[&lost]);
    assert_eq!(sandbox.read("out/linux_arm64/machine"), "aarch64\n");
    let metadata = &sandbox.json("meta.json")["mbuild.platforms"];
    let after = &metadata["linux/arm64"]["instance"];
    assert_ne!(
        *after, *lost,
        "the pod of that name is another one, and cold"
    );
    assert_eq!(metadata["linux/amd64"]["instance"], *amd);
}

fn a_cut_connection_is_no_failed_build(target: &Target) {
    let farm = Farm::new(target, 2);
    let sandbox = slow(&farm, 5);
    let mut running = begin(&sandbox, "");
    farm.api
        .lose("default", &farm.pod_in_use("arm64"), Loss::Cut);
    farm.api
        .lose("default", &farm.pod_in_use("amd64"), Loss::Kill);
    running.wait().exits(0);
}

fn a_silent_connection_is_noticed(target: &Target) {
    let farm = Farm::new(target, 2);
    let sandbox = slow(&farm, 5);
    let mut running = begin(&sandbox, "");
    let lost = farm.pod_in_use("arm64");
    farm.api.lose("default", &lost, Loss::Silence);
    farm.api.set("default", &lost, &PodState::NodeLost);
    running.start_clock();
    running
        .wait()
        .exits(0)
        .within(Duration::from_secs(45))
        .says(&[&lost, "is on a node that does not answer"]);
}

fn losses_are_forgiven_as_often_as_told(target: &Target) {
    let farm = Farm::new(target, 4);
    let sandbox = farm.sandbox("");
    sandbox.write("ctx/file", vec![b'x'; 2_000_000]);
    sandbox.dockerfile("FROM BASE\nCOPY . /\n");
    let cut = Fault::of("get", "pods/exec", Act::CutAfter(500_000));
    farm.api.fault(cut.times(100));
    sandbox
        .run("--platform linux/arm64 --retries 1 ctx")
        .exits(5)
        .says(&["linux/arm64", "pod default/buildkitd-arm64-", "(1 of 1)"])
        .says_not(&["(2 of"]);
}

fn no_retries_means_none(target: &Target) {
    let farm = Farm::new(target, 2);
    let sandbox = slow(&farm, 100);
    let mut running = begin(&sandbox, "--retries 0");
    let lost = farm.pod_in_use("arm64");
    farm.api.delete("default", &lost);
    running
        .start_clock()
        .wait()
        .exits(5)
        .within(Duration::from_secs(15))
        .says(&[&lost, "was deleted"]);
}

fn a_failed_build_is_not_built_again(target: &Target) {
    let farm = Farm::new(target, 2);
    let sandbox = farm.sandbox("");
    sandbox.dockerfile("FROM BASE\nRUN exit 9\n");
    sandbox
        .run("--platform linux/amd64 ctx")
        .exits(1)
        .says(&["exit code: 9"])
        .says_not(&["again"]);
}

fn a_build_that_was_too_big_is_not_built_again(target: &Target) {
    let farm = Farm::new(target, 2);
    let sandbox = slow(&farm, 100);
    let mut running = begin(&sandbox, "");
    let lost = farm.pod_in_use("arm64");
    let before = execs(&farm);
    farm.api.set("default", &lost, &PodState::OomKilled);
    farm.api.lose("default", &lost, Loss::Kill);
    running
        .start_clock()
        .wait()
        .exits(5)
        .within(Duration::from_secs(15))
        .says(&[&lost, "OOMKilled", "2Gi"]);
    assert_eq!(execs(&farm), before);
}

fn a_pod_evicted_for_its_own_disk_is_told(target: &Target) {
    let farm = Farm::new(target, 2);
    let sandbox = slow(&farm, 100);
    let mut running = begin(&sandbox, "");
    let lost = farm.pod_in_use("arm64");
    let before = execs(&farm);
    let why = "Pod ephemeral local storage usage exceeds the total limit of containers 10Gi. ";
    farm.api
        .set("default", &lost, &PodState::Evicted(why.into()));
    running
        .start_clock()
        .wait()
        .exits(5)
        .within(Duration::from_secs(15))
        .says(&[&lost, "evicted", why.trim_end_matches(". ")]);
    assert_eq!(execs(&farm), before);
}

fn an_eviction_for_the_nodes_sake_is_no_failed_build(target: &Target) {
    let farm = Farm::new(target, 2);
    let sandbox = slow(&farm, 5);
    let mut running = begin(&sandbox, "");
    let lost = farm.pod_in_use("arm64");
    let why = "Preempted in order to admit critical pod";
    farm.api
        .set("default", &lost, &PodState::Evicted(why.into()));
    running.wait().exits(0).says(&[why]);
}

/// A kubelet's certificate is signed some seconds after pods run on it.
fn a_fresh_node_is_waited_for(target: &Target) {
    let farm = Farm::new(target, 1);
    let sandbox = farm.sandbox("");
    sandbox.dockerfile("FROM BASE\n");
    farm.api
        .fault(Fault::of("get", "pods/exec", Act::fresh_node()).times(3));
    sandbox.run("--platform linux/amd64 ctx").exits(0);
    assert_eq!(execs(&farm), 4);
}

fn a_command_that_fails_is_quoted(target: &Target) {
    let farm = Farm::new(target, 1);
    let sandbox = farm.sandbox("transport = \"exec\"");
    sandbox.dockerfile("FROM BASE\n");
    for (act, code, says) in [
        (Act::NoCommand("buildctl"), 3, "has no `buildctl`"),
        (
            Act::Says("error: dial unix /run/buildkit/buildkitd.sock: no such file\n"),
            5,
            "/run/buildkit/buildkitd.sock: no such file",
        ),
    ] {
        farm.api
            .fault(Fault::of("get", "pods/exec", act).times(100));
        sandbox
            .run("--platform linux/amd64 --wait 3s ctx")
            .exits(code)
            .within(Duration::from_secs(30))
            .says(&["pod default/buildkitd-amd64-0", says]);
        farm.api.heal();
    }
}

/// The first exec goes wrong and says nothing of it.
#[track_caller]
fn check_silence(target: &Target, act: Act) {
    let farm = Farm::new(target, 1);
    let sandbox = farm.sandbox("transport = \"exec\"");
    sandbox.dockerfile("FROM BASE\n");
    let fault = Fault::of("get", "pods/exec", act);
    farm.api.fault(fault.named("buildkitd-amd64-0"));
    sandbox
        .run("--platform linux/amd64 ctx")
        .exits(0)
        .within(Duration::from_secs(45));
    assert_eq!(execs(&farm), 2);
}

fn a_stream_that_says_nothing_is_opened_again(target: &Target) {
    check_silence(target, Act::StallAfter(0));
}

fn a_handshake_that_is_not_answered_is_begun_again(target: &Target) {
    check_silence(target, Act::Hang);
}
