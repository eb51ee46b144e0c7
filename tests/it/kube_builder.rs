//! `mbuild builder` with pools of pods, over the double of an API server.

use crate::support::kube_api::{Act, Door, Farm, Fault, Pool, Rights};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, plain_http};

const CREATE: &str = "builder create kube --driver kubernetes --namespace ci \
                      --platform linux/amd64,linux/arm64";

cases!(beside:
    creating_again_changes_what_is_different,
    what_is_wrong_makes_nothing,
    a_pool_that_was_left_half_made_is_completed,
    rendering_needs_no_cluster,
    rights_that_are_missing_come_with_the_yaml,
    attaching_makes_nothing,
    removing_leaves_what_is_not_ours,
    an_exported_builder_needs_no_state,
    a_builder_of_buildx_comes_over,
    looking_starts_nothing,
);

fn user(farm: &Farm<'_>, target: &Target) -> Sandbox {
    farm.sandbox_with(&plain_http(&target.registry))
}

fn set(farm: &Farm<'_>, name: &str) -> Option<serde_json::Value> {
    farm.api.find("apps/v1", "statefulsets", "ci", name)
}

fn creating_again_changes_what_is_different(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    let sandbox = user(&farm, target);
    let ran = sandbox.run(CREATE).exits(0);
    let ran = ran.says(&[
        "statefulset/kube-amd64 created",
        "statefulset/kube-arm64 created",
    ]);
    assert_eq!(ran.out(), "kube\n");
    sandbox
        .run(CREATE)
        .exits(0)
        .says(&["the pool is as it should be"]);
    sandbox
        .run(&format!(
            "{CREATE} --replicas 2 --driver-opt limits.memory=2Gi --bootstrap"
        ))
        .exits(0)
        .says(&["statefulset/kube-amd64 changed", "is ready (BuildKit"]);
    let set = set(&farm, "kube-arm64").unwrap();
    assert_eq!(set["spec"]["replicas"], 2);
    let limits = &set["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"];
    assert_eq!(limits["memory"], "2Gi");
}

fn what_is_wrong_makes_nothing(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    let sandbox = user(&farm, target);
    for (more, says) in [
        ("--driver-opt limits.memory=12Q", ["limits.memory", "12Q"]),
        ("--driver-opt nodeselector=a", ["nodeselector", "a"]),
        (
            "--driver-opt tolerations=operator=Foo",
            ["tolerations", "Foo"],
        ),
        ("--driver-opt imgae=x", ["imgae", "image"]),
        (
            "--endpoint tcp://h:1",
            ["--endpoint", "--driver kubernetes"],
        ),
        ("--transport spdy", ["spdy", "port-forward"]),
    ] {
        sandbox
            .run(&format!("{CREATE} {more}"))
            .exits(2)
            .says(&says[..1])
            .says(&says[1..]);
    }
    sandbox
        .run("builder create --driver kubernetes Bad_Name --namespace ci")
        .exits(2)
        .says(&["Bad_Name"]);
    assert!(
        farm.api
            .journal()
            .iter()
            .all(|ask| ask.verb == "get" || ask.verb == "list")
    );
    sandbox
        .run("builder create --name kube --namespace ci tcp://h:1")
        .exits(2)
        .says(&["--namespace"]);
}

fn a_pool_that_was_left_half_made_is_completed(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    let sandbox = user(&farm, target);
    sandbox.run(CREATE).exits(0);
    sandbox.run("builder rm kube --force").exits(0);
    // The trial of all objects goes well, then the server fails on the last one.
    let fault = Fault::of("patch", "statefulsets", Act::HangUp);
    farm.api.fault(fault.named("kube-arm64"));
    sandbox
        .run(CREATE)
        .exits(3)
        .says(&["statefulset", "kube-arm64"]);
    farm.api.heal();
    sandbox.run(CREATE).exits(0);
    assert!(set(&farm, "kube-amd64").is_some() && set(&farm, "kube-arm64").is_some());
    sandbox.run("builder rm kube --force").exits(0);
    assert!(set(&farm, "kube-amd64").is_none());
}

fn rendering_needs_no_cluster(target: &Target) {
    let sandbox = Sandbox::with_config(target, "");
    let line = CREATE.replace("create", "render");
    let one = sandbox.run(&line).exits(0);
    let again = sandbox.run(&line).exits(0);
    assert_eq!(one.out(), again.out());
    assert!(one.out().contains("name: kube-arm64"), "{}", one.out());
    sandbox
        .run("builder render kube --driver kubernetes")
        .exits(3)
        .says(&["no cluster is configured"]);
}

fn rights_that_are_missing_come_with_the_yaml(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    let sandbox = user(&farm, target);
    farm.api.allow(Rights::none().and("get list watch", "pods"));
    sandbox
        .run(CREATE)
        .exits(3)
        .says(&["may not get", "kind: Role", "namespace: ci"]);
}

