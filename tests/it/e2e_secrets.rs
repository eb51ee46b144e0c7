//! Secrets reach the steps that mount them, on every node, and are nowhere else: not in logs,
//! layers, configurations, metadata or files of ours.

use mbuild::digest::Digest;

use crate::support::hub::{Hub, text};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    secrets_reach_steps_and_nothing_else,
    a_failing_step_does_not_tell_its_secret,
    a_secret_that_is_nowhere_stops_the_build_before_it_starts,
    a_secret_that_a_step_needs_and_nobody_gives_is_named,
);

/// Each step leaves the hash of its secret, which shows that it had it.
const DOCKERFILE: &str = "FROM BASE
RUN --mount=type=secret,id=file,required sha256sum </run/secrets/file >/file.sum
RUN --mount=type=secret,id=variable,required sha256sum </run/secrets/variable >/variable.sum
RUN [ ! -e /run/secrets/file ]
";

fn secrets_reach_steps_and_nothing_else(target: &Target) {
    for progress in ["plain", "rawjson"] {
        let sandbox = Sandbox::new(target);
        // New secrets: a step whose secret alone changed is cached, so it is a new step too.
        let (of_file, of_variable) = (format!("f-{}", fresh()), format!("v-{}", fresh()));
        sandbox.dockerfile(&DOCKERFILE.replace("RUN", &format!("LABEL run={}\nRUN", fresh())));
        sandbox.write("home/secret", &of_file);
        let name = target.repository("secret");
        let ran = sandbox
            .mbuild(&format!(
                "-v {BOTH} --no-cache --progress {progress} -t {name}:1 --push \
                 --metadata-file meta.json --secret id=file,src=home/secret \
                 --secret id=variable,env=THE_VARIABLE ctx"
            ))
            .env("THE_VARIABLE", &of_variable)
            .run()
            .exits(0);
        let hub = Hub::new(&name);
        let index = hub.manifest("1");
        let mut places = vec![
            ("stdout", ran.stdout.clone()),
            ("stderr", ran.stderr.clone().into_bytes()),
            ("metadata", sandbox.read("meta.json").into_bytes()),
        ];
        for platform in ["linux/amd64", "linux/arm64"] {
            let image = hub.image(&index, platform);
            for (file, secret) in [("file.sum", &of_file), ("variable.sum", &of_variable)] {
                let sum = Digest::of(secret.as_bytes()).to_string();
                let expect = format!("{}  -\n", sum.trim_start_matches("sha256:"));
                assert_eq!(String::from_utf8(hub.file(&image, file)).unwrap(), expect);
            }
            places.push(("manifest", image.json.to_string().into_bytes()));
            places.push(("config", hub.blob(text(&image.json["config"]["digest"]))));
            places.extend(hub.layers(&image).into_iter().map(|tar| ("layer", tar)));
        }
        for (place, bytes) in places {
            for secret in [&of_file, &of_variable] {
                let found = bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes());
                assert!(!found, "a secret is in the {place} with {progress}");
            }
        }
    }
}

fn a_failing_step_does_not_tell_its_secret(target: &Target) {
    let sandbox = Sandbox::new(target);
    let secret = fresh();
    sandbox.dockerfile("FROM BASE\nRUN --mount=type=secret,id=s exit 3\n");
    sandbox
        .mbuild(&format!(
            "-v {BOTH} --secret id=s,env=SECRET --metadata-file meta.json ctx"
        ))
        .env("SECRET", &secret)
        .run()
        .exits(1)
        .says_not(&[&secret]);
    assert!(!sandbox.read("meta.json").contains(&secret));
}

fn a_secret_that_is_nowhere_stops_the_build_before_it_starts(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\nRUN true\n");
    sandbox
        .run("--secret id=s,env=NOT_SET ctx")
        .exits(2)
        .says(&["--secret id=s: the variable NOT_SET is not set"])
        .says_not(&["#1"]);
    sandbox
        .run("--secret id=s,src=home/nowhere ctx")
        .exits(2)
        .says(&["--secret id=s: cannot read", "home/nowhere"]);
}

fn a_secret_that_a_step_needs_and_nobody_gives_is_named(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\nRUN --mount=type=secret,id=wanted,required true\n");
    sandbox
        .run(&format!("{BOTH} --no-cache ctx"))
        .exits(1)
        .says(&["wanted", ">>> RUN"]);
}
