//! Runs the commands that are measured, in a clean environment and with a limit.
//!
//! A command that fails becomes an error with the end of what it said.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::error::{Context as _, Error};
use crate::measure::Sample;

/// The slowest row of the slowest client takes a minute or two.
const LIMIT: Duration = Duration::from_mins(20);
/// How often it is looked whether a command has ended; its time is taken elsewhere.
const POLL: Duration = Duration::from_millis(10);
/// How many lines of a failed command are shown.
const TAIL: usize = 15;

/// A program and its words.
pub(crate) type Line = Vec<String>;

/// Where commands run, and what they find in their environment.
#[derive(Debug)]
pub(crate) struct Shell {
    work: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Shell {
    /// A home of their own for both clients, below `work`; attestations are off on both sides.
    pub(crate) fn new(work: &Path, path: String) -> Result<Self, Error> {
        let home = work.join("home");
        std::fs::create_dir_all(&home).context(|| format!("cannot make {}", home.display()))?;
        let below = |name: &str| home.join(name).display().to_string();
        let environment = vec![
            ("PATH", path),
            ("HOME", home.display().to_string()),
            ("TMPDIR", work.display().to_string()),
            ("BUILDX_CONFIG", below("buildx")),
            ("DOCKER_CONFIG", below("docker")),
            ("BUILDX_NO_DEFAULT_ATTESTATIONS", "1".into()),
            ("BUILDX_METADATA_PROVENANCE", "disabled".into()),
        ];
        Ok(Self {
            work: work.into(),
            environment,
        })
    }

    /// Runs it and says what it took.
    pub(crate) fn measured(&self, line: &[String]) -> Result<Sample, Error> {
        let own = std::env::current_exe().context(|| "cannot find this program".to_owned())?;
        let into = self.work.join("sample.json");
        let mut words = vec![
            own.display().to_string(),
            "measure".into(),
            into.display().to_string(),
        ];
        words.extend_from_slice(line);
        self.run(&words, line)?;
        let json = std::fs::read(&into).context(|| format!("cannot read {}", into.display()))?;
        serde_json::from_slice(&json).context(|| "what a run took cannot be read".to_owned())
    }

    /// Runs it and gives its standard output.
    pub(crate) fn said(&self, line: &[String]) -> Result<String, Error> {
        self.run(line, line)?;
        let said = self.work.join("stdout");
        std::fs::read_to_string(&said).context(|| format!("cannot read {}", said.display()))
    }

    fn run(&self, words: &[String], shown: &[String]) -> Result<(), Error> {
        use std::os::unix::process::CommandExt as _;
        let file = |name: &str| {
            let path = self.work.join(name);
            File::create(&path).context(|| format!("cannot write {}", path.display()))
        };
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file("stdout")?)
            .stderr(file("stderr")?)
            // One group, so that the limit ends all of it.
            .process_group(0)
            .spawn()
            .context(|| format!("cannot run {}", words[0]))?;
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().context(|| "cannot wait".to_owned())? {
                break status;
            }
            if start.elapsed() > LIMIT {
                let _ = killpg(group, Signal::SIGKILL);
                let _ = child.wait();
                return Err(self.failed(shown, &format!("no end within {LIMIT:?}")));
            }
            thread::sleep(POLL);
        };
        match status.success() {
            true => Ok(()),
            false => Err(self.failed(shown, &how(status))),
        }
    }

    fn failed(&self, line: &[String], how: &str) -> Error {
        let read = |name| std::fs::read_to_string(self.work.join(name)).unwrap_or_default();
        Error::Command {
            line: line.join(" "),
            how: how.to_owned(),
            tail: tail(&(read("stdout") + &read("stderr"))),
        }
    }
}

fn how(status: ExitStatus) -> String {
    status.to_string()
}

fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Line {
        line.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_failure_shows_the_end_of_what_was_said() {
        let work = tempfile::tempdir().unwrap();
        let shell = Shell::new(work.path(), "/usr/bin:/bin".into()).unwrap();
        let line = words(&["sh", "-c", "seq 100; echo bad >&2; exit 7"]);
        let error = shell.said(&line).unwrap_err().to_string();
        assert!(error.contains("exit status: 7"), "{error}");
        assert!(error.ends_with("99\n100\nbad"), "{error}");
        assert!(!error.contains("\n50\n"), "{error}");
    }

    #[test]
    fn nothing_of_the_environment_is_passed_on() {
        let work = tempfile::tempdir().unwrap();
        let shell = Shell::new(work.path(), "/usr/bin:/bin".into()).unwrap();
        let said = shell.said(&words(&["env"])).unwrap();
        assert!(said.contains("BUILDX_NO_DEFAULT_ATTESTATIONS=1"), "{said}");
        assert!(!said.contains("CARGO"), "{said}");
    }
}
