//! `action.yml` and the workflow beside it, run as a runner would run them: inputs put into the
//! step's variables, outputs and summary read from the runner's files.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::hub::Hub;
use crate::support::pipeline::{Values, check_out, file, fill, root, text, values, yaml};
use crate::support::ran::Ran;
use crate::support::sandbox::{Mbuild, Sandbox};
use crate::support::target::{Target, cases, fresh};

const BOTH: (&str, &str) = ("platforms", "linux/amd64,linux/arm64");
const WORKFLOW: &str = "examples/github-actions/push.yml";

cases!(beside:
    the_workflow_pushes_and_keeps_files,
    outputs_and_summary_say_what_was_built,
    a_failing_step_is_annotated_at_its_lines,
    a_warning_is_annotated_at_its_line,
    inputs_of_several_lines_arrive_whole,
    secrets_reach_steps_and_nothing_else,
    a_malformed_secret_is_refused_unseen,
    what_mbuild_cannot_do_it_says_by_name,
    a_cancelled_job_cancels_the_build,
    a_configuration_can_be_an_input,
);

fn action() -> Value {
    yaml(&file("action.yml"))
}

/// The step of the action with this id.
fn step(action: &Value, id: &str) -> Value {
    let steps = action["runs"]["steps"].as_array().unwrap();
    steps.iter().find(|step| step["id"] == id).unwrap().clone()
}

/// A job's runner: a sandbox with a checkout `ws`, and the runner's own files.
struct Runner {
    sandbox: Sandbox,
    config: String,
}

impl Runner {
    fn new(target: &Target) -> Self {
        let sandbox = Sandbox::new(target);
        for path in [
            "runner/output",
            "runner/summary",
            "runner/env",
            "runner/path",
            "temp/.keep",
        ] {
            sandbox.write(path, "");
        }
        std::fs::create_dir(sandbox.path("ws")).unwrap();
        sandbox.write("builder/mbuild.toml", target.config());
        let config = sandbox.path("builder/mbuild.toml").display().to_string();
        Self { sandbox, config }
    }

    /// The text with the base image in place of `BASE` as the checkout's Dockerfile.
    fn dockerfile(&self, path: &str, text: &str) {
        self.sandbox
            .write(&format!("ws/{path}"), self.sandbox.with_base(text));
    }

    /// A script of a step; what it prints is on stderr.
    fn script(&self, script: &str) -> Mbuild {
        let script = format!("exec >&2\n{script}");
        let words = ["--noprofile", "--norc", "-eo", "pipefail", "-c", &script];
        let mut run = self.sandbox.shell("bash", &words);
        for (name, path) in [
            ("GITHUB_OUTPUT", "runner/output"),
            ("GITHUB_STEP_SUMMARY", "runner/summary"),
            ("GITHUB_ENV", "runner/env"),
            ("GITHUB_PATH", "runner/path"),
            ("GITHUB_WORKSPACE", "ws"),
            ("RUNNER_TEMP", "temp"),
        ] {
            run = run.env(name, self.sandbox.path(path).display().to_string());
        }
        run.env("CI", "true")
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_ACTION_PATH", root().display().to_string())
            .env("HOME", "/dev/null")
            .env("MBUILD_CONFIG", &self.config)
            .cwd(self.sandbox.path("ws"))
    }

    /// The action with these inputs.
    #[track_caller]
    fn action(&self, given: &[(&str, &str)]) -> Mbuild {
        let action = action();
        let inputs = action["inputs"].as_object().unwrap();
        let mut all = Values::new();
        for (name, input) in inputs {
            let default = input.get("default").map(text).unwrap_or_default();
            all.insert(format!("inputs.{name}"), default);
        }
        for (name, value) in given {
            let known = all.insert(format!("inputs.{name}"), (*value).into());
            assert!(known.is_some(), "there is no input {name}");
        }
        let step = step(&action, "build");
        let mut run = self.script(&text(&step["run"]));
        for (name, value) in step["env"].as_object().unwrap() {
            run = run.env(name, fill(&text(value), "${{", "}}", &all));
        }
        run
    }

