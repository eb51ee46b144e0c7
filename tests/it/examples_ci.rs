//! The examples for Jenkins, GitLab and Argo Workflows, and the agent image: their shell parts
//! run as the CI system would run them, with its variables.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::hub::Hub;
use crate::support::pipeline::{Values, check_out, file, fill, root, text, values, yaml};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const JENKINSFILE: &str = "examples/jenkins/Jenkinsfile";
const GITLAB: &str = "examples/gitlab-ci/.gitlab-ci.yml";
const ARGO: &str = "examples/argo-workflows/mbuild.yaml";

cases!(beside:
    jenkins_pushes_and_archives,
    gitlab_pushes_and_keeps_files,
    argo_pushes_and_keeps_files,
    the_agent_image_is_built_by_mbuild_alone,
);

/// The pushed image is of both platforms, of this commit, and its metadata file says the same;
/// the files of both platforms are there.
#[track_caller]
fn built(sandbox: &Sandbox, image: &str, commit: &str, out: &str) -> String {
    let (repository, tag) = image.rsplit_once(':').unwrap();
    let hub = Hub::new(repository);
    let index = hub.manifest(tag);
    assert_eq!(index.platforms(), ["linux/amd64", "linux/arm64"]);
    let labels = &hub.config(&hub.image(&index, "linux/arm64"))["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.revision"], commit);
    let source = text(&labels["org.opencontainers.image.source"]);
    assert_eq!(source, "https://git.example/app.git");
    let metadata = sandbox.json(&format!("{out}/metadata.json"));
    assert_eq!(metadata["containerimage.digest"], json!(index.digest));
    for arch in ["amd64", "arm64"] {
        let hello = sandbox.read(&format!("{out}/files/linux_{arch}/hello.txt"));
        assert!(hello.contains(&format!("TARGETARCH={arch}")), "{hello}");
    }
    index.digest
}

/// What a pod's container sees: its own variables, with the places of its volumes moved to
/// `mnt` in the sandbox, and the builder's configuration and a login there.
fn in_pod(sandbox: &Sandbox, target: &Target, container: &Value, volumes: &Value) -> Values {
    for mount in container["volumeMounts"].as_array().unwrap() {
        assert_eq!(mount["readOnly"], true, "{mount}");
        let mut volumes = volumes.as_array().unwrap().iter();
        assert!(volumes.any(|volume| volume["name"] == mount["name"]));
    }
    sandbox.write("mnt/etc/mbuild/builder/mbuild.toml", target.config());
    sandbox.write("mnt/etc/mbuild/docker/config.json", r#"{"auths":{}}"#);
    let mounts = sandbox.path("mnt").display().to_string();
    // There is no home, and so nowhere to keep anything between builds.
    let mut variables = values(&[("HOME", "/dev/null")]);
    for variable in container["env"].as_array().unwrap() {
        let value =
            text(&variable["value"]).replace("/etc/mbuild", &format!("{mounts}/etc/mbuild"));
        variables.insert(text(&variable["name"]), value);
    }
    for name in ["MBUILD_CONFIG", "DOCKER_CONFIG"] {
        assert!(std::fs::exists(&variables[name]).unwrap(), "{name}");
    }
    variables
}

/// The text between these, the first time that they follow one another.
#[track_caller]
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, after) = text.split_once(start).unwrap();
    after.split_once(end).unwrap().0
}

/// Each `sh '''…'''` of a Jenkinsfile, as Groovy reads the text.
fn jenkins_steps(jenkinsfile: &str) -> Vec<String> {
    let steps = jenkinsfile.split("sh '''").skip(1);
    let steps = steps.map(|step| step.split_once("'''").unwrap().0);
    steps.map(|step| step.replace("\\\n", "")).collect()
}

fn jenkins_pushes_and_archives(target: &Target) {
    let sandbox = Sandbox::new(target);
    let commit = check_out(&sandbox);
    let jenkinsfile = file(JENKINSFILE);
    let pod = yaml(between(&jenkinsfile, "yaml: '''", "'''"));
    let container = &pod["spec"]["containers"][0];
    let mut variables = in_pod(&sandbox, target, container, &pod["spec"]["volumes"]);
    let repository = target.repository("jenkins");
    let own = between(&jenkinsfile, "withEnv([", "]) {").lines();
    for pair in own.filter_map(|line| line.trim().strip_prefix('\'')?.strip_suffix("',")) {
        let (name, value) = pair.split_once('=').unwrap();
        let value = value.replace("registry.example/app", &repository);
        variables.insert(name.into(), value);
    }
    for name in ["GIT_COMMIT", "GIT_URL"] {
        assert!(jenkinsfile.contains(&format!("\"{name}=${{git.{name}}}\"")));
    }
    variables.extend(values(&[
        ("BUILD_NUMBER", "17"),
        ("BUILD_TAG", "jenkins-app-main-17"),
        ("CI", "true"),
        ("GIT_COMMIT", &commit),
        ("GIT_URL", "https://git.example/app.git"),
        ("JOB_NAME", "app/main"),
        ("WORKSPACE", &sandbox.path("ws").display().to_string()),
    ]));
    let steps = jenkins_steps(&jenkinsfile);
    assert_eq!(steps.len(), 3, "{steps:?}");
    for (step, expected) in steps.iter().zip(["mbuild 0.", "", ""]) {
        let run = sandbox.shell("sh", &["-xec", step]);
        let run = variables
            .iter()
            .fold(run, |run, (name, value)| run.env(name, value));
        let ran = run.cwd(sandbox.path("ws")).run().exits(0);
        assert!(ran.out().contains(expected), "{}", ran.out());
    }
    built(&sandbox, &format!("{repository}:17"), &commit, "ws/out");
    assert!(jenkinsfile.contains("artifacts: 'out/**'"));
}

