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
        let mut link = Self(child);
        match said.is_empty() {
            true => Err(Error::Wrong(format!(
                "{program} does not listen: {}",
                link.end()?.lines().next().unwrap_or_default()
            ))),
            false => Ok(link),
        }
    }

    /// Ends it; gives the round trips that it counted.
    pub(crate) fn close(mut self) -> Result<Option<u32>, Error> {
        Ok(rounds(&self.end()?))
    }

    /// What it said to its standard error until it ended, by itself or by us.
    fn end(&mut self) -> Result<String, Error> {
        self.stop();
        let mut said = String::new();
        if let Some(talk) = &mut self.0.stderr {
            let read = talk.read_to_string(&mut said);
            read.context(|| "cannot read what the link says".to_owned())?;
        }
        Ok(said)
    }

    /// A signal lets it sum up and remove its socket.
    fn stop(&self) {
        if let Ok(id) = i32::try_from(self.0.id()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop();
        let _ = self.0.wait();
    }
}

/// The number before `round trips` at the end of what the link says.
fn rounds(said: &str) -> Option<u32> {
    let line = said.lines().last()?.strip_suffix(" round trips")?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_the_end() {
        let said = "unix:///x: 2 connections, 10 bytes up, 20 down, 9 round trips\n";
        assert_eq!(rounds(said), Some(9));
        assert_eq!(rounds("cannot listen\n"), None);
        assert_eq!(rounds(""), None);
    }
}
