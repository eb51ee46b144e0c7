//! Whole builds in the pods of a cluster, by every way into them.

use crate::support::hub::Hub;
use crate::support::kube_api::{Door, Farm, KubeApi, Pool, Rights, Way};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh, plain_http};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    exec_carries_builds,
    port_forward_carries_builds,
    certificates_carry_builds_past_the_api_server,
    without_certificates_exec_is_what_works,
    tls_and_certificates_lead_to_the_api_server,
    the_shipped_role_is_enough,
    choosing_a_pod_costs_one_request,
    pods_are_chosen_by_name_or_label,
    architectures_in_two_clusters_make_one_builder,
);

cases!(alone:
    a_project_meets_its_pod_again,
);

/// Builds for both platforms with a context, pushes under two tags and brings files back; a
/// build that fails, fails.
#[track_caller]
fn check(target: &Target, sandbox: &Sandbox) {
    sandbox.write("ctx/file", vec![b'x'; 5_000_000]);
    sandbox.write("ctx/new", fresh());
    sandbox.dockerfile("FROM BASE\nCOPY . /all\nRUN uname -m >/all/machine\n");
    let name = target.repository("kube");
    sandbox
        .run(&format!(
            "{BOTH} -t {name}:1 -t {name}:2 --push -o type=local,dest=out ctx"
        ))
        .exits(0);
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    assert_eq!(index.platforms(), ["linux/amd64", "linux/arm64"]);
    assert_eq!(hub.manifest("2").digest, index.digest);
    assert_eq!(sandbox.read("out/linux_arm64/all/machine"), "aarch64\n");
    assert_eq!(sandbox.read("out/linux_amd64/all/file").len(), 5_000_000);
    sandbox.dockerfile("FROM BASE\nRUN exit 9\n");
    sandbox
        .run(&format!("{BOTH} ctx"))
        .exits(1)
        .says(&["exit code: 9"]);
}

/// That way was gone by both platforms' builds, and no other.
#[track_caller]
fn check_way(api: &KubeApi, way: Way) {
    for each in [Way::Direct, Way::Exec, Way::Forward] {
        let (streams, bytes) = api.traffic(each);
        if each == way {
            assert!(streams >= 4 && bytes > 20_000_000, "{streams} {bytes}");
        } else {
            assert_eq!((streams, bytes), (0, 0), "{each:?}");
        }
    }
}

fn exec_carries_builds(target: &Target) {
    let farm = Farm::new(target, 2);
    check(target, &farm.sandbox("transport = \"exec\""));
    check_way(&farm.api, Way::Exec);
}

fn port_forward_carries_builds(target: &Target) {
    let farm = Farm::new(target, 2);
    check(target, &farm.sandbox("transport = \"port-forward\""));
    check_way(&farm.api, Way::Forward);
}

fn certificates_carry_builds_past_the_api_server(target: &Target) {
    for transport in ["direct", "auto"] {
        let farm = Farm::empty(target, Door::Plain);
        let sandbox = farm.sandbox("");
        let dir = sandbox.path("tls");
        farm.api.mutual_tls(&dir);
        let farm = farm.with_pools(2);
        let file = |name: &str| dir.join(name).display().to_string();
        let config = farm.config(&format!(
            "transport = \"{transport}\"\ntls = {{ ca = {:?}, cert = {:?}, key = {:?} }}",
            file("ca.crt"),
            file("tls.crt"),
            file("tls.key")
        ));
        sandbox.write("home/.config/mbuild/mbuild.toml", config);
        check(target, &sandbox);
        check_way(&farm.api, Way::Direct);
    }
}

fn without_certificates_exec_is_what_works(target: &Target) {
    let farm = Farm::new(target, 1);
    let sandbox = farm.sandbox("");
    sandbox.dockerfile("FROM BASE\n");
    sandbox
        .run(&format!("{BOTH} -v ctx"))
        .exits(0)
        .says(&["exec"]);
    assert_eq!(farm.api.traffic(Way::Exec).0, 2);
    assert_eq!(farm.api.traffic(Way::Forward).0, 0);
}

fn tls_and_certificates_lead_to_the_api_server(target: &Target) {
    for door in [Door::Tls, Door::Certificate] {
        let farm = Farm::empty(target, door).with_pools(1);
        let sandbox = farm.sandbox("");
        sandbox.dockerfile("FROM BASE\n");
        sandbox.run(&format!("{BOTH} ctx")).exits(0);
    }
}