/// The lines of a job's `script`, after those that precede every job's.
fn gitlab_script(pipeline: &Value, job: &str) -> String {
    let lists = [
        &pipeline["default"]["before_script"],
        &pipeline[job]["script"],
    ];
    let lines = lists.into_iter().flat_map(|list| list.as_array().unwrap());
    lines.map(text).collect::<Vec<_>>().join("\n")
}

fn gitlab_pushes_and_keeps_files(target: &Target) {
    let sandbox = Sandbox::new(target);
    let commit = check_out(&sandbox);
    sandbox.write("tmp-of-project/MBUILD_CONFIG", target.config());
    let pipeline = yaml(&file(GITLAB));
    let repository = target.repository("gitlab");
    let mut variables = values(&[
        ("CI", "true"),
        ("CI_COMMIT_SHA", &commit),
        ("CI_COMMIT_SHORT_SHA", &commit[..8]),
        ("CI_PROJECT_URL", "https://git.example/app.git"),
        ("CI_REGISTRY", &target.registry),
        ("CI_REGISTRY_IMAGE", &repository),
        ("CI_REGISTRY_PASSWORD", "glpat-\"quoted\" %s"),
        ("CI_REGISTRY_USER", "gitlab-ci-token"),
        ("GITLAB_CI", "true"),
        ("HOME", "/dev/null"),
        (
            "MBUILD_CONFIG",
            &sandbox
                .path("tmp-of-project/MBUILD_CONFIG")
                .display()
                .to_string(),
        ),
    ]);
    for (name, value) in pipeline["variables"].as_object().unwrap() {
        variables.insert(name.clone(), text(value));
    }
    let run = |script: &str| {
        let run = sandbox.shell("bash", &["-eo", "pipefail", "-c", script]);
        let run = variables
            .iter()
            .fold(run, |run, (name, value)| run.env(name, value));
        run.cwd(sandbox.path("ws"))
            .run()
            .exits(0)
            .says_not(&["glpat", "WARNING"])
    };
    for job in ["init", "push", "files"] {
        run(&gitlab_script(&pipeline, job));
    }
    let image = format!("{repository}:{}", &commit[..8]);
    let digest = built(&sandbox, &image, &commit, "ws/out");
    let variables = sandbox.read("ws/out/digest.env");
    assert_eq!(variables, format!("IMAGE_DIGEST={digest}\n"));
    let before = gitlab_script(&pipeline, "init") + "\nprintf '\\n%s' \"$DOCKER_AUTH_CONFIG\"";
    let ran = run(&before);
    let login: Value = serde_json::from_str(ran.out().lines().last().unwrap()).unwrap();
    // Of `gitlab-ci-token:glpat-"quoted" %s`.
    let expected = "Z2l0bGFiLWNpLXRva2VuOmdscGF0LSJxdW90ZWQiICVz";
    assert_eq!(login["auths"][&target.registry]["auth"], expected);
}

fn argo_pushes_and_keeps_files(target: &Target) {
    let sandbox = Sandbox::new(target);
    let commit = check_out(&sandbox);
    let spec = &yaml(&file(ARGO))["spec"];
    let template = &spec["templates"][0];
    let script = &template["script"];
    let image = format!("{}:1", target.repository("argo"));
    let given = [("repo", "https://git.example/app.git"), ("image", &image)];
    let mut parameters = Values::new();
    for parameter in spec["arguments"]["parameters"].as_array().unwrap() {
        let name = text(&parameter["name"]);
        let given = given.iter().find(|(other, _)| *other == name);
        let value = given.map_or_else(|| text(&parameter["value"]), |(_, value)| (*value).into());
        parameters.insert(format!("workflow.parameters.{name}"), value);
    }
    let source = text(&script["source"]);
    assert!(!source.contains("{{"), "a parameter's text would be run");
    let out = sandbox.path("out").display().to_string();
    let mut run = sandbox.shell("sh", &["-e", "-c", &source]);
    for (name, value) in in_pod(&sandbox, target, script, &spec["volumes"]) {
        let value = fill(&value, "{{", "}}", &parameters).replace("/tmp/out", &out);
        run = run.env(&name, value);
    }
    run.cwd(sandbox.path("ws")).run().exits(0);
    let digest = built(&sandbox, &image, &commit, "out");
    assert_eq!(sandbox.read("out/digest"), format!("{digest}\n"));
    let outputs = &template["outputs"];
    let parameters = outputs["parameters"].as_array().unwrap().iter();
    let paths = parameters.map(|parameter| &parameter["valueFrom"]["path"]);
    for path in paths.chain([&outputs["artifacts"][0]["path"]]) {
        let path = text(path).replace("/tmp/out", &out);
        assert!(std::fs::exists(&path).unwrap(), "{path}");
    }
}

