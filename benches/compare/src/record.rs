//! What was measured, as it is kept beside the page: every run of every row, as JSON.
//!
//! So rows can be measured again one by one, and the page be made without measuring.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error};
use crate::machine::Machine;
use crate::measure::Sample;

/// The form of the file; one of another version is not read.
const VERSION: u32 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// By the name of the daemons that were measured, e.g. `engine`.
    pub(crate) sets: BTreeMap<String, Set>,
}

/// What was measured on the same daemons.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Set {
    /// As it was at the last run.
    pub(crate) machine: Machine,
    /// By the name of the row.
    pub(crate) rows: BTreeMap<String, Measured>,
}

/// One row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The commit that mbuild was built from.
    pub(crate) commit: String,
    /// The day, as `2026-01-31`.
    pub(crate) date: String,
    /// How many files were sent or came back.
    pub(crate) files: usize,
    pub(crate) runs: Vec<Run>,
}

/// All runs of one client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) who: String,
    pub(crate) samples: Vec<Sample>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            version: VERSION,
            sets: BTreeMap::new(),
        }
    }
}

impl Record {
    /// Reads what is kept; nothing is kept in a file that is not there.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let shown = path.display();
        match std::fs::read(path) {
            Ok(json) => {
                let record: Self =
                    serde_json::from_slice(&json).context(|| format!("cannot read {shown}"))?;
                match record.version {
                    VERSION => Ok(record),
                    other => Err(Error::Wrong(format!("{shown} has version {other}"))),
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context(|| format!("cannot read {shown}")),
        }
    }

    /// Keeps it.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let shown = path.display();
        let json = serde_json::to_string(self).context(|| format!("cannot write {shown}"))?;
        // A line for each run, so that a diff shows what was measured again.
        let json = json
            .replace("{\"who\":", "\n{\"who\":")
            .replace("{\"wall\":", "\n {\"wall\":");
        std::fs::write(path, json + "\n").context(|| format!("cannot write {shown}"))
    }
}

impl Measured {
    /// The runs of one client; `None` when it did not run.
    pub(crate) fn samples(&self, who: &str) -> Option<&[Sample]> {
        let run = self.runs.iter().find(|run| run.who == who)?;
        (!run.samples.is_empty()).then_some(&run.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        assert_eq!(Record::read(&path).unwrap(), Record::default());
        let mut record = Record::default();
        let set = record.sets.entry("engine".into()).or_default();
        let run = Run {
            who: "mbuild".into(),
            samples: vec![Sample {
                wall: 0.25,
                ..Sample::default()
            }],
        };
        let measured = Measured {
            runs: vec![run],
            ..Measured::default()
        };
        set.rows.insert("cached".into(), measured);
        record.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(Record::read(&path).unwrap(), record);
    }

    #[test]
    fn another_form_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        std::fs::write(&path, r#"{"version":2,"sets":{}}"#).unwrap();
        let error = Record::read(&path).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }
}
