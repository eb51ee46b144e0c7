//! `mbuild history` against the real daemons, and over pods of the double of an API server.
//!
//! Other cases build on the same daemons: each looks for its own builds only.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use mbuild::buildkit::dial::dialer;
use serde_json::Value;

use crate::support::kube_api::{Door, Farm, Pool};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh, plain_http};

cases!(beside:
    a_build_of_two_nodes_is_one_row,
    logs_are_told_again_with_their_nodes,
    a_failure_is_told_with_its_place_and_its_output,
    a_running_build_is_listed_and_followed,
    what_is_forgotten_is_forgotten_on_every_node,
    a_bundle_is_an_image_layout_of_records,
    a_builds_provenance_is_printed,
    builds_of_this_repository_are_found_by_its_remote,
    a_dead_node_is_named_and_the_others_are_shown,
    what_is_wrong_is_an_error_before_anybody_is_asked,
);

cases!(at_endpoints:
    every_pod_is_asked_for_itself,
);

/// A build of both platforms, and what became of it.
struct Built {
    sandbox: Sandbox,
    /// What its output has and no other build's.
    mark: String,
    /// Its name.
    id: String,
    /// `BUILDER/NODE/REF`, as its metadata file has it.
    reference: String,
}

/// Builds a step that says `mark`, with more words behind; the step ends with this code.
fn build(target: &Target, line: &str, code: i32) -> Built {
    build_in(Sandbox::new(target), line, code)
}

fn build_in(sandbox: Sandbox, line: &str, code: i32) -> Built {
    let mark = fresh();
    sandbox.dockerfile(&format!("FROM BASE\nRUN echo said-{mark} && exit {code}\n"));
    let line = format!("--platform linux/amd64,linux/arm64 --metadata-file m.json {line} ctx");
    sandbox.run(&line).exits(code);
    let reference = text(&sandbox.json("m.json")["buildx.build.ref"]);
    let (_, own) = reference.rsplit_once('/').unwrap();
    let id = own.split_once('-').unwrap().0.to_owned();
    Built {
        sandbox,
        mark,
        id,
        reference,
    }
}

