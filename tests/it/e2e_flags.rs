//! Flags reach the steps, on every node.

use crate::support::hub::{Document, Hub};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    flags_change_what_steps_see,
    the_network_of_steps_is_none_or_the_hosts,
    a_dockerfile_may_lie_outside_the_context,
    a_target_ends_the_build_there,
    no_cache_runs_every_step_again,
    a_no_cache_filter_runs_one_stage_again,
    pull_looks_the_base_image_up_anew,
    the_epoch_dates_everything,
    a_variable_that_is_not_set_is_no_build_argument,
);

cases!(at_endpoints:
    an_engine_keeps_the_image_when_nothing_else_is_asked_for,
);

/// Builds and pushes, and gives the image of each platform.
#[track_caller]
fn built(target: &Target, sandbox: &Sandbox, flags: &str) -> (Hub, [Document; 2]) {
    let name = target.repository("flags");
    sandbox
        .mbuild(&format!("{BOTH} {flags} -t {name}:1 --push ctx"))
        .env("FROM_OUTSIDE", "outside")
        .run()
        .exits(0);
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    let images = ["linux/amd64", "linux/arm64"].map(|platform| hub.image(&index, platform));
    (hub, images)
}

/// A file of the image as text, without the end of its last line.
#[track_caller]
fn file(hub: &Hub, image: &Document, path: &str) -> String {
    let text = String::from_utf8(hub.file(image, path)).unwrap();
    text.trim_end().to_owned()
}

fn flags_change_what_steps_see(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile(
        "FROM BASE
ARG GIVEN
ARG FROM_OUTSIDE
ARG DEFAULT=default
ARG TARGETARCH
RUN echo $GIVEN $FROM_OUTSIDE $DEFAULT $TARGETARCH >/args
RUN grep 10.1.2.3 /etc/hosts >/hosts
RUN ulimit -Sn >/soft; ulimit -Hn >/hard
RUN df -k /dev/shm | tail -n 1 >/shm
",
    );
    let (hub, images) = built(
        target,
        &sandbox,
        "--build-arg GIVEN=a=b --build-arg FROM_OUTSIDE --label one=1 --label two= \
         --add-host db:10.1.2.3 --ulimit nofile=1234:2345 --shm-size 32m",
    );
    for (image, arch) in images.iter().zip(["amd64", "arm64"]) {
        let file = |path: &str| file(&hub, image, path);
        assert_eq!(file("args"), format!("a=b outside default {arch}"));
        let hosts = file("hosts");
        assert_eq!(
            hosts.split_whitespace().collect::<Vec<_>>(),
            ["10.1.2.3", "db"]
        );
        assert_eq!((&*file("soft"), &*file("hard")), ("1234", "2345"));
        assert_eq!(file("shm").split_whitespace().nth(1), Some("32768"));
        let labels = &hub.config(image)["config"]["Labels"];
        assert_eq!((&labels["one"], &labels["two"]), (&"1".into(), &"".into()));
    }
}

fn the_network_of_steps_is_none_or_the_hosts(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\nRUN cut -d: -f1 /proc/net/dev >/devices\n");
    for (mode, reaches) in [("none", false), ("host", true)] {
        let (hub, images) = built(target, &sandbox, &format!("--network {mode}"));
        for image in &images {
            let devices = file(&hub, image, "devices");
            assert_eq!(devices.contains("eth"), reaches, "{mode}: {devices}");
        }
    }
}

fn a_dockerfile_may_lie_outside_the_context(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.write("ctx/file", "of the context");
    let dockerfile = sandbox.with_base("FROM BASE\nCOPY file /copy\n");
    sandbox.write("elsewhere/My.Dockerfile", dockerfile);
    let (hub, images) = built(target, &sandbox, "-f elsewhere/My.Dockerfile");
    assert_eq!(file(&hub, &images[1], "copy"), "of the context");
}

