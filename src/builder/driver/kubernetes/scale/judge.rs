//! Whether a pod may go: [`judge`], of what its daemon and its pod object say.
//!
//! Pure.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::buildkit::history::Activity;

/// Why a pod stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stays {
    /// There are as few pods as there may be.
    Least,
    /// It runs builds.
    Building(usize),
    /// A build began on it after it had been marked.
    Chosen,
    /// A build ended on it so long ago, which is not long enough.
    Used(Duration),
    /// It started so long ago, which is not long enough.
    New(Duration),
    /// It is not there yet, or on its way out: the workload is being changed.
    Changing,
    /// Its daemon does not run or does not answer, and may do anything.
    Silent(String),
    /// It cannot be marked.
    Unmarked(String),
    /// It was marked and stayed ready: its readiness probe does not look at the mark.
    Ready(Duration),
    /// Somebody else changed the number of pods again and again.
    Contested,
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Least => write!(f, "no more may go"),
            Self::Building(1) => write!(f, "runs a build"),
            Self::Building(count) => write!(f, "runs {count} builds"),
            Self::Chosen => write!(f, "was chosen by a build at the last moment"),
            Self::Used(ago) => write!(f, "had a build until {} ago", span(*ago)),
            Self::New(ago) => write!(f, "was started {} ago", span(*ago)),
            Self::Changing => write!(f, "is being started or ended"),
            Self::Silent(why) => write!(f, "cannot be asked: {why}"),
            Self::Unmarked(why) => write!(f, "cannot be marked: {why}"),
            Self::Ready(limit) => write!(
                f,
                "stayed ready for {} after it had been marked: its readiness probe has to fail \
                 when there is a file {}",
                span(*limit),
                super::MARK
            ),
            Self::Contested => write!(f, "somebody else changes the number of pods"),
        }
    }
}

/// Says why a pod stays; `None` when it may go.
pub(super) fn judge(
    activity: &Activity,
    started: Timestamp,
    idle: Duration,
    now: Timestamp,
) -> Option<Stays> {
    if activity.running > 0 {
        return Some(Stays::Building(activity.running));
    }
    // A clock that is ahead counts as now.
    let ago = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
    let used = activity.last_end.map(ago).filter(|ago| *ago < idle);
    let new = Some(ago(started)).filter(|ago| *ago < idle);
    used.map(Stays::Used).or(new.map(Stays::New))
}

/// When the daemon's container was started; `None` where it does not run.
pub(super) fn started(pod: &Pod, container: &str) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let status = statuses.iter().find(|status| status.name == container)?;
    let running = status.state.as_ref()?.running.as_ref()?;
    // A container that says nothing has run for ever.
    Some(
        running
            .started_at
            .as_ref()
            .map_or(Timestamp::MIN, |at| at.0),
    )
}

/// Since when a pod waits for a node; `None` where it has one.
pub(super) fn waiting(pod: &Pod) -> Option<Timestamp> {
    match pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) {
        Some(_) => None,
        None => Some(pod.metadata.creation_timestamp.as_ref()?.0),
    }
}

/// A time in the words of a glance: `45 s`, `12 min`, `3 h`.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_been_idle_for_long_enough_goes() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let check = |running, ended: Option<i64>, started: i64, expect: Option<&str>| {
            let before = |minutes: i64| now - jiff::SignedDuration::from_mins(minutes);
            let activity = Activity {
                running,
                last_end: ended.map(before),
            };
            let judged = judge(&activity, before(started), Duration::from_mins(30), now);
            let judged = judged.map(|stays| stays.to_string());
            assert_eq!(judged.as_deref(), expect);
        };
        check(0, None, 31, None);
        check(0, Some(30), 600, None);
        check(1, Some(600), 600, Some("runs a build"));
        check(2, None, 1, Some("runs 2 builds"));
        check(0, Some(29), 600, Some("had a build until 29 min ago"));
        check(0, None, 1, Some("was started 60 s ago"));
        // Its history is in a volume; a new pod has a build on the way.
        check(0, Some(600), 0, Some("was started 0 s ago"));
        check(0, Some(-5), 600, Some("had a build until 0 s ago"));
    }

    #[test]
    fn a_container_that_does_not_run_was_not_started() {
        let pod = |state: serde_json::Value| -> Pod {
            serde_json::from_value(serde_json::json!({
                "metadata": {}, "status": {"containerStatuses": [{
                    "name": "b", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "state": state,
                }]}
            }))
            .unwrap()
        };
        let at = "2026-11-22T12:00:00Z";
        let running = pod(serde_json::json!({"running": {"startedAt": at}}));
        assert_eq!(started(&running, "b"), Some(at.parse().unwrap()));
        assert_eq!(started(&running, "c"), None);
        assert_eq!(super::waiting(&pod(serde_json::json!({}))), None, "no time");
        let waiting = pod(serde_json::json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        assert_eq!(started(&waiting, "b"), None);
    }
}
