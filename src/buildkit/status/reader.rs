//! Messages of the status stream as events: [`Reader`].
//!
//! Sets the daemon's clock right, says a warning once, and bears text that is no UTF-8.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};
use mbuild_proto::control::{self, StatusResponse};
use tonic::metadata::MetadataMap;

use crate::event::{
    ProgressGroup, SourceExcerpt, StatusUpdate, Vertex, VertexLog, VertexStatus, VertexWarning,
};

/// The daemon's clock at the stream's beginning; since v0.12.
const CLOCK: &str = "buildkit-current-timestamp";
/// Clocks that differ less than this are taken for equal: the header travels too.
const MIN_SKEW: SignedDuration = SignedDuration::from_millis(500);

/// How far the daemon's clock is ahead of ours.
pub(in crate::buildkit) fn skew(headers: &MetadataMap, now: Timestamp) -> SignedDuration {
    let clock = headers.get(CLOCK).and_then(|value| value.to_str().ok());
    match clock.and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(clock) => {
            let skew = clock.duration_since(now);
            if skew.abs() < MIN_SKEW {
                SignedDuration::ZERO
            } else {
                skew
            }
        }
        None => SignedDuration::ZERO,
    }
}

/// Turns messages into events.
pub(super) struct Reader {
    skew: SignedDuration,
    /// Warnings that were reported: a daemon that splits a batch repeats them in each part.
    warned: HashSet<u64>,
}

impl Reader {
    pub(super) fn new(skew: SignedDuration) -> Self {
        Self {
            skew,
            warned: HashSet::new(),
        }
    }

    pub(super) fn update(&mut self, message: StatusResponse) -> StatusUpdate {
        let fresh = |warning: &VertexWarning| {
            let mut hasher = DefaultHasher::new();
            let source = warning.source.as_ref();
            let place = source.map(|source| (&source.filename, &source.lines));
            (&warning.vertex, &warning.short, place).hash(&mut hasher);
            self.warned.insert(hasher.finish())
        };
        let warnings = message
            .warnings
            .into_iter()
            .map(warning)
            .filter(fresh)
            .collect();
        StatusUpdate {
            vertexes: message
                .vertexes
                .into_iter()
                .map(|wire| self.vertex(wire))
                .collect(),
            statuses: message
                .statuses
                .into_iter()
                .map(|wire| self.status(wire))
                .collect(),
            logs: message
                .logs
                .into_iter()
                .map(|wire| self.log(wire))
                .collect(),
            warnings,
        }
    }

    /// Go's unset time is in the year 1, so anything before 1970 is none.
    fn time(&self, wire: Option<prost_types::Timestamp>) -> Option<Timestamp> {
        let wire = wire.filter(|wire| wire.seconds > 0)?;
        let time = Timestamp::new(wire.seconds, wire.nanos).ok()?;
        time.checked_sub(self.skew).ok()
    }

    fn vertex(&self, wire: control::Vertex) -> Vertex {
        Vertex {
            digest: wire.digest,
            inputs: wire.inputs,
            name: text(&wire.name),
            cached: wire.cached,
            started: self.time(wire.started),
            completed: self.time(wire.completed),
            error: text(&wire.error),
            group: wire.progress_group.map(|group| ProgressGroup {
                id: group.id,
                name: group.name,
                weak: group.weak,
            }),
        }
    }

    fn status(&self, wire: control::VertexStatus) -> VertexStatus {
        VertexStatus {
            id: text(&wire.id),
            vertex: wire.vertex,
            name: text(&wire.name),
            current: wire.current,
            total: wire.total,
            timestamp: self.time(wire.timestamp),
            started: self.time(wire.started),
            completed: self.time(wire.completed),
        }
    }

    fn log(&self, wire: control::VertexLog) -> VertexLog {
        VertexLog {
            vertex: wire.vertex,
            timestamp: self.time(wire.timestamp),
            stream: wire.stream,
            data: wire.msg,
        }
    }
}

fn warning(wire: control::VertexWarning) -> VertexWarning {
    let position = |at: &Option<mbuild_proto::pb::Position>| {
        at.as_ref()
            .and_then(|at| u32::try_from(at.line).ok())
            .unwrap_or(0)
    };
    let lines = wire
        .ranges
        .iter()
        .map(|range| (position(&range.start), position(&range.end)));
    let lines: Vec<_> = lines
        .filter(|(start, _)| *start > 0)
        .map(|(start, end)| (start, end.max(start)))
        .collect();
    VertexWarning {
        vertex: wire.vertex,
        level: wire.level,
        short: text(&wire.short),
        detail: wire.detail.iter().map(|line| text(line)).collect(),
        url: wire.url,
        source: wire.info.map(|info| SourceExcerpt {
            filename: info.filename,
            language: info.language,
            data: info.data,
            lines,
        }),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 5 })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::new(seconds, 5).unwrap()
    }

    #[test]
    fn the_year_one_is_no_time() {
        let reader = Reader::new(SignedDuration::ZERO);
        assert_eq!(reader.time(time(-62_135_596_800)), None);
        assert_eq!(reader.time(None), None);
        assert_eq!(reader.time(time(1_700_000_000)), Some(at(1_700_000_000)));
    }

    #[test]
    fn a_daemon_whose_clock_is_ahead_is_set_back() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut headers = MetadataMap::new();
        headers.insert(CLOCK, "2026-01-01T01:00:00.25Z".parse().unwrap());
        let skew = skew(&headers, now);
        assert_eq!(skew, SignedDuration::from_millis(3_600_250));
        let reader = Reader::new(SignedDuration::from_secs(3600));
        assert_eq!(reader.time(time(1_700_003_600)), Some(at(1_700_000_000)));
    }

    #[test]
    fn clocks_that_nearly_agree_are_equal() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut headers = MetadataMap::new();
        assert_eq!(skew(&headers, now), SignedDuration::ZERO);
        headers.insert(CLOCK, "2025-12-31T23:59:59.9Z".parse().unwrap());
        assert_eq!(skew(&headers, now), SignedDuration::ZERO);
        headers.insert(CLOCK, "yesterday".parse().unwrap());
        assert_eq!(skew(&headers, now), SignedDuration::ZERO);
    }

    #[test]
    fn a_repeated_warning_is_reported_once() {
        let warning = control::VertexWarning {
            vertex: "v".into(),
            short: "Casing: x (line 1)".into(),
            ..Default::default()
        };
        let other = control::VertexWarning {
            short: "Casing: y (line 2)".into(),
            ..warning.clone()
        };
        let mut reader = Reader::new(SignedDuration::ZERO);
        let mut count = |warnings: &[&control::VertexWarning]| {
            let warnings = warnings.iter().map(|warning| (*warning).clone()).collect();
            let message = StatusResponse {
                warnings,
                ..StatusResponse::default()
            };
            reader.update(message).warnings.len()
        };
        assert_eq!(count(&[&warning, &other]), 2);
        assert_eq!(count(&[&warning, &other]), 0);
    }

    #[test]
    fn text_that_is_no_utf8_is_shown_as_far_as_it_goes() {
        let reader = Reader::new(SignedDuration::ZERO);
        let vertex = reader.vertex(control::Vertex {
            name: b"RUN \xff".as_slice().into(),
            ..control::Vertex::default()
        });
        assert_eq!(vertex.name, "RUN \u{fffd}");
    }
}
