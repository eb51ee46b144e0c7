//! Waiting for pods: what is waited for is shown, and what Kubernetes knows is said in the end.

use std::time::Duration;

use crate::support::kube_api::{Act, Door, Farm, Fault, Life, PodState, Pool, Rights};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const AMD: &str = "--platform linux/amd64";

cases!(beside:
    a_pod_that_starts_is_waited_for,
    what_keeps_a_pod_from_being_ready_is_said,
    a_pod_that_no_node_takes_is_said,
    pods_that_are_not_ready_or_go_are_not_taken,
    a_pool_without_pods_gets_one,
    who_may_not_scale_is_told_who_could,
    missing_rights_are_named_with_what_grants_them,
    watches_that_break_are_begun_again,
    a_slow_api_server_is_waited_for,
    an_api_server_that_is_not_there_is_named,
    nothing_that_makes_pods_is_said,
    a_pod_finds_the_pool_of_its_namespace,
    two_pools_and_no_choice_name_both,
);

cases!(alone:
    builds_queue_for_slots,
);

fn sandbox(farm: &Farm<'_>) -> Sandbox {
    let sandbox = farm.sandbox("");
    sandbox.dockerfile("FROM BASE\n");
    sandbox
}

/// Starting, and then this.
fn then(state: PodState, after: Duration) -> Life {
    vec![(Duration::ZERO, PodState::Starting), (after, state)]
}

fn a_pod_that_starts_is_waited_for(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    let after = Duration::from_secs(3);
    farm.api
        .life("buildkitd-amd64", then(PodState::Ready, after));
    let farm = farm.with_pools(1);
    sandbox(&farm)
        .run(&format!("{AMD} ctx"))
        .exits(0)
        .within(Duration::from_secs(10))
        .says(&["buildkitd-amd64-0"]);
}

fn what_keeps_a_pod_from_being_ready_is_said(target: &Target) {
    let pull = "Back-off pulling image \"moby/buildkit:v0.32.0\": ErrImagePull: failed to resolve \
                reference: registry.example: not found";
    for (state, says) in [
        (
            PodState::ImagePullBackOff(pull.into()),
            ["ImagePullBackOff", "registry.example: not found"],
        ),
        (
            PodState::ConfigError("secret \"buildkitd-server-certs\" not found".into()),
            [
                "CreateContainerConfigError",
                "\"buildkitd-server-certs\" not found",
            ],
        ),
        (
            PodState::CrashLoopBackOff(1, "no permission to mount".into()),
            ["exit code 1", "no permission to mount"],
        ),
        (PodState::NotReady, ["not ready", "buildkitd-amd64-0"]),
        (
            PodState::NodeLost,
            ["is on a node that does not answer", "buildkitd-amd64-0"],
        ),
    ] {
        let farm = Farm::empty(target, Door::Plain);
        farm.api.life("buildkitd", then(state, Duration::ZERO));
        let farm = farm.with_pools(1);
        sandbox(&farm)
            .run(&format!("{AMD} --wait 2s ctx"))
            .exits(5)
            .within(Duration::from_secs(6))
            .says(&["buildkitd-amd64-0", "linux/amd64"])
            .says(&says);
    }
}

fn a_pod_that_no_node_takes_is_said(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    farm.api.pool(&Pool::of("riscv64", 1));
    let config = farm.config("").replace("amd64", "riscv64");
    let sandbox = farm.sandbox_with(&config);
    sandbox.dockerfile("FROM BASE\n");
    sandbox
        .run("--platform linux/riscv64 --wait 2s ctx")
        .exits(5)
        .says(&[
            "buildkitd-riscv64-0",
            "Unschedulable",
            "2 node(s) didn't match Pod's node affinity/selector",
        ]);
}

fn pods_that_are_not_ready_or_go_are_not_taken(target: &Target) {
    let farm = Farm::new(target, 3);
    let pool = Pool::of("amd64", 3);
    std::thread::sleep(Duration::from_millis(300));
    farm.api
        .set("default", &pool.pod(0), &PodState::Terminating);
    farm.api.set("default", &pool.pod(2), &PodState::NotReady);
    for key in ["a", "b", "c", "d"] {
        sandbox(&farm)
            .run(&format!("{AMD} --context-key {key} ctx"))
            .exits(0);
    }
    assert_eq!(farm.pods_asked(), [pool.pod(1)]);
}

fn a_pool_without_pods_gets_one(target: &Target) {
    let farm = Farm::new(target, 0);
    sandbox(&farm)
        .run("--platform linux/amd64,linux/arm64 ctx")
        .exits(0)
        .says(&["buildkitd-amd64", "buildkitd-arm64"]);
    assert_eq!(farm.api.count("patch", "statefulsets/scale"), 2);
}

fn who_may_not_scale_is_told_who_could(target: &Target) {
    let farm = Farm::new(target, 0);
    let rights = Rights::none()
        .and("get list watch", "pods")
        .and("get list watch", "statefulsets")
        .and("get list watch", "deployments");
    farm.api.allow(rights);
    sandbox(&farm)
        .run(&format!("{AMD} ctx"))
        .exits(3)
        .within(Duration::from_secs(10))
        .says(&[
            "buildkitd-amd64",
            "scaled to zero",
            "statefulsets/scale",
            "patch",
            "kubectl -n default scale",
        ]);
}

