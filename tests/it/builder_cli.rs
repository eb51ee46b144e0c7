//! `mbuild builder` and `mbuild dial-stdio`, run as a user runs them, against played daemons
//! and real ones.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mbuild::buildkit::Connection;
use mbuild::buildkit::dial::CommandDialer;
use tokio::process::Command;

use crate::support::fake_buildkitd::{FakeBuildkitd, Script};
use crate::support::real;

const DONE: i32 = 0;
const CONFIG: i32 = 3;
const INFRASTRUCTURE: i32 = 5;

/// Nodes have 5 s; the rest is for starting a program on a busy machine.
const PROBE_LIMIT: Duration = Duration::from_secs(9);

/// A user without any configuration but what a test writes.
struct User {
    home: tempfile::TempDir,
}

/// What a run printed.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
    took: Duration,
}

impl User {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, relative: &str) -> std::path::PathBuf {
        self.home.path().join(relative)
    }

    fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes the user's configuration: builder `farm` with these nodes.
    fn farm(&self, nodes: &[(&str, &Path)]) {
        let node = |(name, socket): &(&str, &Path)| {
            let socket = socket.display();
            format!("[[builders.farm.nodes]]\nname = \"{name}\"\nendpoint = \"unix://{socket}\"\n")
        };
        let nodes: String = nodes.iter().map(node).collect();
        self.write(
            ".config/mbuild/mbuild.toml",
            &format!("builder = \"farm\"\n{nodes}"),
        );
    }

    /// Runs `mbuild` with words that are split at spaces and these variables.
    async fn run_with(&self, line: &str, env: &[(&str, &str)]) -> Ran {
        let start = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mbuild"));
        command
            .args(line.split_whitespace())
            .current_dir(self.home.path());
        command
            .env_clear()
            .env("HOME", self.home.path())
            .envs(env.iter().copied());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().await.unwrap();
        Ran {
            code: status.code().unwrap(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
            took: start.elapsed(),
        }
    }

    async fn run(&self, line: &str) -> Ran {
        self.run_with(line, &[]).await
    }
}

#[tokio::test]
async fn ls_waits_for_nobody_longer_than_the_limit() {
    let (alive, frozen) = (
        FakeBuildkitd::start(Script::default()),
        FakeBuildkitd::sending(b""),
    );
    let user = User::new();
    let absent = user.path("absent.sock");
    user.farm(&[
        ("alive", &alive.path),
        ("frozen", &frozen.path),
        ("absent", &absent),
    ]);
    let ran = user.run("builder ls").await;
    assert!(ran.took < PROBE_LIMIT, "{ran:?}");
    assert_eq!(ran.code, DONE, "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[1].starts_with("farm*"), "{ran:?}");
    assert!(
        lines[2].contains("alive") && lines[2].contains("running"),
        "{ran:?}"
    );
    assert!(
        lines[3].contains("frozen") && lines[3].contains("failed"),
        "{ran:?}"
    );
    assert!(
        lines[4].contains("absent") && lines[4].contains("failed"),
        "{ran:?}"
    );
    assert!(
        ran.stderr.contains("farm/frozen: no answer within 5 s"),
        "{ran:?}"
    );
    assert!(
        ran.stderr.contains("farm/absent: cannot connect"),
        "{ran:?}"
    );

    let ran = user.run("builder inspect --bootstrap").await;
    assert_eq!(ran.code, INFRASTRUCTURE, "{ran:?}");
    assert!(ran.stdout.contains("Name:             frozen"), "{ran:?}");
}

/// buildx takes back a failed append by copying the nodes into lists without room: their platforms,
/// flags and files are gone afterwards.
#[tokio::test]
async fn an_append_that_fails_leaves_the_other_nodes_as_they_were() {
    let user = User::new();
    let create = "builder create --name farm --platform linux/amd64 --node first";
    let ran = user.run(&format!("{create} tcp://127.0.0.1:1")).await;
    assert_eq!(ran.code, DONE, "{ran:?}");
    let definition = user.path(".local/state/mbuild/builders/farm.toml");
    let before = std::fs::read_to_string(&definition).unwrap();
    assert!(before.contains("linux/amd64"), "{before}");
    for wrong in [
        "--node second floppy://b",
        "--node second --driver-opt nonsense=1 tcp://127.0.0.1:2",
        "--node second --platform linux/ tcp://127.0.0.1:2",
    ] {
        let ran = user
            .run(&format!("builder create --name farm --append {wrong}"))
            .await;
        assert_ne!(ran.code, DONE, "{wrong}: {ran:?}");
        assert_eq!(std::fs::read_to_string(&definition).unwrap(), before);
    }
}

#[tokio::test]
async fn the_json_of_ls_names_every_node() {
    let alive = FakeBuildkitd::start(Script::default());
    let user = User::new();
    user.farm(&[("alive", &alive.path)]);
    let ran = user.run("builder ls --json").await;
    let list: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list[0]["name"], "farm");
    assert_eq!(list[0]["current"], true);
    assert_eq!(list[0]["nodes"][0]["status"], "running");
    assert_eq!(list[0]["nodes"][0]["docker"], false);
}

