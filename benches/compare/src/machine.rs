//! The machine and the programs that were measured, as the page tells them.

use std::fs;
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};

use crate::clients::Clients;
use crate::command::Shell;
use crate::row::Client;

/// What a result depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    /// Of the last minute, when the run began.
    pub(crate) load: String,
    /// What each client and daemon says of itself.
    pub(crate) versions: Vec<String>,
}

impl Machine {
    /// Looks, and asks the programs; `daemons` is what is known of them beside their versions.
    pub(crate) fn look(clients: &Clients, shell: &Shell, daemons: &str) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let mut versions: Vec<String> = [Client::Mbuild, Client::Buildx, Client::Buildctl]
            .into_iter()
            .filter_map(|client| shell.said(&clients.version(client)?).ok())
            .filter_map(|said| Some(said.lines().next()?.trim().to_owned()))
            .collect();
        let said = shell.said(&clients.nodes()).unwrap_or_default();
        versions.push(format!("{daemons}: BuildKit {}", buildkits(&said)));
        Self {
            cores: available_parallelism().map_or(0, usize::from),
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            memory_gib: memory(&read("/proc/meminfo")),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: first(&read("/proc/loadavg")),
            versions,
        }
    }

    /// As a list of Markdown.
    pub(crate) fn list(&self) -> String {
        let (cores, processor, memory) = (self.cores, &self.processor, self.memory_gib);
        let mut text = format!(
            "- {cores} cores ({processor}), {memory} GiB, Linux {}, load {} at the start\n",
            self.kernel, self.load
        );
        for version in &self.versions {
            text += &format!("- {version}\n");
        }
        text
    }
}

/// The versions in what `builder inspect` says, each once.
fn buildkits(said: &str) -> String {
    let mut found: Vec<&str> = said
        .lines()
        .filter_map(|line| Some(line.strip_prefix("BuildKit version:")?.trim()))
        .collect();
    found.dedup();
    found.join(", ")
}

/// The value of the first `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let value = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)?;
    Some(value.1.trim().to_owned())
}

fn memory(text: &str) -> u64 {
    let kib = field(text, "MemTotal").map(|value| first(&value));
    let kib: u64 = kib.and_then(|kib| kib.parse().ok()).unwrap_or_default();
    (kib + (1 << 19)) >> 20
}

fn first(text: &str) -> String {
    text.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(field(text, "model name").unwrap(), "Some CPU @ 2 GHz");
        assert_eq!(field(text, "none"), None);
        assert_eq!(memory("MemTotal:       24737392 kB\nMemFree: 1 kB\n"), 24);
        assert_eq!(first("1.50 1.2 0.9 1/2 3"), "1.50");
    }

    #[test]
    fn equal_daemons_are_told_once() {
        let said = "Name: x\nBuildKit version: v0.25\nName: y\nBuildKit version: v0.25\n";
        assert_eq!(buildkits(said), "v0.25");
    }
}
