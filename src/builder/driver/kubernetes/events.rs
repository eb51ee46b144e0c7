//! What the cluster's events say of a pod that starts, or of a workload that gets no pod: a
//! mount that fails or a quota that is used up stands nowhere else.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;

use super::cluster::Cluster;
use super::list::Listed;
use super::why::sentence;

/// How many pods are asked about; the others mostly have the same trouble.
const ASKED: usize = 2;

/// Adds to pods of which nothing but their start is known what the events say of them.
///
/// Without the right to read events, pods stay as they are.
pub(super) async fn explain(cluster: &Cluster, listed: &mut Listed) {
    let vague = |pod: &&mut super::pods::PodState| {
        pod.trouble.as_ref().is_some_and(|trouble| trouble.is_vague)
    };
    for pod in listed.pods.iter_mut().filter(vague).take(ASKED) {
        let selector = format!("involvedObject.uid={},type=Warning", pod.uid);
        if let (Some(warning), Some(trouble)) =
            (last_warning(cluster, &selector).await, &mut pod.trouble)
        {
            trouble.text = format!("{} ({warning})", trouble.text);
        }
    }
}

/// The last warning about a workload: why it gets no pods.
pub(super) async fn about_workload(cluster: &Cluster, name: &str) -> Option<String> {
    let selector = format!("involvedObject.name={name},type=Warning");
    last_warning(cluster, &selector).await
}

async fn last_warning(cluster: &Cluster, selector: &str) -> Option<String> {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let events = api.list(&ListParams::default().fields(selector)).await;
    let events = events
        .inspect_err(|error| tracing::debug!(%error, "no events"))
        .ok()?;
    newest(events.items)
}

/// Reason and message of the newest event.
fn newest(events: Vec<Event>) -> Option<String> {
    let event = events.into_iter().max_by_key(time)?;
    let message = sentence(event.message.as_deref().unwrap_or_default());
    match event.reason {
        Some(reason) if message.is_empty() => Some(reason),
        Some(reason) => Some(format!("{reason}: {message}")),
        None => Some(message).filter(|message| !message.is_empty()),
    }
}

/// When it happened last; events have their times in several places.
fn time(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    let micro = series.or(event.event_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let made = event
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0);
    last.max(micro).or(made)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_warning_counts() {
        let event = |reason: &str, message: &str, key: &str, at: &str| -> Event {
            let event = json!({"metadata": {}, "involvedObject": {}, "reason": reason,
                               "message": message, key: at});
            serde_json::from_value(event).unwrap()
        };
        let events = vec![
            event(
                "FailedScheduling",
                "no nodes",
                "lastTimestamp",
                "2026-11-22T10:00:00Z",
            ),
            event(
                "FailedMount",
                "secret \"certs\"\n not found.",
                "lastTimestamp",
                "2026-11-22T10:01:00Z",
            ),
            event("Old", "x", "eventTime", "2026-11-22T09:00:00.000000Z"),
        ];
        assert_eq!(
            newest(events).as_deref(),
            Some("FailedMount: secret \"certs\" not found")
        );
        assert_eq!(newest(Vec::new()), None);
    }
}
