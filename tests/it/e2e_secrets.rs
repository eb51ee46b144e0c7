//! Secrets reach the steps that mount them, on every node, and are nowhere else: not in logs,
//! layers, configurations, metadata or files of ours.

use mbuild::buildkit::session::SECRET_LIMIT;
use mbuild::digest::Digest;

use crate::support::guarded_server::{CONTENT, GuardedServer};
use crate::support::hub::{Hub, text};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(at_host:
    secrets_by_agreed_names_let_nodes_fetch,
    a_secret_that_a_server_refuses_is_not_told,
);

cases!(beside:
    every_form_of_the_flag_finds_the_secret,
    a_secret_of_the_largest_size_reaches_the_step,
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
    sandbox
        .run("--secret id=NOWHERE ctx")
        .exits(2)
        .says(&["--secret id=NOWHERE: cannot read", "name its source"]);
    sandbox
        .run("--secret id=s,src=home ctx")
        .exits(2)
        .says(&["--secret id=s: ", "home is a directory"]);
    let large = "x".repeat(SECRET_LIMIT + 1);
    let limit = "and a secret may have 512000 bytes";
    sandbox.write("home/large", &large);
    sandbox
        .run("--secret id=s,src=home/large ctx")
        .exits(2)
        .says(&["home/large holds 512001 bytes", limit])
        .says_not(&["#1"]);
    sandbox
        .run("--secret id=s,src=/dev/zero ctx")
        .exits(2)
        .says(&["/dev/zero holds more", limit]);
    // A variable of that size cannot be passed to a program at all.
}

/// `id` alone is the variable of that name if there is one, else the file.
fn every_form_of_the_flag_finds_the_secret(target: &Target) {
    let sandbox = Sandbox::new(target);
    let forms = [
        ("a", "id=a,src=home/file"),
        ("b", "id=b,source=home/file,type=file"),
        ("c", "id=c,env=V"),
        ("d", "id=d,type=env,src=V"),
        ("e", "type=env,id=e,env=V,src=home/file"),
        ("V", "id=V"),
        ("file", "id=file"),
        ("f", "\"id=f\",\"src=home/with,comma\""),
    ];
    let mut text = format!("FROM BASE AS made\nENV RUN={}\n", fresh());
    for (id, _) in forms {
        text += &format!(
            "RUN --mount=type=secret,id={id},required mkdir -p /t && cp /run/secrets/{id} /t/\n"
        );
    }
    sandbox.dockerfile(&(text + "FROM scratch\nCOPY --from=made /t /\n"));
    sandbox.write("home/file", "of the file");
    sandbox.write("file", "of the file");
    sandbox.write("home/with,comma", "of the file");
    let mut run = sandbox.mbuild(&format!("{BOTH} -o out ctx"));
    for (_, form) in forms {
        run = run.arg("--secret").arg(form);
    }
    run.env("V", "of the variable").run().exits(0);
    for dir in ["linux_amd64", "linux_arm64"] {
        for (id, _) in forms {
            let expect = match id {
                "c" | "d" | "e" | "V" => "of the variable",
                _ => "of the file",
            };
            assert_eq!(sandbox.read(&format!("out/{dir}/{id}")), expect, "{id}");
        }
    }
}

fn a_secret_of_the_largest_size_reaches_the_step(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile(&format!(
        "FROM BASE\nENV RUN={}\nRUN --mount=type=secret,id=s,required \\\n\
         [ $(wc -c </run/secrets/s) = {SECRET_LIMIT} ]\n",
        fresh()
    ));
    sandbox.write("home/large", "x".repeat(SECRET_LIMIT));
    sandbox
        .run(&format!("{BOTH} --secret id=s,src=home/large ctx"))
        .exits(0);
}

/// Daemons ask for secrets of these names by themselves when they fetch.
fn secrets_by_agreed_names_let_nodes_fetch(target: &Target) {
    use base64::prelude::*;
    let token = fresh();
    let basic = format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("x-access-token:{token}"))
    );
    let (bearer, other) = (format!("Bearer {token}"), format!("Basic {token}"));
    // What stands for the server's name in the secret's: its port too, or not.
    let check = |path: &str, secret: &str, value: &str, login: &str| {
        let server = GuardedServer::new(target.get("HOST"), login);
        let (name, host) = (target.get("HOST"), server.host());
        let id = secret.replace("HOST", name).replace("PLACE", &host);
        let sandbox = Sandbox::new(target);
        sandbox.dockerfile(&format!("FROM scratch\nADD http://{host}/{path}\n"));
        let ran = sandbox
            .mbuild(&format!(
                "-vv {BOTH} --secret id={id},env=VALUE -o out --metadata-file meta.json ctx"
            ))
            .env("VALUE", value)
            .run()
            .exits(0)
            .says_not(&[&token, basic.split_once(' ').unwrap().1]);
        assert!(ran.stdout.is_empty());
        assert!(!sandbox.read("meta.json").contains(&token));
        for dir in ["linux_amd64", "linux_arm64"] {
            assert_eq!(sandbox.read(&format!("out/{dir}/file")), CONTENT, "{id}");
        }
    };
    check("file /", "HTTP_AUTH_TOKEN_HOST", &token, &bearer);
    check("file /", "HTTP_AUTH_HEADER_HOST", &other, &other);
    check("app.git#main /", "GIT_AUTH_TOKEN", &token, &basic);
    check("app.git#main /", "GIT_AUTH_TOKEN.PLACE", &token, &basic);
    check("app.git#main /", "GIT_AUTH_HEADER", &other, &other);
    check("app.git#main /", "GIT_AUTH_HEADER.PLACE", &other, &other);
}

fn a_secret_that_a_server_refuses_is_not_told(target: &Target) {
    let server = GuardedServer::new(target.get("HOST"), "Bearer other");
    let (token, host) = (fresh(), server.host());
    let sandbox = Sandbox::new(target);
    for (path, id) in [
        ("file", format!("HTTP_AUTH_TOKEN_{}", target.get("HOST"))),
        ("app.git#main", "GIT_AUTH_TOKEN".to_owned()),
    ] {
        sandbox.dockerfile(&format!("FROM scratch\nADD http://{host}/{path} /\n"));
        for progress in ["plain", "rawjson"] {
            sandbox
                .mbuild(&format!(
                    "-vv {BOTH} --progress {progress} --secret id={id},env=VALUE \
                     --metadata-file meta.json ctx"
                ))
                .env("VALUE", &token)
                .run()
                .exits(1)
                .says(&[&host])
                .says_not(&[&token]);
            assert!(!sandbox.read("meta.json").contains(&token));
        }
    }
}

fn a_secret_that_a_step_needs_and_nobody_gives_is_named(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\nRUN --mount=type=secret,id=wanted,required true\n");
    sandbox
        .run(&format!("{BOTH} --no-cache ctx"))
        .exits(1)
        .says(&["wanted", ">>> RUN"]);
}