    /// What the action put out, by name, as the runner reads its file.
    fn outputs(&self) -> Values {
        let text = self.sandbox.read("runner/output");
        let mut outputs = Values::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let heredoc = line
                .split_once("<<")
                .filter(|(name, _)| !name.contains('='));
            let (name, value) = match heredoc {
                Some((name, end)) => {
                    let inside: Vec<_> = lines.by_ref().take_while(|line| *line != end).collect();
                    (name, inside.join("\n"))
                }
                None => line
                    .split_once('=')
                    .map(|(name, value)| (name, value.into()))
                    .unwrap(),
            };
            outputs.insert(name.into(), value);
        }
        outputs
    }

    /// Nothing of the action's is left.
    #[track_caller]
    fn is_clean(&self) {
        let left = std::fs::read_dir(self.sandbox.path("temp"))
            .unwrap()
            .flatten();
        let left: Vec<_> = left
            .map(|entry| entry.file_name())
            .filter(|name| name != ".keep")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// The lines that a runner takes for commands: at the start of a line, not while stopped.
fn commands(ran: &Ran) -> Vec<String> {
    let mut commands = Vec::new();
    let mut stopped: Option<String> = None;
    for line in ran.stderr.lines() {
        match &stopped {
            Some(token) if line == format!("::{token}::") => stopped = None,
            Some(_) => {}
            None => match line.strip_prefix("::stop-commands::") {
                Some(token) => stopped = Some(token.to_owned()),
                None if line.trim_start().starts_with("::") => commands.push(line.to_owned()),
                None => {}
            },
        }
    }
    assert_eq!(stopped, None, "commands stay stopped");
    commands
}

#[test]
fn every_input_is_documented_handed_over_and_used() {
    let action = action();
    let step = step(&action, "build");
    let script = file("examples/github-actions/build.sh");
    let inputs = action["inputs"].as_object().unwrap();
    assert_eq!(inputs.len(), step["env"].as_object().unwrap().len());
    for (name, input) in inputs {
        assert!(!text(&input["description"]).is_empty(), "{name}");
        let variable = name.to_uppercase().replace('-', "_");
        let expression = format!("${{{{ inputs.{name} }}}}");
        assert_eq!(step["env"][format!("INPUT_{variable}")], expression);
        let mut words = script.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let used = words.any(|word| word.strip_prefix("INPUT_").unwrap_or(word) == variable);
        assert!(used, "{name} is not used");
    }
    for (name, output) in action["outputs"].as_object().unwrap() {
        let expression = format!("${{{{ steps.build.outputs.{name} }}}}");
        assert_eq!(output["value"], expression);
    }
}

fn the_workflow_pushes_and_keeps_files(target: &Target) {
    let runner = Runner::new(target);
    let commit = check_out(&runner.sandbox);
    let repository = format!("e2e/github-{}", fresh());
    let temp = runner.sandbox.path("temp").display().to_string();
    let mut known = values(&[
        ("github.actor", "octocat"),
        ("github.repository", &repository),
        ("github.server_url", "https://github.example"),
        ("github.sha", &commit),
        ("github.token", "ghs_\"secret\"%s"),
        ("runner.temp", &temp),
    ]);
    let workflow = file(WORKFLOW).replace("ghcr.io", &target.registry);
    let mut used = 0;
    for step in yaml(&workflow)["jobs"]["image"]["steps"]
        .as_array()
        .unwrap()
    {
        if let Some(script) = step.get("run") {
            let mut run = runner
                .script(&text(script))
                .env("GITHUB_REPOSITORY", &repository);
            for (name, value) in step["env"].as_object().unwrap() {
                run = run.env(name, fill(&text(value), "${{", "}}", &known));
            }
            run.run().exits(0).says_not(&["ghs_"]);
        } else if text(&step["uses"]).starts_with("example/mbuild@") {
            let with = step["with"].as_object().unwrap().iter();
            let with: Values = with
                .map(|(name, value)| (name.clone(), fill(&text(value), "${{", "}}", &known)))
                .collect();
            let given: Vec<_> = with
                .iter()
                .map(|(name, value)| (&name[..], &value[..]))
                .collect();
            runner.action(&given).run().exits(0);
            if let Some(id) = step.get("id") {
                for (name, value) in runner.outputs() {
                    known.insert(format!("steps.{}.outputs.{name}", text(id)), value);
                }
            }
            used += 1;
        }
    }
    assert_eq!(used, 2);
    let hub = Hub::new(&format!("{}/{repository}", target.registry));
    let index = hub.manifest("main");
    assert_eq!(hub.manifest(&commit), index);
    assert_eq!(known["steps.push.outputs.digest"], index.digest);
    let labels = &hub.config(&hub.image(&index, "linux/amd64"))["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.revision"], commit);
    assert!(
        runner
            .sandbox
            .path("temp/files/linux_arm64/hello.txt")
            .exists()
    );
    let login = runner.sandbox.json("temp/docker/config.json");
    // Of `octocat:ghs_"secret"%s`.
    assert_eq!(
        login["auths"][&target.registry]["auth"],
        "b2N0b2NhdDpnaHNfInNlY3JldCIlcw=="
    );
    let permissions = std::fs::metadata(runner.sandbox.path("temp/docker/config.json"));
    assert_eq!(permissions.unwrap().permissions().mode() & 0o777, 0o600);
    let env = runner.sandbox.read("runner/env");
    assert_eq!(env, format!("DOCKER_CONFIG={temp}/docker\n"));
}

