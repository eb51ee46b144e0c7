//! Daemons that are far away, at the other end of a slow line: how often a build waits for an
//! answer, and what becomes of it when the line stalls or is cut.

use std::time::Duration;

use mbuild_relay::{Address, Line, Link, Relay};
use tokio::runtime::Runtime;

use crate::support::bridge::Bridge;
use crate::support::sandbox::Sandbox;
use crate::support::target::{Node, Target, cases, fresh};

cases!(at_endpoints:
    a_cached_build_takes_few_round_trips,
    a_line_that_stalls_for_a_while_delays_a_build,
    a_line_that_is_cut_ends_a_build,
);

/// How many round trips a build takes whose steps are all cached: who the daemon is; the build
/// and its session, until the daemon asks for the Dockerfile; its list, its bytes, its end;
/// the context's list, and its end, which brings the result.
const ROUNDS: u64 = 7;

/// The environment's first daemon behind a line.
struct Far {
    relay: Relay,
    node: Node,
    _bridge: Bridge,
    _runtime: Runtime,
}

impl Far {
    fn new(target: &Target, rtt: Duration) -> Self {
        let runtime = Runtime::new().unwrap();
        let engine = target.nodes[0].endpoint.parse().unwrap();
        let bridge = runtime.block_on(Bridge::plain(&engine));
        let line = Line::shared(Link {
            rate: Some(1_000_000_000),
            rtt,
        });
        let any = Address::Tcp("127.0.0.1:0".into());
        let relay = Relay::start(
            &any,
            bridge.endpoint.to_string().parse().unwrap(),
            line,
            false,
        );
        let relay = runtime.block_on(relay).unwrap();
        let node = target.nodes[0].at(relay.address().to_string());
        Self {
            relay,
            node,
            _bridge: bridge,
            _runtime: runtime,
        }
    }

    fn sandbox(&self, target: &Target) -> Sandbox {
        Sandbox::with_config(target, &target.config_of(std::slice::from_ref(&self.node)))
    }
}

fn a_cached_build_takes_few_round_trips(target: &Target) {
    let near = Far::new(target, Duration::ZERO);
    let sandbox = near.sandbox(target);
    sandbox.write("ctx/file", fresh());
    sandbox.dockerfile("FROM scratch\nCOPY . /all\n");
    let build = || {
        let line = "--platform linux/amd64 --progress plain -o type=cacheonly ctx";
        sandbox.mbuild(line).run().exits(0)
    };
    build();
    let mut seen = Vec::new();
    // A stage that takes the daemon longer than the line's round trip may count twice: a busy
    // machine only ever adds some.
    while seen.len() < 3 && seen.iter().all(|&rounds| rounds > ROUNDS) {
        let far = Far::new(target, Duration::from_millis(400));
        let config = target.config_of(std::slice::from_ref(&far.node));
        sandbox.write("home/.config/mbuild/mbuild.toml", config);
        build().says(&["CACHED"]);
        seen.push(far.relay.tally().rounds());
    }
    assert!(seen.iter().any(|&rounds| rounds <= ROUNDS), "{seen:?}");
}

fn a_line_that_stalls_for_a_while_delays_a_build(target: &Target) {
    let far = Far::new(target, Duration::from_millis(20));
    let sandbox = far.sandbox(target);
    sandbox.write("ctx/file", fresh());
    sandbox.dockerfile("FROM BASE\nCOPY . /all\nRUN echo here-it-is; sleep 2\n");
    let line = "--platform linux/amd64 --progress plain -o type=cacheonly ctx";
    let mut running = sandbox.mbuild(line).start();
    running.until("here-it-is", 2);
    far.relay.stall(true);
    std::thread::sleep(Duration::from_secs(6));
    far.relay.stall(false);
    running.wait().exits(0);
}

fn a_line_that_is_cut_ends_a_build(target: &Target) {
    let far = Far::new(target, Duration::from_millis(20));
    let sandbox = far.sandbox(target);
    sandbox.write("ctx/file", fresh());
    sandbox.dockerfile("FROM BASE\nCOPY . /all\nRUN echo here-it-is; sleep 60\n");
    let line = "--platform linux/amd64 --progress plain -o type=cacheonly ctx";
    let mut running = sandbox.mbuild(line).start();
    running.until("here-it-is", 2);
    far.relay.cut();
    let endpoint = far.relay.address().to_string();
    let ran = running.start_clock().wait().exits(5);
    ran.says(&[&endpoint]).within(Duration::from_secs(10));
}
