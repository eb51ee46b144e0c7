//! Measures rows: [`Bench`] lets the clients take turns and keeps what each run took.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::clients::Clients;
use crate::command::Shell;
use crate::daemons::Daemons;
use crate::data::Contexts;
use crate::error::{Context as _, Error};
use crate::farm::Farm;
use crate::link::Link;
use crate::measure::Sample;
use crate::record::{Measured, Run};
use crate::row::{Client, Nodes, Row, To, Who, Work};
use crate::solve;

/// A daemon puts a build on record shortly after its client has ended: so often it is asked, …
const ASKED: usize = 20;
/// … and so long is waited between.
const BETWEEN: Duration = Duration::from_millis(250);

/// Everything that runs need.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) shell: Shell,
    pub(crate) clients: Clients,
    pub(crate) contexts: Contexts,
    pub(crate) farm: Farm,
    pub(crate) daemons: Daemons,
    /// The program of the slow link.
    pub(crate) relay: Option<String>,
}

impl Bench {
    /// Measures a row, each client `pairs` times.
    pub(crate) fn row(&self, row: &Row, pairs: usize) -> Result<Measured, Error> {
        if row.is_far() && self.relay.is_none() {
            let reason = format!("{}: there is no relay to be the link", row.name);
            return Err(Error::Wrong(reason));
        }
        let mut who: Vec<Option<Who>> = row
            .who
            .iter()
            .copied()
            .filter(|who| self.clients.has(who.client))
            .map(Some)
            .collect();
        let mut runs: Vec<Run> = who
            .iter()
            .flatten()
            .map(|who| Run {
                who: who.name.to_owned(),
                samples: Vec::new(),
            })
            .collect();
        let (rounds, warm) = row.rounds(pairs);
        if warm {
            // So that every run finds the daemons as the others did.
            for one in &mut who {
                self.turn(row, one)?;
            }
        }
        for at in turns(who.len(), rounds) {
            runs[at].samples.extend(self.turn(row, &mut who[at])?);
            say(".")?;
        }
        runs.retain(|run| !run.samples.is_empty());
        Ok(Measured {
            files: self.files(row),
            runs,
            ..Measured::default()
        })
    }

    /// One run of a client. Another one than mbuild that fails, or does not end, is out of the row.
    fn turn(&self, row: &Row, who: &mut Option<Who>) -> Result<Option<Sample>, Error> {
        let Some(one) = *who else { return Ok(None) };
        match self.once(row, one) {
            Err(error @ Error::Command { .. }) if one.client != Client::Mbuild => {
                *who = None;
                say(&format!("\n{} is left out: {}\n", one.name, error.chain()))?;
                Ok(None)
            }
            taken => taken.map(Some),
        }
    }

    fn once(&self, row: &Row, who: Who) -> Result<Sample, Error> {
        let Work::Build(context, change, to) = row.work else {
            let line = self.clients.version(who.client).unwrap_or_default();
            return self.shell.measured(&line);
        };
        let directory = self.contexts.directory(context)?;
        self.contexts.change(context, change)?;
        clear(&self.clients.out)?;
        let line = self.clients.build(who, &directory, to, &self.farm);
        let mut line = line.unwrap_or_default();
        if row.asks_for_solve() {
            let metadata = self.clients.metadata.display().to_string();
            line.extend(["--metadata-file".into(), metadata]);
        }
        let link = match (&self.relay, who.on) {
            (Some(relay), Nodes::Far) => {
                let to = &self.farm.endpoints(Nodes::One)[0];
                Some(Link::open(relay, &self.farm.link, to)?)
            }
            _ => None,
        };
        self.farm.flow.clear();
        // What the run before left to be written must not be this one's to wait for.
        nix::unistd::sync();
        let before = self.daemons.seconds();
        let mut sample = self.shell.measured(&line)?;
        sample.daemons = before.and_then(|before| Some(rounded(self.daemons.seconds()? - before)));
        if let Some(link) = link {
            sample.rate = self.farm.flow.rate().map(f64::round);
            sample.rounds = link.close()?;
        }
        if row.asks_for_solve() && who.client == Client::Mbuild {
            sample.solve = self.slowest_solve(who)?;
        }
        clear(&self.clients.out)?;
        Ok(sample)
    }

    fn slowest_solve(&self, who: Who) -> Result<Option<f64>, Error> {
        let path = &self.clients.metadata;
        let text = std::fs::read(path).context(|| format!("cannot read {}", path.display()))?;
        let json = |text: &[u8]| {
            serde_json::from_slice(text).context(|| "what mbuild says is no JSON".to_owned())
        };
        let metadata = json(&text)?;
        let Some(reference) = solve::reference(&metadata) else {
            return Ok(None);
        };
        let line = self.clients.history(who.on.builder(), reference);
        for _ in 0..ASKED {
            let history = json(self.shell.said(&line)?.as_bytes())?;
            if let Some(slowest) = solve::slowest(&metadata, &history) {
                return Ok(Some(rounded(slowest)));
            }
            thread::sleep(BETWEEN);
        }
        Ok(None)
    }

    /// How many files a client sends or receives in one run.
    fn files(&self, row: &Row) -> usize {
        let Work::Build(context, _, to) = row.work else {
            return 0;
        };
        let files = self.contexts.sizes.files_of(context);
        match to {
            To::Directory => files * row.who[0].on.platforms().len(),
            To::Cache | To::Registry => files,
        }
    }
}

/// Whose turn it is: to and fro, so that what drifts meets all alike.
fn turns(count: usize, rounds: usize) -> Vec<usize> {
    let round = |at| -> Box<dyn Iterator<Item = usize>> {
        match at % 2 {
            0 => Box::new(0..count),
            _ => Box::new((0..count).rev()),
        }
    };
    (0..rounds).flat_map(round).collect()
}

fn clear(directory: &PathBuf) -> Result<(), Error> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// To microseconds, beyond which no clock here goes.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// Shows how a row goes on, which takes minutes.
fn say(text: &str) -> Result<(), Error> {
    let mut talk = io::stderr().lock();
    let said = talk.write_all(text.as_bytes()).and_then(|()| talk.flush());
    said.context(|| "cannot write to the standard error".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_to_and_fro() {
        assert_eq!(turns(2, 3), [0, 1, 1, 0, 0, 1]);
        assert_eq!(turns(3, 2), [0, 1, 2, 2, 1, 0]);
        assert!(turns(0, 5).is_empty());
    }
}