fn outputs_and_summary_say_what_was_built(target: &Target) {
    let runner = Runner::new(target);
    runner.dockerfile("Dockerfile", &format!("FROM BASE\nRUN : {}\n", fresh()));
    let name = target.repository("action");
    let tags = format!("  {name}:1\r\n\n{name}:2 , {name}:3\n");
    let ran = runner
        .action(&[BOTH, ("tags", &tags), ("push", "true")])
        .run()
        .exits(0);
    assert_eq!(commands(&ran), [""; 0]);
    let index = Hub::new(&name).manifest("3");
    assert_eq!(index.platforms(), ["linux/amd64", "linux/arm64"]);
    let outputs = runner.outputs();
    assert_eq!(outputs["digest"], index.digest);
    assert_eq!(outputs["imageid"], index.digest);
    let metadata: Value = serde_json::from_str(&outputs["metadata"]).unwrap();
    assert_eq!(metadata["containerimage.digest"], index.digest);
    let summary = runner.sandbox.read("runner/summary");
    for arch in ["amd64", "arm64"] {
        let image = Hub::new(&name).image(&index, &format!("linux/{arch}"));
        let row = format!("| linux/{arch} | {arch} | ");
        let row = summary.lines().find(|line| line.starts_with(&row)).unwrap();
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert!(cells[3].ends_with(" s"), "{row}");
        let steps = &metadata["mbuild.platforms"][format!("linux/{arch}")]["steps"];
        assert_eq!(cells[4], text(&steps["total"]));
        assert_eq!(cells[5], text(&steps["cached"]));
        assert_eq!(cells[6], format!("`{}`", image.digest));
    }
    assert!(summary.contains(&format!("Digest: `{}`\n", index.digest)));
    assert!(summary.contains(&format!("- `{name}:2`\n")));
    runner.is_clean();

    runner
        .action(&[
            ("tags", &format!("{name}:one")),
            ("push", "true"),
            ("platforms", "linux/arm64"),
        ])
        .run()
        .exits(0);
    let image = Hub::new(&name).manifest("one");
    let outputs = runner.outputs();
    assert_eq!(outputs["digest"], image.digest);
    assert_eq!(outputs["imageid"], text(&image.json["config"]["digest"]));
}

fn a_failing_step_is_annotated_at_its_lines(target: &Target) {
    let runner = Runner::new(target);
    let lines =
        "FROM BASE\nARG TARGETARCH\n\nRUN echo '::error::forged'; \\\n  [ $TARGETARCH = amd64 ]\n";
    runner.dockerfile("app/Image.Dockerfile", lines);
    let ran = runner
        .action(&[
            BOTH,
            ("context", "app"),
            ("file", "./app/Image.Dockerfile"),
            ("keep-going", "true"),
        ])
        .run()
        .exits(1);
    let commands = commands(&ran);
    let [command] = &commands[..] else {
        panic!("{commands:?}");
    };
    let place = "::error file=app/Image.Dockerfile,line=4,endLine=5,title=mbuild::linux/arm64 on arm64: process";
    assert!(command.starts_with(place), "{command}");
    assert_eq!(runner.outputs()["digest"], "");
    let summary = runner.sandbox.read("runner/summary");
    assert!(summary.contains("| linux/arm64 | arm64 |"), "{summary}");
    assert!(
        summary.contains("```text\nERROR: linux/arm64 on arm64: process"),
        "{summary}"
    );
    runner.is_clean();

    // Without `file` it is the context's; a line that cannot be read has its place, too.
    runner.dockerfile("app/Dockerfile", "FROM BASE\nRNU true, 100%\n");
    let absolute = runner.sandbox.path("ws/app").display().to_string();
    for context in ["app/", "./app", &absolute] {
        let ran = runner
            .action(&[("context", context), ("platforms", "linux/amd64")])
            .run()
            .exits(1);
        let place = "::error file=app/Dockerfile,line=2,title=mbuild::linux/amd64 on amd64: ";
        assert!(self::commands(&ran)[0].starts_with(place), "{}", ran.stderr);
    }
}