fn the_agent_image_is_built_by_mbuild_alone(target: &Target) {
    let sandbox = Sandbox::new(target);
    for arch in ["amd64", "arm64"] {
        sandbox.write(
            &format!("programs/mbuild-{arch}"),
            format!("#!/bin/sh\necho mbuild of {arch}\n"),
        );
    }
    let name = target.repository("agent");
    let dockerfile = root().join("examples/agent/Dockerfile");
    sandbox
        .mbuild("--platform linux/amd64,linux/arm64 --build-arg PROGRAM=prebuilt --push")
        .arg("--build-arg=PACKAGES=")
        .arg(format!("--build-arg=BASE={}", target.base))
        .arg(format!("--tag={name}:1"))
        .arg(format!("--file={}", dockerfile.display()))
        .arg("programs")
        .run()
        .exits(0);
    // At work in it: a user with a name and a home, and no command but mbuild was brought.
    sandbox.write(
        "ctx/Dockerfile",
        format!(
            "FROM {name}:1\nRUN : {}; [ \"$(id -un)\" = mbuild ] && /usr/local/bin/mbuild > ~/it\n\
             FROM scratch\nCOPY --from=0 /home/mbuild/it /it\n",
            fresh()
        ),
    );
    sandbox
        .run("--platform linux/amd64,linux/arm64 -o out ctx")
        .exits(0);
    for arch in ["amd64", "arm64"] {
        let it = sandbox.read(&format!("out/linux_{arch}/it"));
        assert_eq!(it, format!("mbuild of {arch}\n"));
    }
}

#[test]
fn every_pipeline_can_be_read_without_an_environment() {
    let pod = file(JENKINSFILE);
    let pod = between(&pod, "yaml: '''", "'''").to_owned();
    for text in [
        file(GITLAB),
        file(ARGO),
        file("examples/github-actions/push.yml"),
        pod,
    ] {
        assert!(yaml(&text).is_object());
    }
    let jenkinsfile = file(JENKINSFILE);
    for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
        let count = |bracket| jenkinsfile.matches(bracket).count();
        assert_eq!(count(open), count(close), "{open}{close}");
    }
    let mut scripts = jenkins_steps(&jenkinsfile);
    let gitlab = yaml(&file(GITLAB));
    scripts.extend(["init", "push", "files"].map(|job| gitlab_script(&gitlab, job)));
    scripts.push(text(
        &yaml(&file(ARGO))["spec"]["templates"][0]["script"]["source"],
    ));
    scripts.push(file("examples/github-actions/build.sh"));
    for script in scripts {
        let read = std::process::Command::new("bash")
            .args(["-n", "-c", &script])
            .status();
        assert!(read.unwrap().success(), "{script}");
    }
}

#[test]
fn pipelines_name_what_the_deployment_makes() {
    let clients = file("deploy/buildkit/base/client.yaml");
    let account = yaml(clients.split("\n---\n").next().unwrap());
    assert_eq!(account["kind"], "ServiceAccount");
    let account = text(&account["metadata"]["name"]);
    for path in [
        JENKINSFILE,
        GITLAB,
        ARGO,
        "examples/github-actions/push.yml",
    ] {
        assert!(file(path).contains(&account), "{path}");
    }
    // The image has no entrypoint, since CI systems start a shell in it.
    let agent = file("examples/agent/Dockerfile");
    assert!(!agent.lines().any(|line| line.starts_with("ENTRYPOINT")));
    let scale_down = file("deploy/buildkit/components/autoscale/scale-down.yaml");
    assert!(scale_down.contains("command: [mbuild]"));
}

#[test]
fn the_agent_is_compiled_by_the_rust_that_cargo_asks_for() {
    let manifest: toml::Table = file("Cargo.toml").parse().unwrap();
    let version = manifest["package"]["rust-version"].as_str().unwrap();
    let dockerfile = file("examples/agent/Dockerfile");
    assert!(
        dockerfile.contains(&format!("RUST=rust:{version}-")),
        "{version}"
    );
    assert!(manifest["profile"].get("dist").is_some());
    // The program's own sources, and what they include, reach the daemon, and so do the packages
    // beside it: cargo reads their manifests whatever it builds.
    let kept = file("examples/agent/Dockerfile.dockerignore");
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let members = members.iter().map(|member| member.as_str().unwrap());
    for path in ["Cargo.toml", "Cargo.lock", "src", "deploy"]
        .into_iter()
        .chain(members)
    {
        let mut ways = kept.lines().filter_map(|line| line.strip_prefix('!'));
        assert!(ways.any(|way| Path::new(path).starts_with(way)), "{path}");
    }
}