impl Built {
    /// The row of this build as JSON; `None` where it is not listed.
    fn row(&self) -> Option<Value> {
        let ran = self.sandbox.run(&format!(
            "history ls --format json --filter ref={}",
            self.id
        ));
        let ran = ran.exits(0);
        let mut rows = ran.out().lines().map(json);
        let row = rows.next();
        assert!(rows.next().is_none(), "{}", ran.out());
        row
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

/// Where a row's records are.
fn places(row: &Value) -> Vec<String> {
    let mut places: Vec<String> = row["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| match node["instance"].as_str() {
            Some(instance) => instance.to_owned(),
            None => text(&node["node"]),
        })
        .collect();
    places.sort();
    places
}

/// buildx lists a build of two nodes in two rows that nothing connects but an equal id.
fn a_build_of_two_nodes_is_one_row(target: &Target) {
    let built = build(target, "--target=", 0);
    let row = built.row().unwrap();
    assert_eq!(
        (text(&row["id"]), text(&row["ref"])),
        (built.id.clone(), built.reference.clone())
    );
    assert_eq!(row["status"], "Completed");
    let nodes = row["nodes"].as_array().unwrap();
    let platforms: Vec<String> = nodes.iter().map(|node| text(&node["platform"])).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    let total = |value: &Value| value["total_steps"].as_i64().unwrap();
    assert_eq!(total(&row), nodes.iter().map(total).sum::<i64>());
    // Every Solve has the reference that the metadata file gives it.
    let metadata = built.sandbox.json("m.json");
    for node in nodes {
        let platform = text(&node["platform"]);
        assert_eq!(node["ref"], metadata["mbuild.platforms"][platform]["ref"]);
    }
    let ran = built
        .sandbox
        .run(&format!("history ls --filter ref={}", built.id))
        .exits(0);
    let lines: Vec<&str> = ran.out().lines().collect();
    assert_eq!(lines.len(), 4, "{}", ran.out());
    assert!(lines[0].starts_with("BUILD ID") && lines[1].starts_with(&built.id));
    assert!(lines[2].starts_with(" \\_ ") && lines[2].contains("linux/amd64"));
    assert!(lines[3].starts_with(" \\_ ") && lines[3].contains("linux/arm64"));
    let line = format!("history ls --filter ref={} --format", built.id);
    let ran = built
        .sandbox
        .mbuild(&line)
        .arg("{{.Ref}} {{.Status}}")
        .run();
    assert_eq!(ran.exits(0).out(), format!("{} Completed\n", built.id));
}

fn logs_are_told_again_with_their_nodes(target: &Target) {
    let built = build(target, "", 0);
    let said = format!("said-{}", built.mark);
    let whole = built
        .sandbox
        .run(&format!("history logs {}", built.id))
        .exits(0);
    let times = |text: &str, word: &str| {
        let lines = text.lines().filter(|line| line.starts_with('#'));
        lines.filter(|line| line.ends_with(word)).count()
    };
    assert_eq!(times(whole.out(), &said), 2, "{}", whole.out());
    assert!(
        whole.out().contains("linux/arm64 2/2] RUN echo"),
        "{}",
        whole.out()
    );
    // A part by its own reference, as the metadata file names it.
    let part = built
        .sandbox
        .run(&format!("history logs {}", built.reference));
    assert_eq!(times(part.exits(0).out(), &said), 1);
    let raw = format!("history logs --progress rawjson {}", built.id);
    let raw = built.sandbox.run(&raw).exits(0);
    let nodes: Vec<String> = raw
        .out()
        .lines()
        .map(|line| text(&json(line)["platform"]))
        .collect();
    assert!(nodes.contains(&"linux/amd64".into()) && nodes.contains(&"linux/arm64".into()));
    built
        .sandbox
        .run(&format!("history logs --progress tty {}", built.id))
        .exits(2)
        .says(&["terminal"]);
}

fn a_failure_is_told_with_its_place_and_its_output(target: &Target) {
    let built = build(target, "--keep-going", 1);
    let row = built.row().unwrap();
    assert_eq!(row["status"], "Error");
    let ran = built.sandbox.run(&format!("history inspect {}", built.id));
    let ran = ran.exits(0);
    let said = format!("> said-{}", built.mark);
    for part in [
        "Platforms:    linux/amd64, linux/arm64",
        "exit code: 1",
        &said,
    ] {
        assert!(ran.out().contains(part), "{part}\n{}", ran.out());
    }
    assert_eq!(ran.out().matches("Error on ").count(), 2, "{}", ran.out());
    let ran = built
        .sandbox
        .run(&format!("history inspect --format json {}", built.id));
    let details = json(ran.exits(0).out());
    assert_eq!(
        (&details["Status"], &details["Ref"]),
        (&"failed".into(), &built.id.as_str().into())
    );
    let error = &details["Error"];
    assert_eq!(error["Logs"][0], format!("said-{}", built.mark));
    assert!(text(&error["Name"]).contains("RUN echo"), "{error}");
    assert!(text(&error["Source"]).contains(">>> RUN echo"), "{error}");
    assert_eq!(details["Nodes"].as_array().unwrap().len(), 2);
    let errors = format!("history ls --filter ref={} --filter status", built.id);
    let ran = built.sandbox.run(&format!("{errors}=error --format json"));
    assert_eq!(ran.exits(0).out().lines().count(), 1);
    let ran = built
        .sandbox
        .run(&format!("{errors}=completed --format json"));
    ran.exits(0).prints_nothing();
}

fn a_running_build_is_listed_and_followed(target: &Target) {
    let sandbox = Sandbox::new(target);
    let mark = fresh();
    // Longer than any test: it ends when it is interrupted.
    sandbox.dockerfile(&format!(
        "FROM BASE\nARG BUILDKIT_BUILD_NAME\nRUN echo begun-{mark} && sleep 600\n"
    ));
    let line = format!(
        "--platform linux/amd64 --build-arg BUILDKIT_BUILD_NAME=name-{mark} --progress plain ctx"
    );
    let mut running = sandbox.mbuild(&line).start();
    running.until(&format!("begun-{mark}"), 2);
    let ran = sandbox
        .run("history ls --filter status=running --format json")
        .exits(0);
    let rows: Vec<Value> = ran.out().lines().map(json).collect();
    let mine = rows
        .iter()
        .find(|row| row["name"] == format!("name-{mark}"));
    let row = mine.unwrap_or_else(|| panic!("{}", ran.out()));
    assert!(row.get("completed_at").is_none(), "{row}");
    let id = text(&row["id"]);
    sandbox
        .run(&format!("history rm {id}"))
        .exits(2)
        .says(&["still runs"]);
    // Who follows it sees its end too.
    let mut follower = sandbox.mbuild(&format!("history logs {id}")).start();
    running.signal(rustix::process::Signal::INT);
    running.wait().exits(130);
    let told = follower.wait().exits(0);
    assert!(
        told.out().contains(&format!("begun-{mark}")),
        "{}",
        told.out()
    );
    // The daemon closes its record when it has seen that its client is gone.
    let line = format!("history ls --format json --filter ref={id}");
    let status = || json(sandbox.run(&line).exits(0).out().trim())["status"].clone();
    let mut seen = status();
    for _ in 0..100 {
        if seen != "Running" {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
        seen = status();
    }
    assert_eq!(seen, "Canceled");
}

fn what_is_forgotten_is_forgotten_on_every_node(target: &Target) {
    let built = build(target, "", 0);
    // Nothing goes where one of the names is wrong.
    built
        .sandbox
        .run(&format!("history rm {} no-such-build", built.id))
        .exits(2)
        .says(&["no-such-build"]);
    assert!(built.row().is_some());
    let ran = built
        .sandbox
        .run(&format!("history rm {}", built.id))
        .exits(0);
    assert_eq!(ran.out().lines().count(), 2, "{}", ran.out());
    assert!(built.row().is_none());
    for command in ["rm", "logs", "inspect"] {
        built
            .sandbox
            .run(&format!("history {command} {}", built.id))
            .exits(2)
            .says(&[&built.id, "history ls"]);
    }
    built.sandbox.run("history rm").exits(2);
    built.sandbox.run("history rm --all x").exits(2);
}

fn a_bundle_is_an_image_layout_of_records(target: &Target) {
    let built = build(target, "", 0);
    let line = format!("history export -o b.dockerbuild {}", built.id);
    built.sandbox.run(&line).exits(0).prints_nothing();
    let bytes = std::fs::read(built.sandbox.path("b.dockerbuild")).unwrap();
    let mut tar = tar::Archive::new(GzDecoder::new(&bytes[..]));
    let files: BTreeMap<String, Vec<u8>> = tar
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (path, bytes)
        })
        .collect();
    let read = |descriptor: &Value| {
        let digest = text(&descriptor["digest"]).replace(':', "/");
        json(std::str::from_utf8(&files[&format!("blobs/{digest}")]).unwrap())
    };
    let index = json(std::str::from_utf8(&files["index.json"]).unwrap());
    let records = read(&index["manifests"][0]);
    let manifests = records["manifests"].as_array().unwrap();
    let mut references: Vec<String> = manifests
        .iter()
        .map(|descriptor| text(&read(&read(descriptor)["config"])["Ref"]))
        .collect();
    references.sort();
    assert_eq!(
        references,
        [format!("{}-1", built.id), format!("{}-2", built.id)]
    );
    // What is named is there, the log among it.
    for descriptor in manifests {
        let layers = read(descriptor)["layers"].as_array().unwrap().clone();
        let is_log = |layer: &Value| layer["mediaType"] == "application/vnd.buildkit.status.v0";
        assert!(layers.iter().any(is_log), "{layers:?}");
        for layer in layers {
            let digest = text(&layer["digest"]).replace(':', "/");
            assert!(files.contains_key(&format!("blobs/{digest}")), "{layer}");
        }
    }
    let line = format!("history export -o gone/b.dockerbuild {}", built.id);
    built
        .sandbox
        .run(&line)
        .exits(4)
        .says(&["gone/b.dockerbuild"]);
}