fn a_warning_is_annotated_at_its_line(target: &Target) {
    let runner = Runner::new(target);
    runner.dockerfile("Dockerfile", "FROM BASE\n\nENV PASSWORD=x\n");
    let ran = runner.action(&[BOTH]).run().exits(0);
    let commands = commands(&ran);
    if target.engine_version().is_some_and(|version| version < 27) {
        return; // Daemons of that age warn of nothing here.
    }
    assert_eq!(commands.len(), 1, "{}", ran.stderr);
    let place = "::warning file=Dockerfile,line=3,title=mbuild::SecretsUsedInArgOrEnv: ";
    assert!(commands[0].starts_with(place), "{commands:?}");
}

fn inputs_of_several_lines_arrive_whole(target: &Target) {
    let runner = Runner::new(target);
    let dockerfile = "FROM BASE AS build\nARG ONE\nARG TWO\nARG THREE\nARG FOUR\n\
         RUN printf '%s|' \"$ONE\" \"$TWO\" \"$THREE\" \"$FOUR\" >/args; cat /etc/hosts >/hosts\n\
         FROM scratch\nCOPY --from=build /args /hosts /\n";
    runner.dockerfile("Dockerfile", dockerfile);
    let build_args = "ONE=a b, $(c) 'd' \\e\n\n  TWO=\"quoted\"  \n\"THREE=first\n  second \"\"line\"\"\n\nlast\"\nFOUR=${{ x }}";
    runner
        .action(&[
            ("platforms", "linux/amd64"),
            ("build-args", build_args),
            (
                "add-hosts",
                "one.example:10.1.1.1,two.example:10.1.1.2\nthree.example:10.1.1.3",
            ),
            ("outputs", "type=local,dest=files\ntype=tar,dest=files.tar"),
        ])
        .run()
        .exits(0);
    let args = runner.sandbox.read("ws/files/args");
    let expected = "a b, $(c) 'd' \\e|\"quoted\"|first\n  second \"line\"\n\nlast|${{ x }}|";
    assert_eq!(args, expected);
    let hosts = runner.sandbox.read("ws/files/hosts");
    for host in ["one.example", "two.example", "three.example"] {
        assert!(hosts.contains(host), "{hosts}");
    }
    assert!(runner.sandbox.path("ws/files.tar").exists());
    let ran = runner.action(&[("tags", "\"a:1")]).run().exits(2);
    assert_eq!(
        commands(&ran),
        ["::error title=mbuild::a quote in the input tags is not closed"]
    );
}

fn secrets_reach_steps_and_nothing_else(target: &Target) {
    let runner = Runner::new(target);
    let word = format!("hidden{}", fresh());
    let dockerfile = format!(
        "FROM BASE AS build\nRUN : {}\nRUN --mount=type=secret,id=one --mount=type=secret,id=two \
         --mount=type=secret,id=file --mount=type=secret,id=env --mount=type=secret,id=GIT_AUTH_TOKEN \
         cd /run/secrets && for id in *; do echo $id $(cat $id | md5sum); done > /sums\n\
         FROM scratch\nCOPY --from=build /sums /\n",
        fresh()
    );
    runner.dockerfile("Dockerfile", &dockerfile);
    runner
        .sandbox
        .write("ws/secret.txt", format!("{word} file"));
    let secrets = format!("one={word} = one\n\"two={word}\n\"\"two\"\"\"\n");
    let ran = runner
        .action(&[
            ("platforms", "linux/amd64"),
            ("secrets", &secrets),
            ("secret-files", "file=secret.txt"),
            ("secret-envs", "env=SECRET_VARIABLE"),
            ("github-token", &format!("{word} token")),
            ("outputs", "type=local,dest=files"),
        ])
        .env("SECRET_VARIABLE", format!("{word} env"))
        .env("RUNNER_DEBUG", "1")
        .run()
        .exits(0)
        .says_not(&[&word]);
    assert!(ran.out().is_empty());
    let sums = runner.sandbox.read("ws/files/sums");
    for (id, value) in [
        ("one", format!("{word} = one")),
        ("two", format!("{word}\n\"two\"")),
        ("file", format!("{word} file")),
        ("env", format!("{word} env")),
        ("GIT_AUTH_TOKEN", format!("{word} token")),
    ] {
        runner.sandbox.write("value", value);
        let script = format!(
            "echo {id} $(md5sum < {})",
            runner.sandbox.path("value").display()
        );
        let sum = runner.sandbox.shell("bash", &["-c", &script]).run();
        assert!(sums.contains(sum.out()), "{id}: {sums}");
    }
    for path in ["runner/output", "runner/summary", "runner/env"] {
        assert!(!runner.sandbox.read(path).contains(&word), "{path}");
    }
    runner.is_clean();
}