#[tokio::test]
async fn ls_writes_the_fields_that_are_asked_for() {
    let alive = FakeBuildkitd::start(Script::default());
    let user = User::new();
    user.farm(&[
        ("alive", &alive.path),
        ("absent", &user.path("absent.sock")),
    ]);
    let ran = user.run("builder ls --format {{.Name}}:{{.Status}}").await;
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines.contains(&"farm:"), "{ran:?}");
    assert!(lines.contains(&"alive:running"), "{ran:?}");
    assert!(lines.contains(&"absent:error"), "{ran:?}");
    let ran = user.run("builder ls --format {{.Colour}}").await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("Colour"), "{ran:?}");
}

#[tokio::test]
async fn builders_without_a_living_node_go_together_and_the_others_stay() {
    let alive = FakeBuildkitd::start(Script::default());
    let user = User::new();
    let socket = format!("unix://{}", alive.path.display());
    for (name, endpoint) in [
        ("alive", socket.as_str()),
        ("gone", "tcp://127.0.0.1:1"),
        ("lost", "unix:///nowhere/buildkitd.sock"),
    ] {
        let ran = user
            .run(&format!("builder create --name {name} {endpoint}"))
            .await;
        assert_eq!(ran.code, DONE, "{ran:?}");
    }
    let definition = |name: &str| user.path(&format!(".local/state/mbuild/builders/{name}.toml"));
    let ran = user.run("builder rm --all-inactive").await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("gone, lost"), "{ran:?}");
    assert!(definition("gone").exists());
    let ran = user.run("builder rm --all-inactive --force").await;
    assert_eq!(ran.code, DONE, "{ran:?}");
    assert!(definition("alive").exists() && !definition("gone").exists());
    assert!(!definition("lost").exists());
    let ran = user.run("builder rm --all-inactive some").await;
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[tokio::test]
async fn if_nothing_answers_one_error_lists_the_places() {
    let user = User::new();
    let dead = format!("unix://{}", user.path("dead.sock").display());
    let ran = user
        .run_with("builder inspect", &[("BUILDKIT_HOST", &dead)])
        .await;
    assert_eq!(ran.code, CONFIG, "{ran:?}");
    assert!(
        ran.stderr
            .starts_with("ERROR: no builder is configured, and no daemon"),
        "{ran:?}"
    );
    assert!(
        ran.stderr
            .contains("\n  BUILDKIT_HOST: cannot connect to unix://"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("\nhint: name a daemon"), "{ran:?}");
}

#[tokio::test]
async fn the_first_place_that_answers_is_the_builder() {
    let daemon = FakeBuildkitd::start(Script::default());
    let user = User::new();
    let host = format!("unix://{}", daemon.path.display());
    let ran = user
        .run_with("builder inspect", &[("BUILDKIT_HOST", &host)])
        .await;
    assert_eq!(ran.code, DONE, "{ran:?}");
    assert!(
        ran.stdout.contains("Name:             default (in use)"),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("Defined by:       BUILDKIT_HOST"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_builder_of_buildx_is_taken_over() {
    let daemon = FakeBuildkitd::start(Script::default());
    let user = User::new();
    let instance = format!(
        r#"{{"Name":"farm","Driver":"remote","Nodes":[{{"Name":"farm0","Endpoint":"unix://{}","Platforms":[{{"architecture":"arm64","os":"linux"}}],"DriverOpts":null,"Flags":null,"Files":null}}],"Dynamic":false}}"#,
        daemon.path.display()
    );
    user.write(".docker/buildx/instances/farm", &instance);
    let ran = user.run("--builder farm builder inspect").await;
    assert_eq!(ran.code, CONFIG, "{ran:?}");
    assert!(
        ran.stderr
            .contains("hint: buildx has one of this name: mbuild builder import farm")
    );

    let ran = user.run("builder import farm --use").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (DONE, "farm\n"), "{ran:?}");
    let ran = user.run("inspect").await;
    assert!(
        ran.stdout.contains("Platforms:        linux/arm64*"),
        "{ran:?}"
    );
    assert_eq!(user.run("builder import farm").await.code, CONFIG);
    assert_eq!(user.run("rm farm").await.code, DONE);
    assert_eq!(user.run("inspect farm").await.code, CONFIG);
}

#[tokio::test]
async fn a_source_tree_cannot_say_where_builds_run() {
    let user = User::new();
    user.write(
        "mbuild.toml",
        "[[builders.evil.nodes]]\nname = \"n\"\nendpoint = \"tcp://evil.example:1\"\n",
    );
    let ran = user.run("builder ls").await;
    assert_eq!(ran.code, CONFIG, "{ran:?}");
    assert!(
        ran.stderr
            .contains("mbuild.toml:1: [builders.evil] may not be defined here")
    );
    assert!(ran.stderr.contains("hint: move it to"), "{ran:?}");
    let ran = user.run("--config mbuild.toml builder use evil").await;
    assert_eq!(ran.code, DONE, "a file that is named is trusted: {ran:?}");
}

#[tokio::test]
async fn definitions_survive_only_where_they_can_be_written() {
    let user = User::new();
    user.write("file", "");
    let state = user.path("file").display().to_string();
    let env = [("XDG_STATE_HOME", state.as_str())];
    let ran = user
        .run_with("builder create farm --endpoint tcp://h:1", &env)
        .await;
    assert_eq!(ran.code, CONFIG, "{ran:?}");
    assert!(ran.stderr.starts_with("ERROR: cannot write "), "{ran:?}");
}

#[tokio::test]
async fn another_client_speaks_through_the_tunnel() {
    let daemon = FakeBuildkitd::start(Script::default());
    let user = User::new();
    user.farm(&[("alive", &daemon.path)]);
    let config = user.path(".config/mbuild/mbuild.toml");
    let connection = tunnel(&["--config", &config.display().to_string(), "dial-stdio"]).await;
    assert!(connection.info().default_worker().is_some());
}

async fn tunnel(args: &[&str]) -> Connection {
    let args = args.iter().map(|&arg| arg.to_owned()).collect();
    let program = env!("CARGO_BIN_EXE_mbuild");
    let dialer = CommandDialer::new(program, args, "the tunnel".to_owned());
    Connection::open(Arc::new(dialer)).await.unwrap()
}

#[tokio::test]
async fn real_nodes_are_listed_and_tunnelled_to() {
    let Some(env) = real::env() else { return };
    let user = User::new();
    let node = |name: &str, platform: &str| {
        let endpoint = env.get(name);
        format!("--endpoint name={name},endpoint={endpoint},platform={platform}")
    };
    let (amd64, arm64) = (node("AMD64", "linux/amd64"), node("ARM64", "linux/arm64"));
    let ran = user
        .run(&format!("create farm {amd64} {arm64} --use --bootstrap"))
        .await;
    assert_eq!((ran.code, ran.stdout.as_str()), (DONE, "farm\n"), "{ran:?}");
    let ran = user.run("builder inspect --json").await;
    let farm: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    for node in farm["nodes"].as_array().unwrap() {
        assert_eq!(node["status"], "running", "{farm}");
        assert!(node["builds"].is_number(), "{farm}");
    }
    let definition = user.path(".local/state/mbuild/builders/farm.toml");
    let config = definition.display().to_string();
    let words = [
        "--config",
        &config,
        "--builder",
        "farm",
        "dial-stdio",
        "--platform",
    ];
    let through = tunnel(&[&words[..], &["linux/arm64"]].concat()).await;
    let direct = env.connect("ARM64").await;
    let id = |connection: &Connection| connection.info().default_worker().unwrap().id.clone();
    assert_eq!(
        id(&through),
        id(&direct),
        "the tunnel ends at the node of the platform"
    );
}
