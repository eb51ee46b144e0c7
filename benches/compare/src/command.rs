//! Runs the commands that are measured, in a clean environment.
//!
//! A command that fails becomes an error with the end of what it said.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Context as _, Error};
use crate::measure::Sample;

/// How many lines of a failed command are shown.
const TAIL: usize = 15;

/// A program and its words.
pub(crate) type Line = Vec<String>;

/// Where commands run, and what they find in their environment.
#[derive(Debug)]
pub(crate) struct Shell {
    work: PathBuf,
    /// What comes before the file that takes the sample, and the measured line.
    measure: Line,
    environment: Vec<(&'static str, String)>,
}

impl Shell {
    /// A home of their own for both clients, below `work`; attestations are off on both sides.
    pub(crate) fn new(work: &Path, measure: Line, path: String) -> Result<Self, Error> {
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
            measure,
            environment,
        })
    }

    /// Runs it and says what it took.
    pub(crate) fn measured(&self, line: &[String]) -> Result<Sample, Error> {
        let into = self.work.join("sample.json");
        self.run(line, &into)?;
        let json = std::fs::read(&into).context(|| format!("cannot read {}", into.display()))?;
        serde_json::from_slice(&json).context(|| "what a run took cannot be read".to_owned())
    }

    /// Runs it and gives its standard output.
    pub(crate) fn said(&self, line: &[String]) -> Result<String, Error> {
        self.run(line, Path::new("/dev/null"))?;
        let said = self.work.join("stdout");
        std::fs::read_to_string(&said).context(|| format!("cannot read {}", said.display()))
    }

    /// The second mode of this program runs it, which ends it at the limit too.
    fn run(&self, line: &[String], into: &Path) -> Result<(), Error> {
        let file = |name: &str| {
            let path = self.work.join(name);
            File::create(&path).context(|| format!("cannot write {}", path.display()))
        };
        let status = Command::new(&self.measure[0])
            .args(&self.measure[1..])
            .arg(into)
            .args(line)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file("stdout")?)
            .stderr(file("stderr")?)
            .status()
            .context(|| format!("cannot run {}", self.measure[0]))?;
        match status.success() {
            true => Ok(()),
            false => Err(self.failed(line, &status.to_string())),
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

    /// With a program in the place of the measuring one that only runs.
    fn shell(work: &Path) -> Shell {
        let runs = words(&["sh", "-c", "shift; exec \"$@\"", "sh"]);
        Shell::new(work, runs, "/usr/bin:/bin".into()).unwrap()
    }

    #[test]
    fn a_failure_shows_the_end_of_what_was_said() {
        let work = tempfile::tempdir().unwrap();
        let shell = shell(work.path());
        let line = words(&["sh", "-c", "seq 100; echo bad >&2; exit 7"]);
        let error = shell.said(&line).unwrap_err().to_string();
        assert!(error.contains("exit status: 7"), "{error}");
        assert!(error.ends_with("99\n100\nbad"), "{error}");
        assert!(!error.contains("\n50\n"), "{error}");
    }

    #[test]
    fn nothing_of_the_environment_is_passed_on() {
        let work = tempfile::tempdir().unwrap();
        let shell = shell(work.path());
        let said = shell.said(&words(&["env"])).unwrap();
        assert!(said.contains("BUILDX_NO_DEFAULT_ATTESTATIONS=1"), "{said}");
        assert!(!said.contains("CARGO"), "{said}");
    }
}