fn attaching_makes_nothing(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    for arch in ["amd64", "arm64"] {
        farm.api
            .pool(&Pool::of(arch, 1).named("shared").within("ci"));
    }
    let role = Rights::none()
        .and("get list watch", "pods")
        .and("get create", "pods/exec");
    farm.api.allow(role);
    let sandbox = user(&farm, target);
    let attach = "builder create mine --driver kubernetes --namespace ci --attach";
    sandbox.run(&format!("{attach} --use --bootstrap")).exits(0);
    sandbox.dockerfile("FROM BASE\n");
    sandbox
        .run("--platform linux/amd64,linux/arm64 ctx")
        .exits(0)
        .says(&["shared-amd64-0", "shared-arm64-0"]);
    sandbox
        .run(&format!("{attach} --replicas 3"))
        .exits(2)
        .says(&["--replicas"]);
    sandbox
        .run(&format!("{attach}=app=none"))
        .exits(3)
        .says(&["may not list statefulsets"]);
    // It was not made here, and stays.
    farm.api.allow(Rights::all());
    sandbox.run("builder rm mine").exits(0);
    assert!(set(&farm, "shared-amd64").is_some());
}

fn removing_leaves_what_is_not_ours(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    let sandbox = user(&farm, target);
    sandbox.run(CREATE).exits(0);
    farm.api.put(serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kube-notes", "namespace": "ci"}
    }));
    sandbox
        .run("builder stop kube")
        .exits(0)
        .says(&["statefulset/kube-amd64 stopped"]);
    sandbox.run("builder rm kube --keep-daemon").exits(0);
    assert!(set(&farm, "kube-amd64").is_some(), "it was to be kept");
    sandbox.run(CREATE).exits(0);
    sandbox
        .run("builder rm kube --force")
        .exits(0)
        .says(&["statefulset/kube-arm64 removed"]);
    assert!(set(&farm, "kube-arm64").is_none());
    assert!(
        farm.api
            .find("v1", "configmaps", "ci", "kube-notes")
            .is_some()
    );
    farm.api
        .pool(&Pool::of("amd64", 1).named("kube").within("ci"));
    sandbox
        .run(CREATE)
        .exits(3)
        .says(&["statefulset/kube-amd64", "--attach", "--force"]);
}

fn an_exported_builder_needs_no_state(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    let sandbox = user(&farm, target);
    sandbox.run(&format!("{CREATE} --bootstrap")).exits(0);
    let exported = sandbox.run("builder export kube").exits(0);
    sandbox.write("exported.toml", exported.out());
    sandbox.dockerfile("FROM BASE\n");
    let file = sandbox.path("exported.toml").display().to_string();
    let kubeconfig = sandbox.path("home/.kube/config").display().to_string();
    sandbox
        .mbuild("-v --platform linux/arm64 ctx")
        .env("MBUILD_CONFIG", file)
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", "/dev/null")
        .env("XDG_STATE_HOME", "/dev/null")
        .run()
        .exits(0)
        .says(&["kube-arm64-0"]);
}

/// Labels a pod as buildx labels those of its workloads.
fn label(farm: &Farm<'_>, name: &str, app: &str) {
    let mut pod = farm.api.find("v1", "pods", "ci", name).unwrap();
    pod["metadata"]["labels"]["app"] = app.into();
    farm.api.put(pod);
}

fn a_builder_of_buildx_comes_over(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    let sandbox = user(&farm, target);
    let kubeconfig = sandbox.path("home/.kube/config").display().to_string();
    let node = |arch: &str| {
        serde_json::json!({
            "Name": format!("pool-{arch}"),
            "Endpoint": format!("kubernetes:///kube?deployment=pool-{arch}&kubeconfig={kubeconfig}"),
            "Platforms": [{"os": "linux", "architecture": arch}],
            "DriverOpts": {"namespace": "ci", "image": "moby/buildkit"}, "Flags": null, "Files": null,
        })
    };
    let instance = serde_json::json!({
        "Name": "theirs", "Driver": "kubernetes", "Nodes": [node("amd64"), node("arm64")],
    });
    sandbox.write("theirs.json", instance.to_string());
    for arch in ["amd64", "arm64"] {
        farm.api.pool(&Pool::of(arch, 1).named("pool").within("ci"));
        label(&farm, &format!("pool-{arch}-0"), &format!("pool-{arch}"));
    }
    sandbox
        .run("builder import ./theirs.json --use")
        .exits(0)
        .says(&["image"]);
    sandbox.dockerfile("FROM BASE\n");
    sandbox
        .run("--platform linux/amd64,linux/arm64 ctx")
        .exits(0)
        .says(&["pool-amd64-0", "pool-arm64-0"]);
}

fn looking_starts_nothing(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    let sandbox = user(&farm, target);
    sandbox.run(&format!("{CREATE} --replicas 0")).exits(0);
    let ls = sandbox.run("builder ls").exits(0);
    assert!(ls.out().contains("amd64 pods of pool kube"), "{}", ls.out());
    sandbox.run("builder inspect kube").exits(0);
    assert_eq!(farm.api.count("patch", "statefulsets/scale"), 0);
}