fn the_shipped_role_is_enough(target: &Target) {
    let farm = Farm::new(target, 1);
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/deploy/buildkit/base/client.yaml"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
    let role = objects
        .iter()
        .find(|object| object["kind"] == "Role")
        .unwrap();
    farm.api.allow(Rights::of_role(role));
    let sandbox = farm.sandbox("");
    sandbox.dockerfile("FROM BASE\n");
    sandbox.run(&format!("{BOTH} ctx")).exits(0);
    for way in ["exec", "port-forward"] {
        let sandbox = farm.sandbox(&format!("transport = \"{way}\""));
        sandbox.dockerfile("FROM BASE\n");
        sandbox.run(&format!("{BOTH} ctx")).exits(0);
    }
}

/// One list and one exec for each architecture; what is watched comes beside the build.
fn choosing_a_pod_costs_one_request(target: &Target) {
    let farm = Farm::new(target, 3);
    let sandbox = farm.sandbox("");
    sandbox.dockerfile("FROM BASE\n");
    sandbox.run(&format!("{BOTH} ctx")).exits(0);
    let journal = farm.api.journal();
    let lines: Vec<_> = journal
        .iter()
        .filter(|ask| ask.verb != "watch")
        .map(|ask| format!("{} {}", ask.verb, ask.resource))
        .collect();
    assert_eq!(farm.api.count("list", "pods"), 2, "{lines:?}");
    // A busy pod is asked for what it runs, and then the others are dialled, too.
    assert!(
        (2..=6).contains(&farm.api.count("get", "pods/exec")),
        "{lines:?}"
    );
    assert!(lines.len() <= 8, "{lines:?}");
}

/// Alone: a pod that seems busy is not taken by everybody.
fn a_project_meets_its_pod_again(target: &Target) {
    let farm = Farm::new(target, 4);
    let build = |key: &str| {
        let sandbox = farm.sandbox("");
        sandbox.dockerfile("FROM BASE\n");
        sandbox
            .run(&format!(
                "--platform linux/amd64 --context-key {key} --metadata-file meta.json ctx"
            ))
            .exits(0);
        let metadata = sandbox.json("meta.json");
        metadata["mbuild.platforms"]["linux/amd64"]["instance"].clone()
    };
    let first = build("one");
    assert_eq!(build("one"), first);
    let others = ["two", "three", "four", "five", "six", "seven"].map(build);
    assert!(others.iter().any(|pod| *pod != first), "one pod for all");
    assert_eq!(build("one"), first);
}

fn pods_are_chosen_by_name_or_label(target: &Target) {
    let farm = Farm::new(target, 3);
    farm.api.pool(&Pool::of("amd64", 2).named("other"));
    for (more, pod) in [
        ("pods = [\"buildkitd-amd64-2\"]", "buildkitd-amd64-2"),
        (
            "selector = \"app.kubernetes.io/instance=other,statefulset.kubernetes.io/pod-name=other-amd64-1\"",
            "other-amd64-1",
        ),
    ] {
        let config = format!(
            "builder = \"kube\"\n[builders.kube]\ndriver = \"kubernetes\"\n\
             [[builders.kube.nodes]]\nname = \"one\"\nplatforms = [\"linux/amd64\"]\n{more}\n"
        );
        let sandbox = farm.sandbox_with(&config);
        sandbox.dockerfile("FROM BASE\n");
        sandbox.run("--platform linux/amd64 ctx").exits(0);
        assert_eq!(farm.pods_asked().last().unwrap(), pod);
    }
}

fn architectures_in_two_clusters_make_one_builder(target: &Target) {
    let one = Farm::empty(target, Door::Plain);
    one.api.pool(&Pool::of("amd64", 1).within("here"));
    let two = Farm::empty(target, Door::Tls);
    two.api.pool(&Pool::of("arm64", 1).within("there"));
    let mut config = "builder = \"kube\"\n[builders.kube]\ndriver = \"kubernetes\"\n".to_owned();
    for (arch, place) in [("amd64", "here"), ("arm64", "there")] {
        config += &format!(
            "[[builders.kube.nodes]]\nname = \"{arch}\"\nplatforms = [\"linux/{arch}\"]\n\
             kubeconfig = \"{place}/config\"\ncontext = \"c-{place}\"\nnamespace = \"{place}\"\n"
        );
    }
    let sandbox = one.sandbox_with(&(config + &plain_http(&target.registry)));
    for (farm, place) in [(&one, "here"), (&two, "there")] {
        let path = sandbox.path(format!("home/.config/mbuild/{place}/config"));
        farm.api.kubeconfig(&path, &format!("c-{place}"), "default");
    }
    check(target, &sandbox);
    assert_eq!(one.pods_asked(), ["buildkitd-amd64-0"]);
    assert_eq!(two.pods_asked(), ["buildkitd-arm64-0"]);
}