fn a_malformed_secret_is_refused_unseen(target: &Target) {
    let runner = Runner::new(target);
    runner.dockerfile("Dockerfile", "FROM BASE\n");
    let ran = runner
        .action(&[("secrets", "a=b\nhidden")])
        .run()
        .exits(2)
        .says_not(&["hidden"]);
    let said = "::error title=mbuild::the input secrets: entry 2 is not of the form ID=VALUE";
    assert_eq!(commands(&ran), [said]);
    runner.is_clean();
}

fn what_mbuild_cannot_do_it_says_by_name(target: &Target) {
    let runner = Runner::new(target);
    runner.dockerfile("Dockerfile", "FROM BASE\n");
    let ran = runner.action(&[("push", "perhaps")]).run().exits(2);
    ran.says(&["--push"]);
    let ran = runner.action(&[("builder", "nowhere")]).run().exits(3);
    let commands = commands(&ran);
    assert!(
        commands[0].starts_with("::error title=mbuild::there is no builder `nowhere`"),
        "{commands:?}"
    );
    assert!(
        runner
            .sandbox
            .read("runner/summary")
            .contains("ERROR: there is no builder")
    );
}

fn a_cancelled_job_cancels_the_build(target: &Target) {
    for signal in [Signal::INT, Signal::TERM] {
        let runner = Runner::new(target);
        let dockerfile = format!("FROM BASE\nRUN : {}; echo begun''now; sleep 60\n", fresh());
        runner.dockerfile("Dockerfile", &dockerfile);
        let mut running = runner.action(&[("platforms", "linux/amd64")]).start();
        running.until("begunnow", 1).signal(signal);
        let ran = running.wait().exits(130).within(Duration::from_secs(20));
        ran.says(&["interrupted; the builds were cancelled"]);
        runner.is_clean();
    }
}

fn a_configuration_can_be_an_input(target: &Target) {
    let runner = Runner::new(target);
    runner.dockerfile("Dockerfile", "FROM BASE\n");
    let config = target.config();
    let given = [BOTH, ("config-inline", &config)];
    runner
        .action(&given)
        .env("MBUILD_CONFIG", "")
        .run()
        .exits(0);
    let given = [BOTH, ("config", &runner.config)];
    runner
        .action(&given)
        .env("MBUILD_CONFIG", "")
        .run()
        .exits(0);
    let given = [("config-inline", &config[..]), ("config", &runner.config)];
    runner
        .action(&given)
        .run()
        .exits(2)
        .says(&["exclude each other"]);
    runner.is_clean();
}

#[test]
fn mbuild_is_compiled_only_where_it_is_missing() {
    let install = text(&step(&action(), "install")["run"]);
    let dir = tempfile::tempdir().unwrap();
    let cargo = dir.path().join("cargo");
    std::fs::write(&cargo, "#!/bin/sh\necho \"$@\"\n").unwrap();
    std::fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).unwrap();
    let run = || {
        let mut command = std::process::Command::new("/bin/bash");
        command
            .args(["-eo", "pipefail", "-c", &install])
            .env_clear();
        command
            .env("PATH", dir.path())
            .env("GITHUB_PATH", dir.path().join("path"));
        command
            .env("GITHUB_ACTION_PATH", "/action")
            .env("RUNNER_TEMP", "/temp");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        run(),
        "install --locked --quiet --path /action --root /temp/mbuild\n"
    );
    let path = std::fs::read_to_string(dir.path().join("path")).unwrap();
    assert_eq!(path, "/temp/mbuild/bin\n");
    std::fs::copy(&cargo, dir.path().join("mbuild")).unwrap();
    assert_eq!(run(), "");
}