fn a_builds_provenance_is_printed(target: &Target) {
    let built = build(target, "", 0);
    let attachment = format!("history inspect attachment {}", built.id);
    for platform in ["linux/amd64", "linux/arm64"] {
        let line = format!("{attachment} --type provenance --platform {platform}");
        let provenance = json(built.sandbox.run(&line).exits(0).out());
        assert!(provenance.to_string().contains(&built.mark), "{provenance}");
    }
    let line = format!("{attachment} --type sbom");
    built
        .sandbox
        .run(&line)
        .exits(2)
        .says(&["no such attachment"]);
    built.sandbox.run(&attachment).exits(2).says(&["--type"]);
    let ran = built.sandbox.run(&format!("history inspect {}", built.id));
    assert!(ran.exits(0).out().contains("\nMaterials:\n"));
}

/// buildx runs git for this; the program may not be there, and here need not be.
fn builds_of_this_repository_are_found_by_its_remote(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox
        .run("history ls --local")
        .exits(2)
        .says(&["--local"]);
    let (name, commit) = (fresh(), "a".repeat(40));
    let config = format!("[remote \"origin\"]\nurl = https://u:secret@git.example/{name}.git\n");
    sandbox.write(".git/config", config);
    sandbox.write(".git/HEAD", &commit);
    let built = build_in(sandbox, "", 0);
    let ran = built
        .sandbox
        .run("history ls --local --format json")
        .exits(0);
    let row = json(ran.out().trim());
    assert_eq!(
        (&row["id"], &row["name"]),
        (&built.id.as_str().into(), &"ctx".into())
    );
    let ran = built
        .sandbox
        .run(&format!("history inspect {} --format json", built.id));
    let details = json(ran.exits(0).out());
    assert_eq!(
        details["VCSRepository"],
        format!("https://git.example/{name}.git")
    );
    assert_eq!(details["VCSRevision"], commit);
    assert!(!details.to_string().contains("secret"));
    // Nothing of it when it is not wanted.
    let ran = built
        .sandbox
        .mbuild("--platform linux/amd64 --metadata-file n.json ctx");
    ran.env("BUILDX_GIT_INFO", "false").run().exits(0);
    let reference = text(&built.sandbox.json("n.json")["buildx.build.ref"]);
    let line = format!("history inspect {reference} --format json");
    let details = json(built.sandbox.run(&line).exits(0).out());
    assert!(details.get("VCSRevision").is_none(), "{details}");
}

