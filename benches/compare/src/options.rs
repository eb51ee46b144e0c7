//! What `benches/run` passes on: the words it was given, and what it found or built.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::Error;
use crate::row::Row;
use crate::rows::{ROWS, find};

/// Fewer pairs tell nothing on a machine that does other things too.
const PAIRS: usize = 5;

pub(crate) const USAGE: &str = "\
usage: benches/run [--pairs N] [--row NAME]... [--small] [--set NAME] [--page]

  --pairs N    how often each client runs in each row; 5 unless given
  --row NAME   only this row, repeatable; the others stay on the page as they were
  --small      a tenth of the sizes and one pair, to try it; the page stays as it is
  --set NAME   what the page calls the daemons; `engine`, or `buildkitd` with MBUILD_BENCH_ENDPOINTS
  --page       writes the page again from what was measured, and measures nothing";

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) pairs: usize,
    pub(crate) rows: Vec<&'static Row>,
    pub(crate) small: bool,
    pub(crate) set: Option<String>,
    pub(crate) only_page: bool,
}

impl Options {
    /// Reads the words of a command line.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Error> {
        let (mut pairs, mut rows) = (None, Vec::new());
        let (mut small, mut set, mut only_page) = (false, None, false);
        while let Some(word) = words.next() {
            let mut value = || {
                let missing = || Error::Wrong(format!("{word} needs a value\n\n{USAGE}"));
                words.next().ok_or_else(missing)
            };
            match word.as_str() {
                "--pairs" => pairs = Some(number(&value()?)?),
                "--row" => rows.push(row(&value()?)?),
                "--small" => small = true,
                "--set" => set = Some(value()?),
                "--page" => only_page = true,
                _ => return Err(Error::Wrong(format!("unknown word `{word}`\n\n{USAGE}"))),
            }
        }
        if rows.is_empty() {
            rows = ROWS.iter().collect();
        }
        Ok(Self {
            pairs: pairs.unwrap_or(if small { 1 } else { PAIRS }),
            rows,
            small,
            set,
            only_page,
        })
    }
}

/// What is around the runner: variables that the script has set.
#[derive(Debug)]
pub(crate) struct Surroundings(BTreeMap<String, String>);

impl Surroundings {
    pub(crate) fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        Self(variables.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// A variable that may be missing or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A variable without which nothing can be measured.
    pub(crate) fn need(&self, name: &str) -> Result<String, Error> {
        let missing = || Error::Wrong(format!("{name} is not set; benches/run sets it"));
        self.get(name).map(str::to_owned).ok_or_else(missing)
    }

    /// A program: by this variable, or on `PATH`.
    pub(crate) fn program(&self, variable: &str, name: &str) -> Option<String> {
        let given = self.get(variable).map(str::to_owned);
        given.or_else(|| {
            let folders = self.get("PATH")?.split(':');
            let mut paths = folders.map(|folder| PathBuf::from(folder).join(name));
            Some(paths.find(|path| path.is_file())?.display().to_string())
        })
    }

    /// The two daemons.
    pub(crate) fn daemons(&self) -> Result<[String; 2], Error> {
        let Some(given) = self.get("MBUILD_BENCH_ENDPOINTS") else {
            let ours = ["MBUILD_TEST_AMD64", "MBUILD_TEST_ARM64"];
            return Ok([self.need(ours[0])?, self.need(ours[1])?]);
        };
        let list: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
        let wrong = |list: Vec<String>| {
            let count = list.len();
            Error::Wrong(format!(
                "MBUILD_BENCH_ENDPOINTS has {count} endpoints, not 2"
            ))
        };
        list.try_into().map_err(wrong)
    }

    /// The topmost processes of the daemons; none when they are not known.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let names: &[&str] = match self.get("MBUILD_BENCH_ENDPOINTS") {
            Some(_) => &["MBUILD_BENCH_PIDS"],
            None => &["MBUILD_TEST_PID_AMD64", "MBUILD_TEST_PID_ARM64"],
        };
        let words = names
            .iter()
            .filter_map(|name| self.get(name))
            .flat_map(str::split_whitespace);
        words.filter_map(|word| word.parse().ok()).collect()
    }
}

fn number(text: &str) -> Result<usize, Error> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Error::Wrong(format!("--pairs: `{text}` is no number of pairs")))
}

fn row(name: &str) -> Result<&'static Row, Error> {
    find(name).ok_or_else(|| {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        Error::Wrong(format!("no row `{name}`; there are {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Error> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn everything_five_times_unless_told() {
        let options = parse("").unwrap();
        assert_eq!((options.pairs, options.rows.len()), (5, ROWS.len()));
        let options = parse("--small --row cached --row version").unwrap();
        let names: Vec<_> = options.rows.iter().map(|row| row.name).collect();
        assert_eq!((options.pairs, names), (1, vec!["cached", "version"]));
        assert_eq!(parse("--small --pairs 3").unwrap().pairs, 3);
    }

    #[test]
    fn bad_words_are_named() {
        for (line, expect) in [
            ("--pairs", "--pairs needs a value"),
            ("--pairs 0", "`0`"),
            ("--row none", "no row `none`; there are version, cached"),
            ("fast", "unknown word `fast`"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn daemons_come_from_outside_or_from_the_environment() {
        let around = |pairs: &[(&str, &str)]| {
            let own = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
            Surroundings::new(pairs.iter().map(own))
        };
        let ours = [
            ("MBUILD_TEST_AMD64", "docker+unix:///a"),
            ("MBUILD_TEST_ARM64", "docker+unix:///b"),
            ("MBUILD_TEST_PID_AMD64", "7"),
        ];
        let found = around(&ours);
        assert_eq!(found.daemons().unwrap()[1], "docker+unix:///b");
        assert_eq!(found.processes(), [7]);
        let given = ("MBUILD_BENCH_ENDPOINTS", "unix:///x tcp://y:1");
        let found = around(&[ours[0], ours[2], given]);
        assert_eq!(found.daemons().unwrap(), ["unix:///x", "tcp://y:1"]);
        assert!(found.processes().is_empty());
        let one = around(&[("MBUILD_BENCH_ENDPOINTS", "unix:///x")]);
        assert!(
            one.daemons()
                .unwrap_err()
                .to_string()
                .contains("1 endpoints")
        );
    }
}
