//! A place to run the built program in: [`Sandbox`], with a home, a configuration, a context
//! and a directory for temporary files of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{PipeReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::ran::{Ran, Running};
use super::target::Target;

/// A place to run `mbuild` in.
pub(crate) struct Sandbox {
    dir: TempDir,
    base: String,
    variables: Vec<(String, String)>,
}

impl Sandbox {
    /// One that knows both nodes, with an empty context `ctx` in its working directory.
    pub(crate) fn new(target: &Target) -> Self {
        Self::with_config(target, &target.config())
    }

    /// One whose user has this configuration.
    pub(crate) fn with_config(target: &Target, config: &str) -> Self {
        let sandbox = Self {
            dir: tempfile::Builder::new()
                .prefix("mbuild-e2e-")
                .tempdir()
                .unwrap(),
            base: target.base.clone(),
            variables: target.variables(),
        };
        for dir in ["home", "tmp", "ctx"] {
            fs::create_dir(sandbox.path(dir)).unwrap();
        }
        sandbox.write("home/.config/mbuild/mbuild.toml", config);
        sandbox
    }

    /// A path in it.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn write(&self, relative: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes the context's Dockerfile; `BASE` in it stands for the image to build from.
    pub(crate) fn dockerfile(&self, text: &str) -> &Self {
        self.write("ctx/Dockerfile", self.with_base(text));
        self
    }

    /// The text with the image to build from in place of `BASE`.
    pub(crate) fn with_base(&self, text: &str) -> String {
        text.replace("BASE", &self.base)
    }

    /// Reads a file as text.
    pub(crate) fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    /// Reads a file as JSON.
    pub(crate) fn json(&self, relative: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(relative)).unwrap()
    }

    /// Writes a program that stands for another one; gives the `PATH` on which it is found.
    pub(crate) fn stand_in(&self, name: &str, script: &str) -> String {
        self.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
        let path = self.path(format!("bin/{name}"));
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        let bin = self.path("bin").display().to_string();
        format!("{bin}:{}", std::env::var("PATH").unwrap())
    }

    /// A run of `mbuild` with these words, which are split at spaces.
    pub(crate) fn mbuild(&self, line: &str) -> Mbuild {
        let words = line.split_whitespace().map(str::to_owned);
        let mut env = BTreeMap::from([
            ("HOME".into(), self.path("home").display().to_string()),
            ("TMPDIR".into(), self.path("tmp").display().to_string()),
            ("PATH".into(), std::env::var("PATH").unwrap()),
        ]);
        env.extend(self.variables.iter().cloned());
        Mbuild {
            program: env!("CARGO_BIN_EXE_mbuild"),
            words: words.collect(),
            env,
            cwd: self.dir.path().to_owned(),
            tmp: self.path("tmp"),
            stdin: None,
            pipe: None,
            service_account: None,
        }
    }

    /// A run of a shell with these words, which finds `mbuild`.
    pub(crate) fn shell(&self, program: &'static str, words: &[&str]) -> Mbuild {
        let exec = format!("exec {} \"$@\"", env!("CARGO_BIN_EXE_mbuild"));
        let mut run = self.mbuild("").env("PATH", self.stand_in("mbuild", &exec));
        // A shell cannot trap what its parent ignores, as those of background jobs do.
        run.program = "env";
        let words = ["--default-signal=INT", program]
            .into_iter()
            .chain(words.iter().copied());
        run.words = words.map(str::to_owned).collect();
        run
    }

    /// Runs `mbuild` with these words to its end.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.mbuild(line).run()
    }
}

/// A run that has not begun.
pub(crate) struct Mbuild {
    program: &'static str,
    words: Vec<String>,
    env: BTreeMap<String, String>,
    cwd: PathBuf,
    tmp: PathBuf,
    stdin: Option<Vec<u8>>,
    pipe: Option<PipeReader>,
    service_account: Option<PathBuf>,
}

/// Puts a directory where pods have their service account, in mounts of its own, and goes on as
/// what follows.
const AS_POD: &str = "run=$(readlink -f /var/run) && mount -t tmpfs none $run && \
     at=$run/secrets/kubernetes.io/serviceaccount && mkdir -p $at && \
     mount --bind \"$1\" $at && shift && exec \"$@\"";

impl Mbuild {
    /// Adds one word as it is.
    pub(crate) fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub(crate) fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = dir.into();
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Reads stdin from a pipe whose other end the test keeps.
    pub(crate) fn stdin_from(mut self, pipe: PipeReader) -> Self {
        self.pipe = Some(pipe);
        self
    }

    /// Runs it as in a pod that has this directory as its service account; needs root.
    pub(crate) fn with_service_account(mut self, dir: &Path) -> Self {
        self.service_account = Some(dir.to_owned());
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ran {
        self.start().wait()
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running {
        let mut command = Command::new(self.program);
        if let Some(account) = &self.service_account {
            command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", AS_POD, "sh"]);
            command.arg(account).arg(self.program);
        }
        command.args(&self.words).current_dir(&self.cwd);
        command.env_clear().envs(&self.env);
        let stdin = match (&self.stdin, self.pipe) {
            (Some(_), _) => Stdio::piped(),
            (None, Some(pipe)) => pipe.into(),
            (None, None) => Stdio::null(),
        };
        let piped = command.stdin(stdin).stdout(Stdio::piped());
        let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
        if let (Some(bytes), Some(mut pipe)) = (self.stdin, child.stdin.take()) {
            // A program that does not read it all is judged by what it says.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        Running::new(self.words.join(" "), child, self.tmp)
    }
}
