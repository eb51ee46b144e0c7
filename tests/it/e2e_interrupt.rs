//! The user or the system stops a build: it is over here and on the daemons.

use std::io::Write;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::hub::Hub;
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

/// How long a daemon may take to end the processes of a step.
const STEP_LIMIT: Duration = Duration::from_secs(3);

cases!(beside:
    ctrl_c_ends_the_build_here_and_on_the_daemons,
    a_system_that_shuts_down_ends_it_too,
    ctrl_c_is_heard_before_the_build_starts,
    ctrl_c_is_heard_while_stdin_is_read,
);

fn ctrl_c_ends_the_build_here_and_on_the_daemons(target: &Target) {
    check(target, Signal::INT);
}

fn a_system_that_shuts_down_ends_it_too(target: &Target) {
    check(target, Signal::TERM);
}

fn check(target: &Target, signal: Signal) {
    let sandbox = Sandbox::new(target);
    let (fresh, name) = (fresh(), target.repository("interrupted"));
    sandbox.dockerfile(&format!(
        "FROM BASE\nRUN : {fresh}; echo wait''ing; sleep 100; echo over\n"
    ));
    let line = format!(
        "--platform linux/amd64,linux/arm64 -t {name}:1 --push --metadata-file meta.json ctx"
    );
    let mut running = sandbox.mbuild(&line).start();
    running.until("waiting", 2);
    let local = target.find("RESTART").is_some();
    assert!(!local || steps(&fresh) >= 2, "a step on each daemon");
    running
        .signal(signal)
        .wait()
        .exits(130)
        .within(Duration::from_secs(2))
        .prints_nothing()
        .says(&["ERROR: interrupted"]);
    let start = Instant::now();
    while local && steps(&fresh) > 0 {
        assert!(start.elapsed() < STEP_LIMIT, "the steps go on");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(Hub::new(&name).find("1"), None);
    let metadata = sandbox.json("meta.json");
    assert_eq!(metadata.get("containerimage.digest"), None);
}

/// How many processes have the text in their command line; daemons on this machine keep none
/// from us.
fn steps(text: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(text))
        .count()
}

/// A daemon that accepts connections and says nothing is asked for its platforms; what came on
/// stdin is kept meanwhile.
fn ctrl_c_is_heard_before_the_build_starts(target: &Target) {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", silent.local_addr().unwrap());
    let node = target.nodes[0].at(endpoint).with_platforms(&[]);
    let config = target.config_of(&[node]).replace("platforms = []\n", "");
    let sandbox = Sandbox::with_config(target, &config);
    let mut running = sandbox.mbuild("-").stdin("FROM scratch\n").start();
    let _connection = silent.accept().unwrap();
    running
        .signal(Signal::INT)
        .wait()
        .exits(130)
        .within(Duration::from_secs(2));
}

fn ctrl_c_is_heard_while_stdin_is_read(target: &Target) {
    let sandbox = Sandbox::new(target);
    let (read, write) = std::io::pipe().unwrap();
    let mut running = sandbox.mbuild("-").stdin_from(read).start();
    (&write).write_all(&[b'#'; 100_000]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    running
        .signal(Signal::INT)
        .wait()
        .exits(130)
        .within(Duration::from_secs(2));
    drop(write);
}
