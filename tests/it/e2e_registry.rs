//! Registries that fail: passing faults are ridden out, lasting ones stop the build before it
//! starts or say which names moved.

use std::path::Path;
use std::time::Duration;

use http::Method;
use tokio::runtime::Runtime;

use crate::support::fake_buildkitd::{FakeBuildkitd, Script};
use crate::support::fake_registry::{Act, Auth, FakeRegistry, Setup};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh, plain_http};

const BOTH: &str = "--platform linux/amd64,linux/arm64";
const BROKEN: Act = Act::Answer(500, None, "out of order");

cases!(at_host:
    a_registry_that_fails_twice_is_asked_again,
    a_push_that_fails_is_tried_once_more,
    a_push_that_is_refused_is_no_failed_build,
    a_registry_that_is_down_stops_the_build_before_it_starts,
    a_registry_that_refuses_stops_the_build_before_it_starts,
    daemons_are_asked_for_nothing_before_the_registry_has_answered,
    of_a_dead_daemon_and_a_registry_that_refuses_the_registry_is_told,
    an_unknown_registry_is_spoken_to_over_tls,
    of_two_tags_the_one_that_fails_is_told_from_the_one_that_moved,
    a_registry_that_fails_while_images_are_checked_moves_no_tag,
    a_login_serves_the_daemons_and_us_and_is_not_told,
    ctrl_c_is_heard_while_a_registry_hangs,
);

/// A registry on this machine that the daemons reach too, and a sandbox that knows it.
struct Faulty {
    registry: FakeRegistry,
    sandbox: Sandbox,
    _runtime: Runtime,
}

impl Faulty {
    fn new(target: &Target, auth: Auth) -> Self {
        let runtime = Runtime::new().unwrap();
        let setup = Setup {
            auth,
            ..Setup::default()
        };
        let registry = runtime.block_on(FakeRegistry::start_on(target.get("HOST"), setup));
        let config = target.config() + &plain_http(&registry.host());
        let sandbox = Sandbox::with_config(target, &config);
        sandbox.dockerfile(&format!("FROM BASE\nRUN echo {} >/new\n", fresh()));
        Self {
            registry,
            sandbox,
            _runtime: runtime,
        }
    }

    fn name(&self) -> String {
        format!("{}/app", self.registry.host())
    }
}

fn a_registry_that_fails_twice_is_asked_again(target: &Target) {
    let faulty = Faulty::new(target, Auth::Open);
    let (registry, name) = (&faulty.registry, faulty.name());
    registry.fault(&Method::GET, "/v2/", 2, BROKEN);
    registry.fault(&Method::POST, "/blobs/uploads/", 2, BROKEN);
    registry.fault(&Method::PUT, "/manifests/1", 2, BROKEN);
    faulty
        .sandbox
        .run(&format!("{BOTH} -t {name}:1 -t {name}:2 --push ctx"))
        .exits(0);
    assert_eq!(registry.count("PUT /v2/app/manifests/1"), 3, "two failed");
    assert!(registry.tag("app", "1").is_some());
    assert_eq!(registry.tag("app", "1"), registry.tag("app", "2"));
    assert_eq!(registry.manifest_count("app"), 3, "two images, one index");
}

/// Two nodes that push the same layer at once meet this at the reference registry.
fn a_push_that_fails_is_tried_once_more(target: &Target) {
    let faulty = Faulty::new(target, Auth::Open);
    let (registry, name) = (&faulty.registry, faulty.name());
    let unknown = Act::Answer(
        400,
        None,
        r#"{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}"#,
    );
    registry.fault(&Method::PUT, "/manifests/sha256", 1, unknown);
    faulty
        .sandbox
        .run(&format!("{BOTH} -t {name}:1 --push ctx"))
        .exits(0)
        .says(&["failed to push", "trying once more"])
        .says_not(&["ERROR: linux"]);
    assert_eq!(registry.manifest_count("app"), 3, "two images, one index");
}

fn a_push_that_is_refused_is_no_failed_build(target: &Target) {
    let faulty = Faulty::new(target, Auth::Open);
    let (registry, name) = (&faulty.registry, faulty.name());
    let refusal = Act::Answer(403, None, "the quota is used up");
    registry.fault(&Method::PUT, "/manifests/sha256", usize::MAX, refusal);
    faulty
        .sandbox
        .run(&format!("{BOTH} -t {name}:1 --push ctx"))
        .exits(4)
        .says(&["failed to push", "403"])
        .says_not(&["once more"]);
    assert_eq!(registry.tag("app", "1"), None);
}

fn a_registry_that_is_down_stops_the_build_before_it_starts(target: &Target) {
    let host = format!("{}:1", target.get("HOST"));
    let sandbox = Sandbox::with_config(target, &(target.config() + &plain_http(&host)));
    sandbox.dockerfile("FROM BASE\nRUN true\n");
    sandbox
        .run(&format!("{BOTH} -t {host}/app:1 --push ctx"))
        .exits(4)
        .within(Duration::from_secs(20))
        .says(&["nothing was built", &host])
        .says_not(&["#1 "]);
}

fn a_registry_that_refuses_stops_the_build_before_it_starts(target: &Target) {
    let faulty = Faulty::new(target, Auth::Basic);
    let (host, name) = (faulty.registry.host(), faulty.name());
    faulty
        .sandbox
        .run(&format!("{BOTH} -t {name}:1 --push ctx"))
        .exits(4)
        .says(&["nothing was built", &host])
        .says_not(&["#1 "]);
}

