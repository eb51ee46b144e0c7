//! A place to run the built program in: [`Sandbox`], with a home, a configuration, a context
//! and a directory for temporary files of its own.
//!
//! Every run has a time limit and leaves no temporary file: what breaks that fails the test.

use std::collections::BTreeMap;
use std::fs;
use std::io::{PipeReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::target::Target;

/// Longer than any build here takes; what takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(100);

/// A place to run `mbuild` in.
pub(crate) struct Sandbox {
    dir: TempDir,
    base: String,
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
        Mbuild {
            words: words.collect(),
            env: BTreeMap::from([
                ("HOME".into(), self.path("home").display().to_string()),
                ("TMPDIR".into(), self.path("tmp").display().to_string()),
                ("PATH".into(), std::env::var("PATH").unwrap()),
            ]),
            cwd: self.dir.path().to_owned(),
            tmp: self.path("tmp"),
            stdin: None,
            pipe: None,
        }
    }

    /// Runs `mbuild` with these words to its end.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.mbuild(line).run()
    }
}

/// A run that has not begun.
pub(crate) struct Mbuild {
    words: Vec<String>,
    env: BTreeMap<String, String>,
    cwd: PathBuf,
    tmp: PathBuf,
    stdin: Option<Vec<u8>>,
    pipe: Option<PipeReader>,
}

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

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ran {
        self.start().wait()
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mbuild"));
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
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), &stdout),
            collect(child.stderr.take().unwrap(), &stderr),
        ];
        Running {
            line: self.words.join(" "),
            child,
            stdout,
            stderr,
            readers,
            start: Instant::now(),
            tmp: self.tmp,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

type Shared = Arc<Mutex<Vec<u8>>>;

fn collect(mut from: impl Read + Send + 'static, into: &Shared) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..read]);
        }
    })
}

/// A run that goes on; killed when dropped.
pub(crate) struct Running {
    line: String,
    child: Child,
    stdout: Shared,
    stderr: Shared,
    readers: Vec<JoinHandle<()>>,
    start: Instant,
    tmp: PathBuf,
}

impl Running {
    /// Waits until stderr holds `text` as often as that.
    pub(crate) fn until(&mut self, text: &str, times: usize) -> &mut Self {
        while self.so_far().matches(text).count() < times {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || self.start.elapsed() > LIMIT {
                drop(self.child.kill());
                panic!("{}: never said {text:?}:\n{}", self.line, self.so_far());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// Sends it a signal; the time that it takes counts from here.
    pub(crate) fn signal(&mut self, signal: Signal) -> &mut Self {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        self.start_clock()
    }

    /// Lets the time that it takes count from here.
    pub(crate) fn start_clock(&mut self) -> &mut Self {
        self.start = Instant::now();
        self
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Ran {
        let status = self.status();
        let took = self.start.elapsed();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let left: Vec<_> = fs::read_dir(&self.tmp).unwrap().flatten().collect();
        assert!(left.is_empty(), "{}: temporary files: {left:?}", self.line);
        let stdout = std::mem::take(&mut *self.stdout.lock().unwrap());
        let stderr = String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned();
        Ran {
            line: self.line.clone(),
            status,
            stdout,
            stderr,
            took,
        }
    }

    fn status(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if self.start.elapsed() > LIMIT {
                drop(self.child.kill());
                panic!("{}: does not end:\n{}", self.line, self.so_far());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A run that has ended.
pub(crate) struct Ran {
    line: String,
    status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// Since the start, or what was waited for.
    pub(crate) took: Duration,
}

impl Ran {
    /// It ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            (self.status.code(), self.status.signal()),
            (Some(code), None),
            "mbuild {}: after {:?}\n{}",
            self.line,
            self.took,
            self.stderr
        );
        self
    }

    /// Stderr holds each of these.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            let said = self.stderr.contains(text);
            assert!(
                said,
                "mbuild {}: not said: {text:?}\n{}",
                self.line, self.stderr
            );
        }
        self
    }

    /// Stderr holds none of these.
    #[track_caller]
    pub(crate) fn says_not(self, texts: &[&str]) -> Self {
        for text in texts {
            let said = self.stderr.contains(text);
            assert!(
                !said,
                "mbuild {}: said: {text:?}\n{}",
                self.line, self.stderr
            );
        }
        self
    }

    /// It took no longer than that.
    #[track_caller]
    pub(crate) fn within(self, limit: Duration) -> Self {
        assert!(
            self.took <= limit,
            "mbuild {}: took {:?}\n{}",
            self.line,
            self.took,
            self.stderr
        );
        self
    }

    /// Stdout as text.
    pub(crate) fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Stderr as JSON, line by line; panics on a line that is none.
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line:?}"));
        self.stderr.lines().map(parse).collect()
    }

    /// Nothing went to stdout.
    #[track_caller]
    pub(crate) fn prints_nothing(self) -> Self {
        assert_eq!(self.out(), "", "mbuild {}", self.line);
        self
    }
}
