//! What README says of Kubernetes works as it stands there, from an empty namespace on.

use std::path::Path;

use crate::support::hub::Hub;
use crate::support::kube_api::{Door, Farm};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh, plain_http};

cases!(beside:
    an_empty_namespace_becomes_a_push,
    the_configuration_joins_two_clusters,
);

/// The part of README that is about clusters.
fn section() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, text) = text.split_once("\n## Kubernetes\n").unwrap();
    text.split("\n## ").next().unwrap().to_owned()
}

/// Its commands in their order, without the program's name and comments.
fn commands() -> Vec<String> {
    let text = section();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("$ mbuild "));
    let lines = lines.map(|line| line.split(" #").next().unwrap().trim().to_owned());
    lines.collect()
}

/// A user with the cluster's kubeconfig, who has configured no builder.
fn user(farm: &Farm<'_>, target: &Target) -> Sandbox {
    farm.sandbox_with(&plain_http(&target.registry))
}

fn an_empty_namespace_becomes_a_push(target: &Target) {
    let farm = Farm::empty(target, Door::Plain);
    let sandbox = user(&farm, target);
    sandbox.dockerfile(&format!("FROM BASE\nRUN echo {} >/new\n", fresh()));
    let repository = format!("{}/kube-readme-{}", target.registry, fresh());
    let commands = commands();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in &commands {
        let line = command.replace("registry.example/app", &repository);
        let ran = sandbox
            .mbuild(&line)
            .cwd(sandbox.path("ctx"))
            .run()
            .exits(0);
        let found = farm
            .api
            .find("apps/v1", "statefulsets", "buildkit", "kube-arm64");
        match line.split(' ').nth(1).unwrap() {
            "create" | "rm" => {}
            "inspect" => {
                // Other cases may build on the same daemons: how many builds run is not known here.
                for text in [
                    "kube-amd64-0: ready",
                    "kube-arm64-1: ready",
                    " running, cache",
                ] {
                    assert!(ran.out().contains(text), "{text}: {}", ran.out());
                }
            }
            "render" => {
                for text in [
                    "kind: StatefulSet",
                    "kubernetes.io/arch: arm64",
                    "namespace: buildkit",
                ] {
                    assert!(ran.out().contains(text), "{text}: {}", ran.out());
                }
            }
            "export" => assert!(ran.out().contains("mbuild.toml: |"), "{}", ran.out()),
            "stop" => assert_eq!(found.unwrap()["spec"]["replicas"], 0),
            _ => {
                let index = Hub::new(&repository).manifest("1");
                assert_eq!(index.platforms(), ["linux/amd64", "linux/arm64"]);
            }
        }
    }
    let left = farm
        .api
        .find("apps/v1", "statefulsets", "buildkit", "kube-arm64");
    assert!(left.is_none(), "{left:?}");
}

fn the_configuration_joins_two_clusters(target: &Target) {
    let section = section();
    let (_, toml) = section.split_once("```toml\n").unwrap();
    let (toml, _) = toml.split_once("```").unwrap();
    let farm = Farm::new(target, 1);
    // The example's pods have other labels than the double's, and its certificates no files.
    let mut config = toml.replace("app=buildkit", "app.kubernetes.io/name=buildkitd");
    config = config.replace("namespace = \"buildkit\"", "namespace = \"default\"");
    let tls = "tls = { ca = \"ca.crt\", cert = \"tls.crt\", key = \"tls.key\" }";
    assert!(config.contains(tls), "{config}");
    config = config.replace(tls, "");
    let sandbox = farm.sandbox_with(&format!(
        "builder = \"kube\"\n{config}\n{}",
        plain_http(&target.registry)
    ));
    let both = |name: &str| {
        let path = sandbox.path(format!("home/.kube/{name}"));
        farm.api.kubeconfig(&path, name, "default");
        path.display().to_string()
    };
    let files = format!("{}:{}", both("east"), both("west"));
    sandbox.dockerfile("FROM BASE\n");
    sandbox
        .mbuild("--platform linux/amd64,linux/arm64 ctx")
        .env("KUBECONFIG", files)
        .run()
        .exits(0)
        .says(&["buildkitd-amd64-0", "buildkitd-arm64-0"]);
}
