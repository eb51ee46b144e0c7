//! What one process took: its time, its processors' time and its memory.
//!
//! [`child`] is the whole of the runner's second mode, in a process of its own that has one child:
//! the kernel adds up what children used, and keeps the largest memory of any of them.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error};

/// The slowest row of the slowest client takes a minute or two; some builds of buildx never end.
const LIMIT: Duration = Duration::from_mins(4);

/// What one run took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of all processors, in user and in kernel mode, children included.
    pub(crate) cpu: f64,
    /// The most memory that it had at once, in KiB; of several processes the largest one's.
    pub(crate) rss: u64,
    /// Processor seconds of the daemons meanwhile; `None` where their processes are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) daemons: Option<f64>,
    /// Seconds of the slowest node's Solve, where the row asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) solve: Option<f64>,
    /// Bytes a second after ramp-up, on rows over a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    /// Round trips over the link, as the link counts them by cause: no wait adds any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rounds: Option<u32>,
}

/// Runs one command and writes its [`Sample`] as JSON; ends with the command's code.
pub(crate) fn child(into: &Path, program: &str, words: &[String]) -> Result<ExitCode, Error> {
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(words)
        .spawn()
        .context(|| format!("cannot run {program}"))?;
    end_at_limit(child.id());
    let status = child.wait().context(|| "cannot wait".to_owned())?;
    let wall = (start.elapsed().as_secs_f64() * 1e6).round() / 1e6;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_err(std::io::Error::from)
        .context(|| "cannot ask for the usage of children".to_owned())?;
    let sample = Sample {
        wall,
        cpu: seconds(usage.user_time()) + seconds(usage.system_time()),
        rss: u64::try_from(usage.max_rss()).unwrap_or_default(),
        ..Sample::default()
    };
    let json = serde_json::to_vec(&sample).context(|| "cannot write JSON".to_owned())?;
    std::fs::write(into, json).context(|| format!("cannot write {}", into.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Ends a process that takes too long; not one that has ended, since this one ends with it.
fn end_at_limit(id: u32) {
    if let Ok(id) = i32::try_from(id) {
        thread::spawn(move || {
            thread::sleep(LIMIT);
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        });
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a benchmark")]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grandchildren_count() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("sample");
        let burn = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done";
        let words = ["-c".to_owned(), format!("sh -c '{burn}'; exit 3")];
        child(&into, "sh", &words).unwrap();
        let sample: Sample = serde_json::from_slice(&std::fs::read(&into).unwrap()).unwrap();
        assert!(sample.cpu > 0.005, "{sample:?}");
        assert!(sample.wall >= sample.cpu * 0.5, "{sample:?}");
        assert!(sample.rss > 100, "{sample:?}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = child(&folder.path().join("sample"), "/no/such", &[]).unwrap_err();
        assert!(error.to_string().contains("/no/such"), "{error}");
    }
}
