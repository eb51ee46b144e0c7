//! One build that a daemon has on record: [`BuildRecord`].
//!
//! As the daemon tells it, decoded; what its name and its platform are is for who shows it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mbuild_proto::{control, rpc};

use super::super::solve::ExporterSpec;
use crate::attrs::secret::hide_imports;

/// One build that a daemon has on record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuildRecord {
    /// Its reference, unique on the daemon.
    pub reference: String,
    /// Whether it has not ended.
    pub running: bool,
    /// The frontend.
    pub frontend: String,
    /// What the frontend was told.
    pub attrs: BTreeMap<String, String>,
    /// Where the result went.
    pub exporters: Vec<ExporterSpec>,
    /// Why it failed; `None` if it did not, or has not ended.
    pub error: Option<RecordError>,
    /// When it began, by the client's clock.
    pub created: Option<Timestamp>,
    /// When it ended, by the client's clock; `None` while it runs.
    pub completed: Option<Timestamp>,
    /// Its progress, as a blob.
    pub logs: Option<Blob>,
    /// Its trace, as a blob; comes seconds after the end.
    pub trace: Option<Blob>,
    /// Its error with all details, as a blob; since v0.15.
    pub external_error: Option<Blob>,
    /// What the frontend said of the result, by BuildKit's keys.
    pub response: BTreeMap<String, String>,
    /// The result, when it has no platform.
    pub result: Option<ResultInfo>,
    /// The results by platform.
    pub results: BTreeMap<String, ResultInfo>,
    /// Which change of the record this is.
    pub generation: i32,
    /// Whether it is kept for ever.
    pub pinned: bool,
    /// Its steps.
    pub steps: Steps,
    /// How many warnings there were.
    pub warnings: i32,
}

/// How a build on record failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordError {
    /// The gRPC code; 1 is a cancelled build's.
    pub code: i32,
    /// The message.
    pub message: String,
}

/// The steps of a build on record; all 0 while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps {
    /// How many there are.
    pub total: i32,
    /// How many came from the cache.
    pub cached: i32,
    /// How many ended; since v0.12.
    pub completed: i32,
}

/// What a build came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResultInfo {
    /// Statements about it: provenance, SBOM.
    pub attestations: Vec<Blob>,
    /// What each exporter made, by its position.
    pub results: BTreeMap<i64, Blob>,
    /// The same of the first exporter, as daemons before v0.13 have it.
    pub first: Option<Blob>,
}

/// A blob that the daemon may still have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blob {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its size in bytes.
    pub size: i64,
    /// What else is said of it.
    pub annotations: BTreeMap<String, String>,
}

impl BuildRecord {
    /// Decodes a record of a daemon whose clock is that much ahead of ours.
    pub(super) fn from_wire(wire: control::BuildHistoryRecord, skew: SignedDuration) -> Self {
        let time = |at: Option<prost_types::Timestamp>| {
            let at = at.filter(|at| at.seconds > 0)?;
            let at = Timestamp::new(at.seconds, at.nanos).ok()?;
            at.checked_sub(skew).ok()
        };
        let completed = time(wire.completed_at);
        let exporter = |exporter: control::Exporter| ExporterSpec {
            kind: exporter.r#type,
            attrs: exporter.attrs,
        };
        let results = wire.results.into_iter();
        Self {
            running: completed.is_none(),
            reference: wire.r#ref,
            frontend: wire.frontend,
            attrs: {
                let mut attrs = wire.frontend_attrs;
                hide_imports(&mut attrs);
                attrs
            },
            exporters: wire.exporters.into_iter().map(exporter).collect(),
            error: wire.error.map(RecordError::from_wire),
            created: time(wire.created_at),
            completed,
            logs: wire.logs.map(Blob::from_wire),
            trace: wire.trace.map(Blob::from_wire),
            external_error: wire.external_error.map(Blob::from_wire),
            response: wire.exporter_response,
            result: wire.result.map(ResultInfo::from_wire),
            results: results
                .map(|(platform, info)| (platform, ResultInfo::from_wire(info)))
                .collect(),
            generation: wire.generation,
            pinned: wire.pinned,
            steps: Steps {
                total: wire.num_total_steps,
                cached: wire.num_cached_steps,
                completed: wire.num_completed_steps,
            },
            warnings: wire.num_warnings,
        }
    }
}

impl RecordError {
    fn from_wire(wire: rpc::Status) -> Self {
        Self {
            code: wire.code,
            message: wire.message,
        }
    }

    /// Whether the build was stopped rather than failed.
    pub fn is_cancel(&self) -> bool {
        // Not every daemon gives the code; all have Go's text for it.
        self.code == tonic::Code::Cancelled as i32 || self.message.contains("context canceled")
    }
}

impl ResultInfo {
    fn from_wire(wire: control::BuildResultInfo) -> Self {
        let results = wire.results.into_iter();
        Self {
            attestations: wire.attestations.into_iter().map(Blob::from_wire).collect(),
            results: results
                .map(|(id, blob)| (id, Blob::from_wire(blob)))
                .collect(),
            first: wire.result_deprecated.map(Blob::from_wire),
        }
    }

    /// What the exporters made, in their order.
    pub fn made(&self) -> impl Iterator<Item = &Blob> {
        let old = self.first.iter().filter(|_| self.results.is_empty());
        self.results.values().chain(old)
    }
}

impl Blob {
    fn from_wire(wire: control::Descriptor) -> Self {
        Self {
            media_type: wire.media_type,
            digest: wire.digest,
            size: wire.size,
            annotations: wire.annotations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn a_daemons_clock_is_set_right() {
        let wire = control::BuildHistoryRecord {
            created_at: at(1_700_000_100),
            completed_at: at(1_700_000_160),
            ..Default::default()
        };
        let record = BuildRecord::from_wire(wire, SignedDuration::from_secs(100));
        assert_eq!(record.created, Timestamp::from_second(1_700_000_000).ok());
        assert_eq!(record.completed, Timestamp::from_second(1_700_000_060).ok());
        assert!(!record.running);
    }

    #[test]
    fn what_has_no_end_runs() {
        let wire = control::BuildHistoryRecord {
            created_at: at(1_700_000_100),
            completed_at: at(-62_135_596_800),
            ..Default::default()
        };
        assert!(BuildRecord::from_wire(wire, SignedDuration::ZERO).running);
    }

    #[test]
    fn a_build_that_was_stopped_did_not_fail() {
        let check = |code, message: &str, expect| {
            let message = message.to_owned();
            assert_eq!(RecordError { code, message }.is_cancel(), expect);
        };
        check(1, "stopped", true);
        check(2, "failed to solve: Canceled: context canceled", true);
        check(2, "exit code: 1", false);
    }
}
