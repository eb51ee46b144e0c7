//! A node's daemon is killed or frozen: the node is named soon, and the loss is no build
//! failure.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(alone:
    a_killed_daemon_is_named_within_10_s,
    a_frozen_daemon_is_named_within_30_s,
);

/// A context whose step says "waiting" and goes on for longer than a test.
fn sandbox(target: &Target) -> Sandbox {
    let sandbox = Sandbox::new(target);
    let fresh = fresh();
    sandbox.dockerfile(&format!(
        "FROM BASE\nRUN : {fresh}; echo wait''ing; sleep 100\n"
    ));
    sandbox
}

fn a_killed_daemon_is_named_within_10_s(target: &Target) {
    let sandbox = sandbox(target);
    let node = &target.nodes[1];
    let mut running = sandbox.mbuild(&format!("{BOTH} ctx")).start();
    running.until("waiting", 2);
    target.signal(node, Signal::KILL);
    let ran = running.start_clock().wait();
    target.restart(node);
    ran.exits(5)
        .within(Duration::from_secs(10))
        .says(&["ERROR: linux/arm64 on arm64: ", &node.endpoint])
        .says_not(&["ERROR: linux/amd64"]);
    sandbox.dockerfile("FROM BASE\nRUN true\n");
    sandbox.run(&format!("{BOTH} ctx")).exits(0);
}

fn a_frozen_daemon_is_named_within_30_s(target: &Target) {
    let sandbox = sandbox(target);
    let [amd, arm] = &target.nodes;
    let mut running = sandbox.mbuild(&format!("{BOTH} ctx")).start();
    running.until("waiting", 2);
    target.signal(arm, Signal::STOP);
    let during = running.start_clock().wait();
    sandbox.dockerfile("FROM BASE\nRUN true\n");
    let needed = sandbox.run(&format!("{BOTH} ctx"));
    let unneeded = sandbox.run("--platform linux/amd64 ctx");
    target.signal(arm, Signal::CONT);
    during
        .exits(5)
        .within(Duration::from_secs(30))
        .says(&["ERROR: linux/arm64 on arm64: ", &arm.endpoint]);
    needed
        .exits(5)
        .within(Duration::from_secs(15))
        .says(&["ERROR: linux/arm64 on arm64: ", &arm.endpoint]);
    unneeded
        .exits(0)
        .within(Duration::from_secs(10))
        .says(&[&amd.name]);
    sandbox.run(&format!("{BOTH} ctx")).exits(0);
}
