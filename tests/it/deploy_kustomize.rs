//! `deploy/buildkit` as kubectl's kustomize reads it: every overlay is accepted, and keeps what
//! peers get wrong.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::real;

const OVERLAYS: [&str; 6] = [
    "base",
    "overlays/rootless",
    "overlays/userns",
    "overlays/persistent",
    "overlays/mtls",
    "overlays/autoscale",
];

/// The program; `None` in an environment that the user gives without one.
fn kubectl() -> Option<String> {
    real::env()?.find("KUBECTL").map(str::to_owned)
}

/// The objects that kustomize makes of one directory.
fn kustomize(kubectl: &str, overlay: &str) -> Vec<Value> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/buildkit")
        .join(overlay);
    let output = Command::new(kubectl).arg("kustomize").arg(dir).output();
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{overlay}: {stderr}");
    assert_eq!(stderr, "", "{overlay}: warnings");
    serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

fn each_overlay(check: fn(&str, &[Value])) {
    let Some(kubectl) = kubectl() else { return };
    for overlay in OVERLAYS {
        check(overlay, &kustomize(&kubectl, overlay));
    }
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|o| o["kind"] == kind).collect()
}

#[test]
fn every_overlay_has_a_workload_for_each_architecture() {
    each_overlay(|overlay, objects| {
        let workloads = of_kind(objects, "StatefulSet");
        assert_eq!(workloads.len(), 2, "{overlay}");
        for workload in workloads {
            let labels = &workload["spec"]["selector"]["matchLabels"];
            let arch = &labels["app.kubernetes.io/component"];
            let template = &workload["spec"]["template"];
            assert_eq!(&template["metadata"]["labels"], labels, "{overlay}");
            let selector = &template["spec"]["nodeSelector"];
            assert_eq!(&selector["kubernetes.io/arch"], arch, "{overlay}");
            // The Service that the workload names exists and finds the pods.
            let services = of_kind(objects, "Service");
            let service = services
                .iter()
                .find(|s| s["metadata"]["name"] == workload["spec"]["serviceName"]);
            assert_eq!(&service.unwrap()["spec"]["selector"], labels, "{overlay}");
        }
    });
}

#[test]
fn no_probe_kills_a_build_and_the_end_waits_for_it() {
    each_overlay(|overlay, objects| {
        for workload in of_kind(objects, "StatefulSet") {
            let pod = &workload["spec"]["template"]["spec"];
            assert_eq!(pod["terminationGracePeriodSeconds"], 3600, "{overlay}");
            let daemon = &pod["containers"][0];
            assert_eq!(daemon["livenessProbe"], Value::Null, "{overlay}");
            assert_eq!(daemon["startupProbe"]["periodSeconds"], 1, "{overlay}");
            assert!(daemon["lifecycle"]["preStop"].is_object(), "{overlay}");
        }
    });
}

#[test]
fn a_client_may_use_websockets_before_and_after_1_35() {
    each_overlay(|overlay, objects| {
        let roles = of_kind(objects, "Role");
        let client = roles
            .iter()
            .find(|role| role["metadata"]["name"] == "buildkitd-client");
        let rules = client.unwrap()["rules"].as_array().unwrap();
        for resource in ["pods/exec", "pods/portforward"] {
            let rule = rules.iter().find(|rule| {
                rule["resources"]
                    .as_array()
                    .unwrap()
                    .contains(&resource.into())
            });
            let verbs = rule.unwrap()["verbs"].as_array().unwrap();
            let verb = |name: &str| verbs.contains(&name.into());
            assert!(verb("get") && verb("create"), "{overlay}: {resource}");
        }
    });
}

#[test]
fn every_container_has_requests_and_a_limit() {
    each_overlay(|overlay, objects| {
        for workload in of_kind(objects, "StatefulSet") {
            let pod = &workload["spec"]["template"]["spec"];
            for list in ["containers", "initContainers"] {
                for container in pod[list].as_array().into_iter().flatten() {
                    let resources = &container["resources"];
                    assert!(resources["requests"]["cpu"].is_string(), "{overlay}");
                    assert!(resources["limits"]["memory"].is_string(), "{overlay}");
                }
            }
        }
    });
}

#[test]
fn a_rootless_daemon_keeps_its_configuration_and_its_root_has_a_volume() {
    let Some(kubectl) = kubectl() else { return };
    let objects = kustomize(&kubectl, "overlays/rootless");
    for workload in of_kind(&objects, "StatefulSet") {
        let daemon = &workload["spec"]["template"]["spec"]["containers"][0];
        let mounts = daemon["volumeMounts"].as_array().unwrap().iter();
        let paths: Vec<_> = mounts
            .map(|mount| mount["mountPath"].as_str().unwrap())
            .collect();
        assert_eq!(paths, ["/home/user/.local/share/buildkit", "/etc/buildkit"]);
        let args = daemon["args"].as_array().unwrap();
        assert!(args.contains(&"--config=/etc/buildkit/buildkitd.toml".into()));
        assert_eq!(daemon["securityContext"]["privileged"], false);
    }
}

#[test]
fn nothing_but_idle_pods_is_scaled_away() {
    let Some(kubectl) = kubectl() else { return };
    let objects = kustomize(&kubectl, "overlays/autoscale");
    let scalers = of_kind(&objects, "HorizontalPodAutoscaler");
    assert_eq!(scalers.len(), 2);
    for scaler in scalers {
        let down = &scaler["spec"]["behavior"]["scaleDown"];
        assert_eq!(down["selectPolicy"], "Disabled");
    }
    // An empty image is refused by the API server; any other would be somebody's.
    let job = &of_kind(&objects, "CronJob")[0]["spec"]["jobTemplate"]["spec"];
    assert_eq!(job["template"]["spec"]["containers"][0]["image"], "");
}
