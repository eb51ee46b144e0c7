//! What only a real cluster shows: every way into its pods, pods that are killed, and a pod that
//! builds with no configuration at all. Run by `tests/run --cluster`.

use crate::support::cluster::Cluster;
use crate::support::hub::Hub;
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh, plain_http};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(on_cluster:
    exec_carries_builds,
    port_forward_carries_builds,
    certificates_carry_builds_straight_to_the_pods,
    what_works_is_found_by_itself,
    a_pod_needs_no_configuration,
    a_client_may_not_more_than_it_needs,
);

cases!(on_cluster_alone:
    a_killed_pod_is_replaced_by_another_and_siblings_go_on,
    with_no_retries_a_killed_pod_is_named,
);

/// Builds for both platforms with a context, pushes, brings files back, and fails as it should.
#[track_caller]
fn check(target: &Target, sandbox: &Sandbox) {
    sandbox.write("ctx/file", vec![b'x'; 5_000_000]);
    sandbox.write("ctx/new", fresh());
    sandbox.dockerfile("FROM BASE\nCOPY . /all\nRUN uname -m >/all/machine\n");
    let name = target.repository("cluster");
    let line = format!("{BOTH} -t {name}:1 -t {name}:2 --push -o type=local,dest=out ctx");
    sandbox.run(&line).exits(0);
    let index = Hub::new(&name).manifest("1");
    assert_eq!(index.platforms(), ["linux/amd64", "linux/arm64"]);
    assert_eq!(Hub::new(&name).manifest("2").digest, index.digest);
    assert_eq!(sandbox.read("out/linux_arm64/all/machine"), "aarch64\n");
    assert_eq!(sandbox.read("out/linux_amd64/all/file").len(), 5_000_000);
    sandbox.dockerfile("FROM BASE\nRUN exit 9\n");
    let failed = sandbox.run(&format!("{BOTH} ctx"));
    failed.exits(1).says(&["exit code: 9"]);
}

fn check_way(target: &Target, lines: &str) {
    let nodes = [0, 1].map(|at: usize| target.nodes[at].with(lines));
    check(
        target,
        &Sandbox::with_config(target, &target.config_of(&nodes)),
    );
}

/// The lines that name the client's certificates; without them nothing listens on a port.
fn certificates(target: &Target) -> Option<String> {
    let Some(dir) = target.find("POOL_TLS") else {
        target.skip("the pool has no certificates");
        return None;
    };
    Some(format!(
        "tls = {{ ca = \"{dir}/ca.crt\", cert = \"{dir}/tls.crt\", key = \"{dir}/tls.key\" }}\n"
    ))
}

fn exec_carries_builds(target: &Target) {
    check_way(target, "transport = \"exec\"");
}

fn port_forward_carries_builds(target: &Target) {
    if let Some(files) = certificates(target) {
        check_way(target, &(files + "transport = \"port-forward\""));
    }
}

/// In a pod; from elsewhere, the pods' network need not be reached.
fn certificates_carry_builds_straight_to_the_pods(target: &Target) {
    if cluster(target).kubeconfig.is_some() && target.find("HOST").is_none() {
        return target.skip("pods are not known to be reached (MBUILD_CLUSTER_HOST)");
    }
    if let Some(files) = certificates(target) {
        check_way(target, &(files + "transport = \"direct\""));
    }
}

fn what_works_is_found_by_itself(target: &Target) {
    check_way(target, "transport = \"auto\"");
}

fn a_pod_needs_no_configuration(target: &Target) {
    if cluster(target).kubeconfig.is_some() {
        return target.skip("this is not a pod");
    }
    check(
        target,
        &Sandbox::with_config(target, &plain_http(&target.registry)),
    );
}

fn a_client_may_not_more_than_it_needs(target: &Target) {
    let sandbox = Sandbox::new(target);
    let Cluster {
        namespace,
        kubeconfig,
        ..
    } = cluster(target);
    let kubeconfig = match kubeconfig {
        Some(file) => format!("--kubeconfig {file}"),
        None => String::new(),
    };
    let line = format!(
        "builder create other --driver kubernetes --namespace {namespace} {kubeconfig} \
         --platform linux/amd64"
    );
    sandbox
        .run(&line)
        .exits(3)
        .says(&["may not get configmaps", namespace, "kind: Role"]);
}

/// A build whose arm64 step waits, and the pod that runs it. Alone: a busy pod is passed over.
fn waiting(target: &Target, more: &str) -> (Sandbox, String, String) {
    let sandbox = Sandbox::new(target);
    let key = fresh();
    let flags = format!("--context-key {key} --metadata-file meta.json");
    sandbox.dockerfile("FROM BASE\n");
    sandbox
        .run(&format!("--platform linux/arm64 {flags} ctx"))
        .exits(0);
    let pod = &sandbox.json("meta.json")["mbuild.platforms"]["linux/arm64"]["instance"];
    let pod = pod.as_str().unwrap().to_owned();
    sandbox.dockerfile(&format!(
        "FROM BASE\nRUN : {key}; echo begun''now; sleep 12; echo o''ver\n"
    ));
    (sandbox, pod, format!("{BOTH} {flags} {more} ctx"))
}

fn a_killed_pod_is_replaced_by_another_and_siblings_go_on(target: &Target) {
    let cluster = cluster(target);
    if !cluster.has_admin() {
        return target.skip("a client may not kill pods");
    }
    let (sandbox, pod, line) = waiting(target, "");
    let mut running = sandbox.mbuild(&line).start();
    running.until("begunnow", 2);
    cluster.kill(&pod);
    running.wait().exits(0);
    let metadata = sandbox.json("meta.json");
    let other = &metadata["mbuild.platforms"]["linux/arm64"]["instance"];
    cluster.wait();
    assert_ne!(other.as_str(), Some(pod.as_str()));
}

fn with_no_retries_a_killed_pod_is_named(target: &Target) {
    let cluster = cluster(target);
    if !cluster.has_admin() {
        return target.skip("a client may not kill pods");
    }
    let (sandbox, pod, line) = waiting(target, "--retries 0");
    let mut running = sandbox.mbuild(&line).start();
    running.until("begunnow", 2);
    cluster.kill(&pod);
    let ran = running.wait();
    cluster.wait();
    ran.exits(5)
        .says(&["ERROR: linux/arm64 on arm64: ", &pod])
        .says_not(&["ERROR: linux/amd64"]);
}

fn cluster(target: &Target) -> &Cluster {
    target.cluster.as_ref().unwrap()
}