/// As `docker build` does.
fn an_engine_keeps_the_image_when_nothing_else_is_asked_for(target: &Target) {
    let (Some(docker), sandbox) = (target.find("DOCKER"), Sandbox::new(target)) else {
        return;
    };
    sandbox.dockerfile("FROM BASE\nRUN uname -m >/machine\n");
    let name = format!("e2e-kept-{}", fresh());
    sandbox.run(&format!("{BOTH} -t {name}:1 ctx")).exits(0);
    for node in &target.nodes {
        let host = node.endpoint.trim_start_matches("docker+");
        let mut command = std::process::Command::new(docker);
        command
            .env("DOCKER_HOST", host)
            .args(["image", "rm", &format!("{name}:1")]);
        assert!(command.output().unwrap().status.success(), "{node:?}");
    }
}

fn a_target_ends_the_build_there(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile(
        "FROM BASE AS one\nRUN echo 1 >/number\nFROM one AS two\nRUN echo 2 >/number\n",
    );
    let (hub, images) = built(target, &sandbox, "--target one");
    assert_eq!(file(&hub, &images[1], "number"), "1");
    sandbox
        .run(&format!("{BOTH} --target three ctx"))
        .exits(1)
        .says(&["target stage", "three"]);
}

const STAGES: &str = "FROM BASE AS one\nRUN cat /proc/uptime >/one\nFROM one AS two\n\
                      RUN cat /proc/uptime >/two\n";

fn no_cache_runs_every_step_again(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile(STAGES);
    let read = |flags: &str| {
        let (hub, [image, _]) = built(target, &sandbox, flags);
        ["one", "two"].map(|path| file(&hub, &image, path))
    };
    let first = read("");
    assert_eq!(read(""), first);
    let second = read("--no-cache");
    assert_ne!(second[0], first[0]);
    assert_ne!(second[1], first[1]);
}

fn a_no_cache_filter_runs_one_stage_again(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox
        .dockerfile(&STAGES.replace("BASE AS one", &format!("BASE AS one\nENV RUN={}", fresh())));
    let read = |flags: &str| {
        let (hub, [_, image]) = built(target, &sandbox, flags);
        ["one", "two"].map(|path| file(&hub, &image, path))
    };
    let first = read("");
    let second = read("--no-cache-filter two");
    assert_eq!(second[0], first[0]);
    assert_ne!(second[1], first[1]);
}

fn pull_looks_the_base_image_up_anew(target: &Target) {
    let sandbox = Sandbox::new(target);
    let name = target.repository("moving");
    for number in [1, 2] {
        sandbox.dockerfile(&format!("FROM BASE\nRUN echo {number} >/number\n"));
        sandbox
            .run(&format!("{BOTH} -t {name}:base --push ctx"))
            .exits(0);
        sandbox.dockerfile(&format!("FROM {name}:base\nRUN cp /number /copy\n"));
        let (hub, images) = built(target, &sandbox, "--pull");
        for image in &images {
            assert_eq!(file(&hub, image, "copy"), number.to_string());
        }
    }
}

fn the_epoch_dates_everything(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile(&format!("FROM BASE\nRUN echo {} >/new\n", fresh()));
    let name = target.repository("epoch");
    sandbox
        .mbuild(&format!("{BOTH} -t {name}:1 --push ctx"))
        .env("SOURCE_DATE_EPOCH", "86400")
        .run()
        .exits(0);
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    for platform in ["linux/amd64", "linux/arm64"] {
        let config = hub.config(&hub.image(&index, platform));
        assert_eq!(config["created"], "1970-01-02T00:00:00Z");
        let last = config["history"].as_array().unwrap().last().unwrap();
        assert_eq!(last["created"], "1970-01-02T00:00:00Z");
    }
}

fn a_variable_that_is_not_set_is_no_build_argument(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\nARG NOT_SET=default\nRUN echo $NOT_SET >/arg\n");
    let (hub, images) = built(target, &sandbox, "--build-arg NOT_SET");
    assert_eq!(file(&hub, &images[0], "arg"), "default");
}
