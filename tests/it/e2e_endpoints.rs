//! Every kind of endpoint, with builds that push and bring files back, as a user configures
//! it; and what is said when it is configured wrongly.
//!
//! The environment has Docker engines, so bridges and stand-in programs make the other kinds.

use std::path::Path;

use mbuild::buildkit::dial::TlsFiles;
use tokio::runtime::Runtime;

use crate::support::bridge::Bridge;
use crate::support::hub::Hub;
use crate::support::sandbox::{Mbuild, Sandbox};
use crate::support::target::{Node, Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(at_endpoints:
    tcp_reaches_a_daemon,
    tcp_with_certificates_reaches_a_daemon,
    a_unix_socket_reaches_a_daemon,
    ssh_and_containers_reach_a_daemon,
    ssh_reaches_a_docker_engine,
    certificates_that_do_not_fit_are_explained,
    a_program_that_fails_is_quoted,
);

/// A bridge to each daemon of the target.
fn bridges(target: &Target, runtime: &Runtime, tls: bool) -> [Bridge; 2] {
    [0, 1].map(|at: usize| {
        let engine = target.nodes[at].endpoint.parse().unwrap();
        match tls {
            true => runtime.block_on(Bridge::mutual_tls(&engine)),
            false => runtime.block_on(Bridge::plain(&engine)),
        }
    })
}

/// The key of a node's table for these files.
fn tls_line(files: &TlsFiles) -> String {
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|p| p.display().to_string());
    let keys = [
        ("ca", path(&files.ca)),
        ("cert", path(&files.cert)),
        ("key", path(&files.key)),
        ("server_name", files.server_name.clone()),
    ];
    let given = keys
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key} = {:?}", value?)));
    format!("tls = {{ {} }}", given.collect::<Vec<_>>().join(", "))
}

/// A build on these nodes: it sends a context, pushes, brings files back, and fails properly.
#[track_caller]
fn check(target: &Target, nodes: &[Node], with: impl Fn(&Sandbox, Mbuild) -> Mbuild) {
    let sandbox = Sandbox::with_config(target, &target.config_of(nodes));
    sandbox.write("ctx/file", vec![b'x'; 1_000_000]);
    sandbox.write("ctx/new", fresh());
    sandbox.dockerfile("FROM BASE\nCOPY . /all\nRUN uname -m >/all/machine\n");
    let name = target.repository("endpoint");
    let line = format!("{BOTH} -t {name}:1 --push -o type=local,dest=out ctx");
    with(&sandbox, sandbox.mbuild(&line)).run().exits(0);
    assert_eq!(
        Hub::new(&name).manifest("1").platforms(),
        ["linux/amd64", "linux/arm64"]
    );
    assert_eq!(sandbox.read("out/linux_arm64/all/machine"), "aarch64\n");
    assert_eq!(sandbox.read("out/linux_amd64/all/file").len(), 1_000_000);
    sandbox.dockerfile("FROM BASE\nRUN exit 9\n");
    with(&sandbox, sandbox.mbuild(&format!("{BOTH} ctx")))
        .run()
        .exits(1)
        .says(&["exit code: 9"]);
}

fn tcp_reaches_a_daemon(target: &Target) {
    let runtime = Runtime::new().unwrap();
    let bridges = bridges(target, &runtime, false);
    let nodes = [0, 1].map(|at: usize| target.nodes[at].at(bridges[at].endpoint.to_string()));
    check(target, &nodes, |_, mbuild| mbuild);
}

fn tcp_with_certificates_reaches_a_daemon(target: &Target) {
    let runtime = Runtime::new().unwrap();
    let bridges = bridges(target, &runtime, true);
    let nodes = [0, 1].map(|at: usize| {
        let node = target.nodes[at].at(bridges[at].endpoint.to_string());
        node.with(tls_line(bridges[at].tls.as_ref().unwrap()))
    });
    check(target, &nodes, |_, mbuild| mbuild);
}

fn a_unix_socket_reaches_a_daemon(target: &Target) {
    let (runtime, dir) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    let bridges = [0, 1].map(|at: usize| {
        let engine = target.nodes[at].endpoint.parse().unwrap();
        let path = dir.path().join(format!("{at}.sock"));
        runtime.block_on(Bridge::unix(&engine, &path))
    });
    let nodes = [0, 1].map(|at: usize| target.nodes[at].at(bridges[at].endpoint.to_string()));
    check(target, &nodes, |_, mbuild| mbuild);
}

