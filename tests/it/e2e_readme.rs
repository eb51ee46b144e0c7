//! What README shows works as it stands there: its configuration and its commands, with the
//! names of its example machines replaced by real ones.

use std::path::Path;

use tokio::runtime::Runtime;

use crate::support::bridge::Bridge;
use crate::support::hub::Hub;
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

cases!(beside:
    the_first_screen_works,
    the_example_builds_an_image_and_files,
);

cases!(at_endpoints:
    the_configuration_works,
    the_commands_about_builders_work,
);

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The commands in README that begin like this, without their comments; those about clusters
/// are `kube_readme`'s.
fn commands(start: &str) -> Vec<String> {
    let text = readme();
    let (text, _) = text.split_once("\n## Kubernetes\n").unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("$ "));
    let lines = lines.map(|line| line.split(" #").next().unwrap().trim().to_owned());
    lines.filter(|line| line.starts_with(start)).collect()
}

/// Replaces each of these, all of which must be there.
#[track_caller]
fn replace(text: &str, pairs: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in pairs {
        assert!(
            text.contains(from),
            "README does not say {from:?} any more:\n{text}"
        );
        text = text.replace(from, to);
    }
    text
}

fn the_first_screen_works(target: &Target) {
    let commands = commands("mbuild --platform");
    let [push, files] = &commands[..] else {
        panic!("{commands:?}");
    };
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile(&format!("FROM BASE\nRUN echo {} >/new\n", fresh()));
    let repository = format!("{}/e2e-{}", target.registry, fresh());
    let push = replace(push, &[("registry.example/app", &repository)]);
    for line in [&push, files] {
        let words = line.strip_prefix("mbuild ").unwrap();
        let run = sandbox.mbuild(words).cwd(sandbox.path("ctx")).run();
        run.exits(0).prints_nothing();
    }
    let index = Hub::new(&repository).manifest("1");
    assert_eq!(index.platforms(), ["linux/amd64", "linux/arm64"]);
    for directory in ["linux_amd64", "linux_arm64"] {
        assert!(sandbox.path(format!("ctx/output/{directory}/new")).exists());
    }
}

/// The configuration of README, in a user's own file, and everything that it names.
fn configured(target: &Target, runtime: &Runtime) -> (Sandbox, Bridge, String) {
    let text = readme();
    let start = text.find("```toml\nbuilder").unwrap() + "```toml\n".len();
    let toml = &text[start..start + text[start..].find("```").unwrap()];
    let engine = target.nodes[0].endpoint.parse().unwrap();
    let bridge = runtime.block_on(Bridge::mutual_tls(&engine));
    let files = bridge.tls.clone().unwrap();
    let ssh = "\"ssh://builder@arm.example\"";
    let config = replace(
        toml,
        &[
            ("tcp://10.0.0.5:1234", &bridge.endpoint.to_string()),
            ("\"buildkit\"", "\"buildkitd\""),
            // Both daemons of the environment call themselves amd64.
            (ssh, &format!("{ssh}\nplatforms = [\"linux/arm64\"]")),
            ("registry.example:5000", &target.registry),
        ],
    );
    let sandbox = Sandbox::with_config(target, &config);
    for (name, file) in [("ca", files.ca), ("cert", files.cert), ("key", files.key)] {
        let bytes = std::fs::read(file.unwrap()).unwrap();
        sandbox.write(&format!("home/.config/mbuild/{name}.pem"), bytes);
    }
    let far = format!("far-{}.toml", fresh());
    sandbox.write(&far, target.config());
    let program = env!("CARGO_BIN_EXE_mbuild");
    let far = sandbox.path(far).display().to_string();
    let script = format!("exec {program} --config {far} dial-stdio --node arm64");
    let path = sandbox.stand_in("ssh", &script);
    (sandbox, bridge, path)
}

fn the_configuration_works(target: &Target) {
    let runtime = Runtime::new().unwrap();
    let (sandbox, _bridge, path) = configured(target, &runtime);
    sandbox.dockerfile("FROM BASE\nRUN uname -m >/machine\n");
    let name = target.repository("readme");
    sandbox
        .mbuild(&format!(
            "--platform linux/amd64,linux/arm64 -t {name}:1 --push ctx"
        ))
        .env("PATH", path)
        .run()
        .exits(0);
    let hub = Hub::new(&name);
    let image = hub.image(&hub.manifest("1"), "linux/arm64");
    assert_eq!(hub.file(&image, "machine"), b"aarch64\n");
}

fn the_commands_about_builders_work(target: &Target) {
    let runtime = Runtime::new().unwrap();
    let (sandbox, _bridge, path) = configured(target, &runtime);
    let lines = commands("mbuild builder");
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in lines {
        let words = line.strip_prefix("mbuild ").unwrap();
        let ran = sandbox.mbuild(words).env("PATH", &path).run().exits(0);
        if line.contains("ls") || line.contains("inspect") {
            for text in ["farm", "amd64", "arm64", "linux/arm64"] {
                assert!(ran.out().contains(text), "{line}: {}", ran.out());
            }
        }
    }
    sandbox.write("ctx/large", vec![0; 100_000]);
    sandbox.write("ctx/small", "small");
    for line in commands("mbuild context") {
        let words = line.strip_prefix("mbuild ").unwrap();
        let run = sandbox.mbuild(words).cwd(sandbox.path("ctx")).run();
        let ran = run.exits(0);
        assert!(ran.out().contains("large"), "{}", ran.out());
    }
}

/// What `examples/demo` shows, with the program that the tests have built.
fn the_example_builds_an_image_and_files(target: &Target) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let demo = std::fs::read_to_string(root.join("examples/demo")).unwrap();
    for word in [
        "--target artifacts",
        "--build-arg \"BASE=",
        "type=local,dest=",
    ] {
        assert!(
            demo.contains(word),
            "examples/demo does something else: {word}"
        );
    }
    let sandbox = Sandbox::new(target);
    let hello = root.join("examples/hello").display().to_string();
    let name = target.repository("hello");
    let both = format!(
        "--platform linux/amd64,linux/arm64 --build-arg BASE={}",
        target.base
    );
    sandbox
        .mbuild(&format!("{both} -t {name}:demo --push"))
        .arg(&hello)
        .run()
        .exits(0);
    sandbox
        .mbuild(&format!(
            "{both} --target artifacts --output type=local,dest=files"
        ))
        .arg(&hello)
        .run()
        .exits(0);
    let hub = Hub::new(&name);
    let index = hub.manifest("demo");
    for arch in ["amd64", "arm64"] {
        let image = hub.image(&index, &format!("linux/{arch}"));
        let text = String::from_utf8(hub.file(&image, "hello.txt")).unwrap();
        assert!(text.contains(arch), "{text}");
        assert_eq!(sandbox.read(&format!("files/linux_{arch}/hello.txt")), text);
    }
}
