//! The slow link: [`Link`] is a relay in a process of its own, for one run.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Context as _, Error};

/// A running relay; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Link(Child);

impl Link {
    /// Leads from a socket that it makes to an endpoint; returns when it listens.
    pub(crate) fn open(program: &str, listen: &Path, to: &str) -> Result<Self, Error> {
        let mut child = Command::new(program)
            .args(["--listen", &format!("unix://{}", listen.display())])
            .args(["--to", to, "--rate", "1Gbit", "--rtt", "50ms"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context(|| format!("cannot run {program}"))?;
        let mut said = String::new();
        if let Some(out) = child.stdout.take() {
            // It says where it listens as soon as it does, or ends.
            let read = BufReader::new(out).read_line(&mut said);
            read.context(|| format!("cannot read what {program} says"))?;
        }
        match said.is_empty() {
            true => Err(Error::Wrong(format!(
                "{program} does not listen: {}",
                last(&mut child)
            ))),
            false => Ok(Self(child)),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A signal lets it remove its socket.
        if let Ok(id) = i32::try_from(self.0.id()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        let _ = self.0.wait();
    }
}

fn last(child: &mut Child) -> String {
    let mut said = String::new();
    if let Some(out) = &mut child.stderr {
        let _ = out.read_to_string(&mut said);
    }
    let _ = child.wait();
    said.lines().next().unwrap_or_default().to_owned()
}