/// `mbuild dial-stdio` plays the `buildctl dial-stdio` of the other side.
fn ssh_and_containers_reach_a_daemon(target: &Target) {
    let [amd, arm] = &target.nodes;
    let nodes = [
        amd.at("ssh://ann@build.example:2222"),
        arm.at("docker-container://buildkit1"),
    ];
    let far = Sandbox::new(target);
    let config = far.path("home/.config/mbuild/mbuild.toml");
    let tunnel = |node: &str| {
        let program = Path::new(env!("CARGO_BIN_EXE_mbuild")).display();
        let log = far.path("log");
        format!(
            "echo \"$0 $*\" >>{}\nexec {program} --config {} dial-stdio --node {node}",
            log.display(),
            config.display()
        )
    };
    check(target, &nodes, |sandbox, mbuild| {
        sandbox.stand_in("docker", &tunnel("arm64"));
        let path = sandbox.stand_in("ssh", &tunnel("amd64"));
        mbuild.env("PATH", path)
    });
    let log = far.read("log");
    let ssh = "-l ann -p 2222 -- build.example buildctl dial-stdio\n";
    assert!(log.contains(ssh), "{log}");
    let docker = "docker exec -i buildkit1 buildctl dial-stdio\n";
    assert!(log.contains(docker), "{log}");
}

fn ssh_reaches_a_docker_engine(target: &Target) {
    let Some(docker) = target.find("DOCKER") else {
        return;
    };
    let nodes = [0, 1].map(|at: usize| {
        let node = &target.nodes[at];
        node.at(format!("docker+ssh://{}.example", node.name))
    });
    let mut script = "for word; do case $word in\n".to_owned();
    for node in &target.nodes {
        let host = node.endpoint.trim_start_matches("docker+");
        script += &format!("{}.example) export DOCKER_HOST={host};;\n", node.name);
    }
    script += &format!("esac; done\nexec {docker} system dial-stdio");
    check(target, &nodes, |sandbox, mbuild| {
        mbuild.env("PATH", sandbox.stand_in("ssh", &script))
    });
}

fn certificates_that_do_not_fit_are_explained(target: &Target) {
    let runtime = Runtime::new().unwrap();
    let engine = target.nodes[0].endpoint.parse().unwrap();
    let good = runtime.block_on(Bridge::mutual_tls(&engine));
    let expired = runtime.block_on(Bridge::mutual_tls_until(&engine, 2001));
    let files = good.tls.clone().unwrap();
    let foreign = expired.tls.clone().unwrap();
    let wrong_name = TlsFiles {
        server_name: Some("elsewhere".into()),
        ..files.clone()
    };
    let no_client = TlsFiles {
        cert: None,
        key: None,
        ..files.clone()
    };
    let other_ca = TlsFiles {
        ca: foreign.ca.clone(),
        ..files.clone()
    };
    let other_client = TlsFiles {
        cert: foreign.cert.clone(),
        key: foreign.key.clone(),
        ..files.clone()
    };
    let no_file = TlsFiles {
        ca: Some("/no/where.pem".into()),
        ..files.clone()
    };
    for (bridge, files, code, says) in [
        (
            &expired,
            &foreign,
            5,
            "the daemon's certificate has expired",
        ),
        (&good, &wrong_name, 5, "elsewhere"),
        (&good, &no_client, 5, "asks for a client certificate"),
        (&good, &other_ca, 5, "ca"),
        (&good, &other_client, 5, "certificate"),
        (&good, &no_file, 3, "/no/where.pem"),
    ] {
        let endpoint = bridge.endpoint.to_string();
        let node = target.nodes[0].at(&endpoint).with(tls_line(files));
        let sandbox = Sandbox::with_config(target, &target.config_of(&[node]));
        sandbox.dockerfile("FROM BASE\n");
        sandbox
            .run("--platform linux/amd64 -o type=cacheonly ctx")
            .exits(code)
            .says(&["linux/amd64 on amd64", &endpoint, says]);
    }
}

fn a_program_that_fails_is_quoted(target: &Target) {
    let node = target.nodes[0].at("ssh://build.example");
    let sandbox = Sandbox::with_config(target, &target.config_of(&[node]));
    sandbox.dockerfile("FROM BASE\n");
    let script = "echo 'Host key verification failed.' >&2; exit 255";
    let path = sandbox.stand_in("ssh", script);
    sandbox
        .mbuild("--platform linux/amd64 -o type=cacheonly ctx")
        .env("PATH", path)
        .run()
        .exits(5)
        .says(&["Host key verification failed.", "ssh://build.example"]);
    sandbox
        .mbuild("--platform linux/amd64 -o type=cacheonly ctx")
        .env("PATH", "/no/where")
        .run()
        .exits(5)
        .says(&["ssh", "o such file"]);
}
