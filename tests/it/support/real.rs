//! The real daemons and the real registry that `tests/env/up` starts, or that the user gives.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::process::Command;
use std::sync::Arc;

use mbuild::buildkit::Connection;
use mbuild::buildkit::dial::dialer;
use mbuild::buildkit::endpoint::Endpoint;
use rustix::process::{Pid, Signal, kill_process};

use super::turn::Turn;

/// What the environment's file says, and a turn with what it names.
#[derive(Clone, Debug)]
pub(crate) struct Env {
    values: BTreeMap<String, String>,
    _turn: Arc<Turn>,
}

/// Finds the environment, to be used beside other tests; without one, a test returns early,
/// which under `CI=true` is a failure.
pub(crate) fn env() -> Option<Env> {
    find(Turn::shared)
}

/// Finds the environment for a test that stops a daemon; also without one that may be stopped,
/// the test returns early.
pub(crate) fn env_alone() -> Option<Env> {
    let env = find(Turn::alone)?;
    if env.find("RESTART").is_none() {
        skipped("these daemons may not be stopped (no MBUILD_TEST_RESTART)");
        return None;
    }
    Some(env)
}

/// Finds the pools that `tests/run --cluster` has made; without them, a test returns early.
pub(crate) fn env_of_cluster(alone: bool) -> Option<Env> {
    if std::env::var_os("MBUILD_TEST_POOL").is_none() {
        skipped("needs a cluster: tests/run --cluster");
        return None;
    }
    find(if alone { Turn::alone } else { Turn::shared })
}

fn find(turn: fn(&str) -> Turn) -> Option<Env> {
    let values: BTreeMap<_, _> = std::env::vars()
        .filter(|(name, _)| name.starts_with("MBUILD_TEST_"))
        .collect();
    if let Some(namespace) = values.get("MBUILD_TEST_POOL_NAMESPACE") {
        let turn = Arc::new(turn(namespace));
        return Some(Env {
            values,
            _turn: turn,
        });
    }
    let needed = [
        "MBUILD_TEST_AMD64",
        "MBUILD_TEST_ARM64",
        "MBUILD_TEST_REGISTRY",
    ];
    let missing: Vec<_> = needed
        .into_iter()
        .filter(|name| !values.contains_key(*name))
        .collect();
    if missing.is_empty() {
        let turn = Arc::new(turn(&values["MBUILD_TEST_AMD64"]));
        return Some(Env {
            values,
            _turn: turn,
        });
    }
    let text = format!(
        "needs {}: run tests/env/up, then `. tests/env/.state/env`",
        missing.join(", ")
    );
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{text}");
    skipped(&text);
    None
}

/// Says that a test does not run, and why: also in the file that `MBUILD_TEST_SKIPPED` names,
/// as a test that passes is not heard.
#[expect(clippy::print_stderr, reason = "a skipped test says what it needs")]
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
    if let Some(path) = std::env::var_os("MBUILD_TEST_SKIPPED") {
        let thread = std::thread::current();
        let line = format!("{}: {why}\n", thread.name().unwrap_or("?"));
        let mut options = File::options();
        let mut file = options.create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

impl Env {
    /// A value by the end of its name, such as `REGISTRY`; panics if it is not given.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.find(name)
            .unwrap_or_else(|| panic!("MBUILD_TEST_{name} is not set"))
    }

    /// A value by the end of its name; `None` if it is not given.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.values
            .get(&format!("MBUILD_TEST_{name}"))
            .map(String::as_str)
    }

    /// The daemon called `AMD64` or `ARM64`.
    pub(crate) fn endpoint(&self, node: &str) -> Endpoint {
        self.get(node).parse().unwrap()
    }

    /// A connection to the daemon called `AMD64` or `ARM64`.
    pub(crate) async fn connect(&self, node: &str) -> Connection {
        let dialer = Arc::from(dialer(&self.endpoint(node), None));
        Connection::open(dialer).await.unwrap()
    }

    /// Sends a signal to the daemon called `AMD64` or `ARM64`.
    pub(crate) fn signal(&self, node: &str, signal: Signal) {
        kill_process(self.pid(node), signal).unwrap();
    }

    /// The daemon's process now: its file follows restarts, the variable does not.
    fn pid(&self, node: &str) -> Pid {
        let file = match self.endpoint(node) {
            Endpoint::DockerUnix(path) => std::fs::read_to_string(path.with_extension("pid")).ok(),
            _ => None,
        };
        let text = file.unwrap_or_else(|| self.get(&format!("PID_{node}")).to_owned());
        let number = text.split_whitespace().next().unwrap().parse().unwrap();
        Pid::from_raw(number).unwrap()
    }

    /// Starts the daemon called `AMD64` or `ARM64` again, with what it had.
    pub(crate) fn restart(&self, node: &str) {
        let mut command = Command::new(self.get("RESTART"));
        if let Some(state) = self.find("STATE") {
            command.env("MBUILD_ENV_STATE", state);
        }
        let status = command.arg(node.to_lowercase()).status().unwrap();
        assert!(status.success());
    }
}