fn a_dead_node_is_named_and_the_others_are_shown(target: &Target) {
    let built = build(target, "", 0);
    let dead = built.sandbox.path("dead.sock").display().to_string();
    let mut config = target.config();
    config += &format!(
        "[[builders.farm.nodes]]\nname = \"dead\"\nendpoint = \"unix://{dead}\"\n\
         platforms = [\"linux/s390x\"]\n"
    );
    if target.cluster.is_some() {
        return target.skip("a node of another kind cannot be beside pods");
    }
    built.sandbox.write("dead.toml", config);
    let with_dead = |line: &str| built.sandbox.run(&format!("--config dead.toml {line}"));
    let ran = with_dead(&format!(
        "history ls --format json --filter ref={}",
        built.id
    ));
    let ran = ran.exits(5).says(&["ERROR: dead: ", "dead.sock"]);
    assert_eq!(places(&json(ran.out().trim())).len(), 2);
    let ran = with_dead(&format!("history logs {}", built.id)).exits(5);
    let ran = ran.says(&["ERROR: dead: "]);
    assert!(ran.out().contains(&format!("said-{}", built.mark)));
    // What is not found may be there.
    with_dead("history inspect no-such-build")
        .exits(5)
        .says(&["ERROR: dead: ", "no-such-build"]);
}

fn what_is_wrong_is_an_error_before_anybody_is_asked(target: &Target) {
    let nobody =
        "builder = \"x\"\n[[builders.x.nodes]]\nname = \"x\"\nendpoint = \"unix:///no/such\"\n";
    let sandbox = Sandbox::with_config(target, nobody);
    for (line, says) in [
        ("history ls --filter size=1", "repository"),
        ("history ls --filter status=done", "completed"),
        ("history ls --format xml", "jq"),
        ("history logs ^x", "number"),
        ("history logs --progress quiet", "rawjson"),
        ("history logs a b", "unexpected"),
        ("history trace", "no `history trace`"),
        ("history open ^1", "Docker Desktop"),
        ("history import -f x", "Docker Desktop"),
    ] {
        sandbox.run(line).exits(2).says(&[says]).prints_nothing();
    }
}

/// buildx serves all pods of a pool from one cached client: the entries of one pod, as often as
/// there are pods, and nothing of the others'.
fn every_pod_is_asked_for_itself(target: &Target) {
    let built = build(target, "", 0);
    let farm = Farm::empty(target, Door::Plain);
    // The second pod of amd64 is another daemon than the first: the one that is arm64's.
    let second = target.nodes[1].endpoint.parse().unwrap();
    let second = Arc::from(dialer(&second, None));
    farm.api.node("node-amd64-2", "amd64", second);
    farm.api.pool(&Pool::of("amd64", 2));
    farm.await_pods(&Pool::of("amd64", 2));
    let config = "builder = \"kube\"\n[builders.kube]\ndriver = \"kubernetes\"\n\
                  [[builders.kube.nodes]]\nname = \"amd64\"\nplatforms = [\"linux/amd64\"]\n";
    let sandbox = farm.sandbox_with(&format!("{config}{}", plain_http(&target.registry)));
    let line = format!("history ls --format json --filter ref={}", built.id);
    let ran = sandbox.run(&line).exits(0);
    let row = json(ran.out().trim());
    assert_eq!(places(&row), ["buildkitd-amd64-0", "buildkitd-amd64-1"]);
    for node in row["nodes"].as_array().unwrap() {
        let is_first = node["instance"] == "buildkitd-amd64-0";
        let platform = if is_first {
            "linux/amd64"
        } else {
            "linux/arm64"
        };
        assert_eq!(node["platform"], platform, "{row}");
    }
    let ran = sandbox.run(&format!("history logs {}", built.id)).exits(0);
    assert_eq!(
        ran.out()
            .matches(&format!(" said-{}\n", built.mark))
            .count(),
        2
    );
    // Each record is forgotten on the pod that has it.
    sandbox.run(&format!("history rm {}", built.id)).exits(0);
    assert!(built.row().is_none());
}
