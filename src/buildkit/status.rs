//! What a build does while it runs: the status stream, as events.
//!
//! Reads as fast as the daemon sends and hands on at once; who displays must not make it
//! wait. The rule for the stream's end lives here.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mbuild_proto::control::{self, StatusRequest, StatusResponse};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use super::connection::Connection;
use crate::event::{
    ProgressGroup, SourceExcerpt, StatusUpdate, Vertex, VertexLog, VertexStatus, VertexWarning,
};

/// How long the daemon may be silent once the build is over. It ends the stream itself; this
/// is for one that does not.
const END_GRACE: Duration = Duration::from_secs(5);
/// The same for a build of which nothing was ever heard: it failed before it became a job,
/// and the daemon would wait 6 s for it to become one.
const UNBORN_GRACE: Duration = Duration::from_secs(1);
/// The daemon's clock at the stream's beginning; since v0.12.
const CLOCK: &str = "buildkit-current-timestamp";
/// Clocks that differ less than this are taken for equal: the header travels too.
const MIN_SKEW: SignedDuration = SignedDuration::from_millis(500);

/// Why a build could not be followed to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// The connection broke.
    #[error("lost the daemon at {endpoint}: {reason}")]
    Lost {
        /// Where to.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// The daemon knows no such build, or ended the stream with an error.
    #[error("{endpoint} does not report progress: {reason}")]
    Refused {
        /// Where to.
        endpoint: String,
        /// What it answered.
        reason: String,
    },
}

impl Connection {
    /// Reports what the build called `reference` does, until the daemon has no more to say.
    ///
    /// `report` is called for each batch and must return at once. `solved` is cancelled by
    /// the caller when the build's own call has returned; from then on the daemon may be
    /// silent for 5 s at most. Ends on its own in any case.
    ///
    /// # Errors
    ///
    /// When the stream breaks. If the build failed, its own error is the one that counts.
    pub async fn follow(
        &self,
        reference: &str,
        solved: CancellationToken,
        report: impl FnMut(StatusUpdate) + Send,
    ) -> Result<(), FollowError> {
        let endpoint = self.endpoint().to_owned();
        self.follow_stream(reference, solved, report)
            .await
            .map_err(|status| match self.loss(&status) {
                Some(reason) => FollowError::Lost { endpoint, reason },
                None => FollowError::Refused {
                    endpoint,
                    reason: status.message().to_owned(),
                },
            })
    }

    async fn follow_stream(
        &self,
        reference: &str,
        solved: CancellationToken,
        mut report: impl FnMut(StatusUpdate) + Send,
    ) -> Result<(), Status> {
        let mut client = self.control();
        let request = StatusRequest {
            r#ref: reference.to_owned(),
        };
        let Some(response) = until(&solved, UNBORN_GRACE, client.status(request)).await else {
            return Ok(());
        };
        let (headers, mut stream, _) = response?.into_parts();
        let mut reader = Reader::new(skew(&headers, Timestamp::now()));
        let mut grace = UNBORN_GRACE;
        while let Some(next) = until(&solved, grace, next(&mut stream)).await {
            match next? {
                Some(message) => report(reader.update(message)),
                None => break,
            }
            grace = END_GRACE;
        }
        Ok(())
    }
}

async fn next(stream: &mut Streaming<StatusResponse>) -> Result<Option<StatusResponse>, Status> {
    stream.message().await
}

/// Waits without a limit until `solved`, and for `grace` after that; `None` is too late.
async fn until<T>(
    solved: &CancellationToken,
    grace: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let late = async {
        solved.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        biased;
        outcome = work => Some(outcome),
        () = late => None,
    }
}

/// How far the daemon's clock is ahead of ours.
fn skew(headers: &MetadataMap, now: Timestamp) -> SignedDuration {
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
struct Reader {
    skew: SignedDuration,
    /// Warnings that were reported: a daemon that splits a batch repeats them in each part.
    warned: HashSet<u64>,
}

impl Reader {
    fn new(skew: SignedDuration) -> Self {
        Self {
            skew,
            warned: HashSet::new(),
        }
    }

    fn update(&mut self, message: StatusResponse) -> StatusUpdate {
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

    #[tokio::test(start_paused = true)]
    async fn nothing_is_waited_for_long_once_the_build_is_over() {
        let solved = CancellationToken::new();
        let start = tokio::time::Instant::now();
        let end = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            solved.cancel();
        };
        let wait = until(&solved, END_GRACE, std::future::pending::<()>());
        let (outcome, ()) = tokio::join!(wait, end);
        assert_eq!(outcome, None);
        assert_eq!(start.elapsed(), Duration::from_secs(65));
    }
}