/// A registry that says no late, and a sandbox whose only node is at this socket.
fn late_refusal(target: &Target, socket: &Path) -> (Faulty, Sandbox) {
    let faulty = Faulty::new(target, Auth::Basic);
    let late = Act::Wait(Duration::from_millis(700));
    faulty
        .registry
        .fault(&Method::POST, "/blobs/uploads/", 1, late);
    let node = format!(
        "builder = \"one\"\n[[builders.one.nodes]]\nname = \"n\"\nendpoint = \"unix://{}\"\n\
         platforms = [\"linux/amd64\"]\n",
        socket.display()
    );
    let config = node + &plain_http(&faulty.registry.host());
    let sandbox = Sandbox::with_config(target, &config);
    sandbox.dockerfile("FROM BASE\n");
    (faulty, sandbox)
}

fn daemons_are_asked_for_nothing_before_the_registry_has_answered(target: &Target) {
    let runtime = Runtime::new().unwrap();
    let daemon = {
        let _inside = runtime.enter();
        FakeBuildkitd::start(Script::default())
    };
    let (faulty, sandbox) = late_refusal(target, &daemon.path);
    sandbox
        .run(&format!(
            "--platform linux/amd64 -t {}:1 --push ctx",
            faulty.name()
        ))
        .exits(4)
        .says(&["nothing was built", &faulty.registry.host()]);
    assert!(daemon.seen.solves.lock().unwrap().is_empty());
}

fn of_a_dead_daemon_and_a_registry_that_refuses_the_registry_is_told(target: &Target) {
    let (faulty, sandbox) = late_refusal(target, Path::new("/nonexistent/buildkitd.sock"));
    sandbox
        .run(&format!(
            "--platform linux/amd64 -t {}:1 --push ctx",
            faulty.name()
        ))
        .exits(4)
        .says(&["nothing was built", &faulty.registry.host()])
        .says_not(&["nonexistent"]);
}

fn an_unknown_registry_is_spoken_to_over_tls(target: &Target) {
    let faulty = Faulty::new(target, Auth::Open);
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\n");
    sandbox
        .run(&format!("{BOTH} -t {}:1 --push ctx", faulty.name()))
        .exits(4)
        .says(&["nothing was built", "hint:", "http = true"])
        .says_not(&["#1 "]);
}

fn of_two_tags_the_one_that_fails_is_told_from_the_one_that_moved(target: &Target) {
    let faulty = Faulty::new(target, Auth::Open);
    let (registry, name) = (&faulty.registry, faulty.name());
    let refusal = Act::Answer(403, None, "this tag is protected");
    registry.fault(&Method::PUT, "/manifests/protected", usize::MAX, refusal);
    faulty
        .sandbox
        .run(&format!(
            "{BOTH} -t {name}:protected -t {name}:free --push --iidfile id --metadata-file meta.json ctx"
        ))
        .exits(4)
        .prints_nothing()
        .says(&[&format!("{name}:protected"), "this tag is protected"])
        .says(&[&format!("moved: {name}:free")]);
    assert_eq!(registry.tag("app", "protected"), None);
    assert!(registry.tag("app", "free").is_some());
    let metadata = faulty.sandbox.json("meta.json");
    assert_eq!(metadata["image.name"], format!("{name}:free"));
    assert!(!faulty.sandbox.path("id").exists(), "it did not succeed");
}

fn a_registry_that_fails_while_images_are_checked_moves_no_tag(target: &Target) {
    let faulty = Faulty::new(target, Auth::Open);
    let (registry, name) = (&faulty.registry, faulty.name());
    // The image is pushed, and forgotten by the registry.
    registry.fault(&Method::PUT, "/manifests/sha256", 2, Act::Forget);
    faulty
        .sandbox
        .run(&format!("{BOTH} -t {name}:1 --push ctx"))
        .exits(4)
        .says(&["nothing was published"]);
    assert_eq!(registry.tag("app", "1"), None);
}

/// The user is `ann`, the password `pw`; both ways in which a registry asks for them.
fn a_login_serves_the_daemons_and_us_and_is_not_told(target: &Target) {
    for auth in [Auth::Basic, Auth::Bearer] {
        let faulty = Faulty::new(target, auth);
        let (registry, name) = (&faulty.registry, faulty.name());
        let login = "YW5uOnB3";
        faulty.sandbox.write(
            "home/.docker/config.json",
            format!(
                r#"{{"auths": {{"{}": {{"auth": "{login}"}}}}}}"#,
                registry.host()
            ),
        );
        faulty
            .sandbox
            .run(&format!("-v {BOTH} -t {name}:1 --push ctx"))
            .exits(0)
            .says_not(&[login, "ann:pw", "Basic ", "Bearer "]);
        assert!(registry.tag("app", "1").is_some());
    }
}

fn ctrl_c_is_heard_while_a_registry_hangs(target: &Target) {
    let faulty = Faulty::new(target, Auth::Open);
    let (registry, name) = (&faulty.registry, faulty.name());
    let hang = Act::Wait(Duration::from_secs(60));
    registry.fault(&Method::PUT, "/manifests/1", usize::MAX, hang);
    let line = format!("{BOTH} -t {name}:1 --push ctx");
    let mut running = faulty.sandbox.mbuild(&line).start();
    running
        .until("tagging", 1)
        .signal(rustix::process::Signal::INT)
        .wait()
        .exits(130)
        .within(Duration::from_secs(2));
}
