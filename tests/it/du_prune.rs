//! `mbuild du` and `mbuild prune` against the real daemons, and over pods of the double of an
//! API server.
//!
//! The daemons are shared: a case prunes what it made itself, by its id, and nothing else. It says
//! `--all` as an engine takes every layer for one that an image may have too.

use std::sync::Arc;
use std::time::Duration;

use mbuild::buildkit::Connection;
use mbuild::buildkit::dial::dialer;
use mbuild::buildkit::history::{Listing, list};
use mbuild::buildkit::usage::{PruneSpec, prune};
use serde_json::Value;

use crate::support::fake_buildkitd::{FakeBuildkitd, Script};
use crate::support::kube_api::{Door, Farm, Pool};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh, plain_http};

cases!(beside:
    caches_are_shown_node_by_node,
    what_is_named_is_pruned_and_nothing_else,
    pruning_asks_first,
    a_dead_node_does_not_keep_the_others_from_being_pruned,
    what_is_wrong_is_an_error_before_anybody_is_asked,
);

cases!(at_endpoints:
    every_pod_is_measured_and_pruned_for_itself,
);

/// Builds a step on both nodes that no other build has; gives what its description holds.
fn build(sandbox: &Sandbox) -> String {
    let mark = fresh();
    sandbox.dockerfile(&format!("FROM BASE\nRUN echo {mark} >/made\n"));
    sandbox
        .run("--platform linux/amd64,linux/arm64 --output type=cacheonly ctx")
        .exits(0);
    mark
}