fn missing_rights_are_named_with_what_grants_them(target: &Target) {
    for (rights, verb, resource) in [
        (Rights::none(), "list", "pods"),
        (
            Rights::none().and("get list watch", "pods"),
            "get",
            "pods/exec",
        ),
        // Enough before 1.35.
        (
            Rights::none()
                .and("get list watch", "pods")
                .and("get", "pods/exec"),
            "create",
            "pods/exec",
        ),
    ] {
        let farm = Farm::new(target, 1);
        farm.api.allow(rights);
        let sandbox = farm.sandbox("transport = \"exec\"");
        sandbox.dockerfile("FROM BASE\n");
        sandbox
            .run(&format!("{AMD} ctx"))
            .exits(3)
            .within(Duration::from_secs(10))
            .says(&[
                "system:serviceaccount:default:client",
                verb,
                resource,
                "default",
                "kind: Role",
                &format!("resources: [\"{resource}\"]"),
            ]);
    }
}

fn watches_that_break_are_begun_again(target: &Target) {
    for act in [Act::Gone, Act::HangUp, Act::CutAfter(1), Act::CutAfter(0)] {
        let farm = Farm::empty(target, Door::Plain);
        let after = Duration::from_secs(2);
        farm.api.life("buildkitd", then(PodState::Ready, after));
        farm.api.fault(Fault::of("watch", "pods", act).times(2));
        let farm = farm.with_pools(1);
        sandbox(&farm)
            .run(&format!("{AMD} ctx"))
            .exits(0)
            .within(Duration::from_secs(15));
    }
}

fn a_slow_api_server_is_waited_for(target: &Target) {
    let farm = Farm::new(target, 1);
    let wait = Act::Wait(Duration::from_secs(2));
    farm.api
        .fault(Fault::of("list", "pods", wait.clone()).times(2));
    farm.api.fault(Fault::of("get", "pods/exec", wait).times(2));
    sandbox(&farm)
        .run(&format!("{AMD} ctx"))
        .exits(0)
        .within(Duration::from_secs(20));
}

fn an_api_server_that_is_not_there_is_named(target: &Target) {
    let farm = Farm::new(target, 1);
    let sandbox = sandbox(&farm);
    let url = farm.api.url();
    drop(farm);
    sandbox
        .run(&format!("{AMD} --wait 3s ctx"))
        .exits(5)
        .within(Duration::from_secs(20))
        .says(&[url.trim_start_matches("http://"), "refused"]);
}

fn nothing_that_makes_pods_is_said(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    sandbox(&farm)
        .run(&format!("{AMD} ctx"))
        .exits(3)
        .within(Duration::from_secs(10))
        .says(&["app.kubernetes.io/name=buildkitd", "default"]);
}

/// Runs with a pod's service account in place and no configuration.
fn in_pod(farm: &Farm<'_>, namespace: &str, line: &str) -> crate::support::ran::Ran {
    let sandbox = farm.sandbox_with("");
    std::fs::remove_dir_all(sandbox.path("home")).unwrap();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    sandbox.dockerfile("FROM BASE\n");
    let account = sandbox.path("account");
    farm.api.service_account(&account, namespace);
    sandbox
        .mbuild(line)
        .with_service_account(&account)
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", farm.api.port().to_string())
        .run()
}

fn a_pod_finds_the_pool_of_its_namespace(target: &Target) {
    let farm = Farm::empty(target, Door::Tls);
    for arch in ["amd64", "arm64"] {
        farm.api
            .pool(&Pool::of(arch, 1).within("mine").named("pool"));
        farm.api.pool(&Pool::of(arch, 1).within("other"));
    }
    in_pod(&farm, "mine", "--platform linux/amd64,linux/arm64 ctx").exits(0);
    let mut taken = farm.pods_asked();
    taken.sort();
    assert_eq!(taken, ["pool-amd64-0", "pool-arm64-0"]);
}

fn two_pools_and_no_choice_name_both(target: &Target) {
    let farm = Farm::empty(target, Door::Tls);
    for name in ["blue", "red"] {
        farm.api.pool(&Pool::of("amd64", 1).named(name));
    }
    in_pod(&farm, "default", &format!("{AMD} ctx"))
        .exits(3)
        .says(&["blue", "red"]);
}

/// Both pods are one daemon, which counts the builds of both.
fn builds_queue_for_slots(target: &Target) {
    let farm = Farm::new(target, 1);
    let sandbox = farm.sandbox("slots = 1");
    let fresh = fresh();
    sandbox.dockerfile(&format!(
        "FROM BASE\nRUN : {fresh}; echo begun''now; sleep 6\n"
    ));
    let mut first = sandbox
        .mbuild(&format!("{AMD} --progress plain ctx"))
        .start();
    first.until("begunnow", 1);
    let other = farm.sandbox("slots = 1");
    other.dockerfile("FROM BASE\n");
    let second = other.run(&format!("{AMD} ctx")).exits(0);
    assert!(second.took > Duration::from_secs(2), "{:?}", second.took);
    second.says(&["1 build is ahead"]);
    first.wait().exits(0);
}
