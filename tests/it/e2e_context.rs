//! What of a context crosses the wire: all of it once, then what changed, to whoever has the
//! key.

use std::collections::BTreeMap;

use crate::support::ran::Ran;
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";
/// Large enough that nothing else looks like it.
const LARGE: usize = 2_000_000;
/// More than all small files and lists here.
const SMALL: i64 = 100_000;

cases!(undisturbed:
    a_second_build_sends_only_what_changed,
    a_context_key_is_shared_between_homes,
    without_a_key_nobody_shares_a_context,
    two_platforms_on_one_daemon_are_sent_the_context_once,
    what_is_ignored_is_not_sent,
);

fn sandbox(target: &Target) -> Sandbox {
    sandbox_with(target, &target.config())
}

fn sandbox_with(target: &Target, config: &str) -> Sandbox {
    let sandbox = Sandbox::with_config(target, config);
    // New content: what an earlier test sent must not help.
    let line = format!("{}\n", fresh());
    sandbox.write("ctx/large", line.repeat(LARGE / line.len() + 1));
    sandbox.write("ctx/small", "one");
    sandbox.dockerfile("FROM BASE\nCOPY . /all\n");
    sandbox
}

/// The bytes of context that each daemon says it was sent, by node.
fn sent(ran: &Ran) -> BTreeMap<String, i64> {
    let mut by_status = BTreeMap::new();
    for line in ran.json_lines() {
        let node = line["node"].as_str().unwrap_or_default();
        for status in line["statuses"].as_array().into_iter().flatten() {
            let (id, vertex) = (&status["id"], &status["vertex"]);
            if id.as_str().unwrap().starts_with("transferring context") {
                let key = (node.to_owned(), vertex.to_string());
                by_status.insert(key, status["current"].as_i64().unwrap_or(0));
            }
        }
    }
    let mut by_node = BTreeMap::new();
    for ((node, _), bytes) in by_status {
        *by_node.entry(node).or_default() += bytes;
    }
    by_node
}

#[track_caller]
fn check(ran: Ran, nodes: &[&str], large: bool) {
    let ran = ran.exits(0);
    let sent = sent(&ran);
    for node in nodes {
        let bytes = sent[*node];
        let fits = match large {
            true => (LARGE as i64..LARGE as i64 * 3 / 2).contains(&bytes),
            false => bytes < SMALL,
        };
        assert!(fits, "{node} was sent {bytes} bytes: {sent:?}");
    }
    assert_eq!(sent.len(), nodes.len(), "{sent:?}");
}

fn a_second_build_sends_only_what_changed(target: &Target) {
    let sandbox = sandbox(target);
    let line = format!("{BOTH} --progress rawjson -o type=cacheonly ctx");
    check(sandbox.run(&line), &["amd64", "arm64"], true);
    sandbox.write("ctx/small", "another one");
    check(sandbox.run(&line), &["amd64", "arm64"], false);
    std::fs::remove_file(sandbox.path("ctx/small")).unwrap();
    check(sandbox.run(&line), &["amd64", "arm64"], false);
}

fn a_context_key_is_shared_between_homes(target: &Target) {
    let sandbox = sandbox(target);
    let key = fresh();
    let line = format!("{BOTH} --context-key {key} --progress rawjson -o type=cacheonly ctx");
    check(sandbox.run(&line), &["amd64", "arm64"], true);
    check(
        elsewhere(target, &sandbox, &line),
        &["amd64", "arm64"],
        false,
    );
}

fn without_a_key_nobody_shares_a_context(target: &Target) {
    let sandbox = sandbox(target);
    let line = format!("{BOTH} --progress rawjson -o type=cacheonly ctx");
    check(sandbox.run(&line), &["amd64", "arm64"], true);
    check(
        elsewhere(target, &sandbox, &line),
        &["amd64", "arm64"],
        true,
    );
}

/// Runs the same command on the same directory for another user.
fn elsewhere(target: &Target, sandbox: &Sandbox, line: &str) -> Ran {
    let other = Sandbox::new(target);
    let home = other.path("home").display().to_string();
    sandbox.mbuild(line).env("HOME", home).run()
}

fn two_platforms_on_one_daemon_are_sent_the_context_once(target: &Target) {
    let node = target.nodes[0].with_platforms(&["linux/amd64", "linux/arm64"]);
    let sandbox = sandbox_with(target, &target.config_of(&[node]));
    let line = format!("{BOTH} --progress rawjson -o type=cacheonly ctx");
    let ran = sandbox.run(&line);
    // Before BuildKit 0.16 a frontend asks for it once for each platform.
    if target.engine_version().is_none_or(|major| major >= 28) {
        check(ran, &["amd64"], true);
    }
}

fn what_is_ignored_is_not_sent(target: &Target) {
    let sandbox = sandbox(target);
    sandbox.write("ctx/.dockerignore", "lar*\n");
    sandbox.dockerfile("FROM BASE\nCOPY . /all\nRUN [ -e /all/small ] && [ ! -e /all/large ]\n");
    let line = format!("{BOTH} --progress rawjson -o type=cacheonly ctx");
    check(sandbox.run(&line), &["amd64", "arm64"], false);
}