/// The entries that hold this in their description, one of each daemon that has any.
fn entries(sandbox: &Sandbox, mark: &str) -> Vec<Value> {
    let line = format!("du --format json --filter description~={mark}");
    let ran = sandbox.run(&line).exits(0);
    let entries = ran.out().lines();
    entries
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits until nothing uses the entries: a daemon lets go of them just after the build.
fn settled(sandbox: &Sandbox, mark: &str) -> Vec<Value> {
    for _ in 0..100 {
        let entries = entries(sandbox, mark);
        if entries.iter().all(|entry| entry["Reclaimable"] == true) {
            return entries;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("something still uses what holds {mark}");
}

fn id(entry: &Value) -> &str {
    entry["ID"].as_str().unwrap()
}

fn caches_are_shown_node_by_node(target: &Target) {
    let sandbox = Sandbox::new(target);
    let mark = build(&sandbox);
    let entries = entries(&sandbox, &mark);
    let nodes: Vec<&str> = entries
        .iter()
        .map(|entry| entry["Node"].as_str().unwrap())
        .collect();
    assert_eq!(nodes, [&*target.nodes[0].name, &*target.nodes[1].name]);
    let ran = sandbox
        .run(&format!("du --filter description~={mark}"))
        .exits(0);
    for entry in &entries {
        assert!(ran.out().contains(id(entry)), "{}", ran.out());
    }
    let bytes = |entry: &Value| entry["Bytes"].as_u64().unwrap();
    assert!(entries.iter().all(|entry| bytes(entry) > 0), "{entries:?}");
    // One for each daemon, and one for all; nodes may have several pods.
    assert!(ran.out().matches("Total:").count() >= 3, "{}", ran.out());
    assert!(ran.out().contains("\nAll nodes:\n"), "{}", ran.out());
    let fields = sandbox
        .mbuild("du --format")
        .arg("table {{.ID}}\\t{{.Type}}");
    let ran = fields
        .arg("--filter")
        .arg(format!("description~={mark}"))
        .run()
        .exits(0);
    assert_eq!(ran.out().lines().count(), 3, "{}", ran.out());
    let ran = sandbox.run(&format!("du --verbose --filter description~={mark}"));
    assert!(ran.exits(0).out().contains("Type:         regular"));
    // What was used just now was not unused for a day.
    let ran = sandbox.run(&format!(
        "du --format json --filter until=24h --filter description~={mark}"
    ));
    ran.exits(0).prints_nothing();
}

fn what_is_named_is_pruned_and_nothing_else(target: &Target) {
    let sandbox = Sandbox::new(target);
    let mark = build(&sandbox);
    let made = settled(&sandbox, &mark);
    let [first, second] = &made[..] else {
        panic!("{made:?}")
    };
    let line = |more: &str| format!("prune --all --force --filter id={} {more}", id(first));
    let ran = sandbox.run(&line("--filter until=24h")).exits(0);
    assert!(!ran.out().contains(id(first)), "{}", ran.out());
    let ran = sandbox.run(&line("")).exits(0);
    let row = ran.out().lines().find(|line| line.contains(id(first)));
    let node = target.nodes[0].name.as_str();
    assert!(row.is_some_and(|row| row.contains(node)), "{}", ran.out());
    assert!(!ran.out().contains(id(second)), "{}", ran.out());
    let totals = ran.out().lines().filter(|line| line.contains("0B")).count();
    assert!(totals >= 1, "the other node freed nothing: {}", ran.out());
    let left = entries(&sandbox, &mark);
    assert_eq!(left.iter().map(id).collect::<Vec<_>>(), [id(second)]);
    sandbox
        .run(&format!("prune -af --filter id={}", id(second)))
        .exits(0);
    assert!(entries(&sandbox, &mark).is_empty());
}

fn pruning_asks_first(target: &Target) {
    let sandbox = Sandbox::new(target);
    let prune = format!("prune --filter id={}", fresh());
    sandbox
        .run(&prune)
        .exits(2)
        .says(&["no terminal", "--force"])
        .prints_nothing();
    // `script` of util-linux gives the terminal.
    let line = format!("mbuild {prune}");
    for (answer, goes_on) in [("n\n", false), ("\n", false), ("y\n", true)] {
        let run = sandbox.shell("script", &["-qefc", &line, "/dev/null"]);
        let ran = run.stdin(answer).run().exits(0);
        assert!(ran.out().contains("Go on? [y/N]"), "{}", ran.out());
        assert_eq!(ran.out().contains("Total:"), goes_on, "{}", ran.out());
    }
}

fn a_dead_node_does_not_keep_the_others_from_being_pruned(target: &Target) {
    if target.cluster.is_some() {
        return target.skip("a node of another kind cannot be beside pods");
    }
    let sandbox = Sandbox::new(target);
    let mark = build(&sandbox);
    let made = settled(&sandbox, &mark);
    let config = target.config()
        + "[[builders.farm.nodes]]\nname = \"dead\"\nendpoint = \"unix:///no/such.sock\"\n\
           platforms = [\"linux/s390x\"]\n";
    sandbox.write("dead.toml", config);
    for entry in &made {
        let line = format!("--config dead.toml prune -af --filter id={}", id(entry));
        let ran = sandbox.run(&line).exits(5);
        let ran = ran.says(&["ERROR: dead: ", "such.sock"]);
        assert!(ran.out().contains(id(entry)), "{}", ran.out());
    }
    assert!(entries(&sandbox, &mark).is_empty());
    let ran = sandbox.run("--config dead.toml du").exits(5);
    assert!(ran.out().contains("All nodes:"), "{}", ran.out());
}

fn what_is_wrong_is_an_error_before_anybody_is_asked(target: &Target) {
    let nobody =
        "builder = \"x\"\n[[builders.x.nodes]]\nname = \"x\"\nendpoint = \"unix:///no/such\"\n";
    let sandbox = Sandbox::with_config(target, nobody);
    for (line, says) in [
        ("du --filter size=3", "until, id, parents"),
        ("du --filter until=soon", "until=soon"),
        ("du --format xml", "jq"),
        ("prune -f --filter id=a --filter id=b", "id=b"),
        ("prune -f --keep-storage lots", "lots"),
        ("prune -f --max-used-space=-1", "max-used-space"),
    ] {
        sandbox.run(line).exits(2).says(&[says]).prints_nothing();
    }
}

/// buildx measures and prunes one pod of each pool, whatever the number of its replicas.
fn every_pod_is_measured_and_pruned_for_itself(target: &Target) {
    let direct = Sandbox::new(target);
    let mark = build(&direct);
    let made = settled(&direct, &mark);
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
    let found = entries(&sandbox, &mark);
    let pods: Vec<&str> = found
        .iter()
        .map(|entry| entry["Instance"].as_str().unwrap())
        .collect();
    assert_eq!(pods, ["buildkitd-amd64-0", "buildkitd-amd64-1"]);
    let ids = |entries: &[Value]| {
        entries
            .iter()
            .map(|entry| id(entry).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&found), ids(&made), "each pod has its own daemon's");
    // Its pruning is told of the second pod, which a single client would not reach.
    let ran = sandbox
        .run(&format!("prune -af --filter id={}", id(&made[1])))
        .exits(0);
    let row = ran.out().lines().find(|line| line.contains(id(&made[1])));
    assert!(
        row.is_some_and(|row| row.ends_with("amd64/buildkitd-amd64-1")),
        "{}",
        ran.out()
    );
    assert_eq!(ids(&entries(&direct, &mark)), [id(&made[0])]);
    sandbox
        .run(&format!("prune -af --filter id={}", id(&made[0])))
        .exits(0);
    assert!(entries(&direct, &mark).is_empty());
}

#[tokio::test]
async fn a_daemon_that_is_too_old_says_so() {
    let script = Script {
        old: true,
        ..Script::default()
    };
    let daemon = FakeBuildkitd::start(script);
    let connection = Connection::open(Arc::from(daemon.dialer())).await.unwrap();
    let error = list(&connection, &Listing::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("keeps no records of builds"), "{text}");
    assert!(!error.is_infrastructure());
    let spec = PruneSpec {
        min_free: 1,
        ..PruneSpec::default()
    };
    let error = prune(&connection, &spec, |_| ()).await.unwrap_err();
    assert!(!error.is_infrastructure(), "{error}");
}
