//! The live table on a real terminal, in front of a real build.
//!
//! `script` of util-linux gives the terminal and passes on what is typed.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::real::{Env, env};

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// A build that runs in a terminal.
struct Terminal {
    script: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
    _dir: TempDir,
}

impl Terminal {
    /// Builds a Dockerfile with these instructions after its `FROM`.
    fn build(env: &Env, instructions: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dockerfile = format!("FROM {}\n{instructions}\n", env.get("BASE"));
        std::fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
        std::fs::write(dir.path().join("mbuild.toml"), config(env)).unwrap();
        let mut script = Command::new("script")
            .args(["-qefc", &command(dir.path()), "/dev/null"])
            .env_clear()
            .envs([
                ("PATH", "/usr/bin:/bin"),
                ("TERM", "xterm"),
                ("SHELL", "/bin/sh"),
            ])
            .env("HOME", dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = script.stdout.take().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            script,
            output,
            seen: String::new(),
            _dir: dir,
        }
    }

    /// Reads until a text has appeared, or, without one, until the end.
    fn wait_for(&mut self, text: Option<&str>) {
        let end = Instant::now() + LIMIT;
        while text.is_none_or(|text| !self.seen.contains(text)) {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(_) if text.is_none() && !left.is_zero() => return,
                Err(error) => panic!("{error} in front of {text:?}:\n{}", self.seen),
            }
        }
    }

    fn type_text(&mut self, text: &[u8]) {
        let stdin = self.script.stdin.as_mut().unwrap();
        stdin.write_all(text).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits for the end and returns the exit status and everything that was printed.
    fn finish(mut self) -> (Option<i32>, String) {
        self.wait_for(None);
        let status = self.script.wait().unwrap();
        (status.code(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Ends what a failed test leaves behind; after a good one there is nothing to end.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

fn config(env: &Env) -> String {
    format!(
        "builder = \"t\"\n[[builders.t.nodes]]\nname = \"node\"\nendpoint = \"{}\"\n\
         platforms = [\"linux/amd64\"]\n",
        env.get("AMD64"),
    )
}

fn command(dir: &Path) -> String {
    let dir = dir.display();
    let program = env!("CARGO_BIN_EXE_mbuild");
    format!("{program} --config {dir}/mbuild.toml build --no-cache --progress tty {dir}")
}

fn assert_cursor_is_back(printed: &str) {
    let hidden = printed.rfind(HIDE_CURSOR).unwrap();
    let shown = printed.rfind(SHOW_CURSOR).unwrap();
    assert!(hidden < shown, "{printed}");
}

#[test]
fn a_build_ends_with_the_list_of_its_steps_and_a_cursor() {
    let Some(env) = env() else { return };
    let (status, printed) = Terminal::build(&env, "RUN echo hello").finish();
    assert_eq!(status, Some(0), "{printed}");
    assert_cursor_is_back(&printed);
    let list = printed.rsplit("linux/amd64 on node").next().unwrap();
    assert!(list.contains("=> [2/2] RUN echo hello"), "{printed}");
}

#[test]
fn a_failed_build_brings_the_cursor_back() {
    let Some(env) = env() else { return };
    let (status, printed) = Terminal::build(&env, "RUN echo oops; exit 3").finish();
    assert_eq!(status, Some(1), "{printed}");
    assert_cursor_is_back(&printed);
    assert!(
        printed.contains("=> ERROR [2/2] RUN echo oops"),
        "{printed}"
    );
}

#[test]
fn ctrl_c_brings_the_cursor_back() {
    let Some(env) = env() else { return };
    let mut terminal = Terminal::build(&env, "RUN echo working; sleep 60");
    terminal.wait_for(Some("│ working"));
    terminal.type_text(b"\x03");
    let typed = Instant::now();
    let (status, printed) = terminal.finish();
    assert!(
        typed.elapsed() < Duration::from_secs(5),
        "{:?}",
        typed.elapsed()
    );
    assert_eq!(status, Some(130), "{printed}");
    assert_cursor_is_back(&printed);
}
