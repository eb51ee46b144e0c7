//! Why a pod is not ready, or how it died, in the words of the cluster: [`Trouble`].
//!
//! Pure: reads what the scheduler, the kubelet and the controllers wrote into the pod.

use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStatus, Pod, PodCondition, PodStatus,
};

/// What is wrong with a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// A phrase that goes on from the pod's name: `was killed, since …`.
    pub(super) text: String,
    /// Whether the build itself may have caused it, so that the next pod would suffer it too.
    pub(super) is_own_fault: bool,
    /// Whether the daemon that ran in it is gone.
    pub(super) is_dead: bool,
    /// Whether the pod itself says no more than that it is not ready; its events may.
    pub(super) is_vague: bool,
}

impl Trouble {
    fn waiting(text: String) -> Self {
        Self {
            text,
            is_own_fault: false,
            is_dead: false,
            is_vague: false,
        }
    }

    fn vague(text: &str) -> Self {
        Self {
            is_vague: true,
            ..Self::waiting(text.to_owned())
        }
    }

    pub(super) fn dead(text: String) -> Self {
        Self {
            text,
            is_own_fault: false,
            is_dead: true,
            is_vague: false,
        }
    }
}

/// Finds what is wrong with a pod; `None` when it is ready and has always been.
pub(super) fn trouble(pod: &Pod, container: &str) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    if let Some(trouble) = ended(status) {
        return Some(trouble);
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(match is_node_silent(status) {
            true => Trouble::dead("is on a node that is lost".to_owned()),
            false => Trouble::waiting("is being deleted".to_owned()),
        });
    }
    let mut statuses = status.container_statuses.iter().flatten();
    let daemon = statuses.find(|status| status.name == container);
    killed(pod, daemon, container)
        .or_else(|| unscheduled(status))
        .or_else(|| init_trouble(status))
        .or_else(|| daemon.and_then(waiting))
        .or_else(|| not_ready(status))
}

/// A pod that has ended as a whole.
fn ended(status: &PodStatus) -> Option<Trouble> {
    let phase = status.phase.as_deref()?;
    if phase != "Failed" && phase != "Succeeded" {
        return None;
    }
    let message = status.message.as_deref().unwrap_or_default();
    let text = match status.reason.as_deref() {
        Some("Evicted") => format!("was evicted: {}", sentence(message)),
        Some("NodeLost") => "is on a node that is lost".to_owned(),
        Some(reason) if message.is_empty() => format!("has ended: {reason}"),
        Some(reason) => format!("has ended: {reason}: {}", sentence(message)),
        None => "has ended".to_owned(),
    };
    // What the kubelet says when the pod itself used too much; a node's own pressure says so.
    let own = [
        "exceeds the limit",
        "ephemeral local storage usage exceeds",
        "was low on resource",
    ];
    Some(Trouble {
        is_own_fault: status.reason.as_deref() == Some("Evicted")
            && own.iter().any(|words| message.contains(words)),
        ..Trouble::dead(text)
    })
}

/// A daemon whose last run the kernel ended, or that ended by itself.
fn killed(pod: &Pod, daemon: Option<&ContainerStatus>, container: &str) -> Option<Trouble> {
    let daemon = daemon?;
    let now = daemon
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let end = now.or_else(|| last_end(daemon).filter(|_| !daemon.ready))?;
    Some(death(pod, end, container))
}

fn last_end(daemon: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    daemon.last_state.as_ref()?.terminated.as_ref()
}

/// How often the daemon's container was started anew.
pub(super) fn restarts(pod: &Pod, container: &str) -> i32 {
    let mut statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    let daemon = statuses.find(|status| status.name == container);
    daemon.map_or(0, |daemon| daemon.restart_count)
}

/// How the daemon's last run ended, although it runs again.
pub(super) fn last_death(pod: &Pod, container: &str) -> Option<Trouble> {
    let mut statuses = pod.status.as_ref()?.container_statuses.iter().flatten();
    let daemon = statuses.find(|status| status.name == container)?;
    Some(death(pod, last_end(daemon)?, container))
}

fn death(pod: &Pod, end: &ContainerStateTerminated, container: &str) -> Trouble {
    let out_of_memory = end.reason.as_deref() == Some("OOMKilled");
    let text = if out_of_memory {
        match memory_limit(pod, container) {
            Some(limit) => format!("ran out of memory (OOMKilled; its limit is {limit})"),
            None => "ran out of memory (OOMKilled)".to_owned(),
        }
    } else {
        let reason = end.reason.as_deref().unwrap_or("Error");
        let message = end.message.as_deref().map(sentence).unwrap_or_default();
        let colon = if message.is_empty() { "" } else { ": " };
        format!(
            "has a daemon that ended ({reason}, exit code {}{colon}{message})",
            end.exit_code
        )
    };
    Trouble {
        is_own_fault: out_of_memory,
        ..Trouble::dead(text)
    }
}

fn memory_limit(pod: &Pod, container: &str) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let container = containers.iter().find(|each| each.name == container)?;
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    limits.get("memory").map(|limit| limit.0.clone())
}

fn unscheduled(status: &PodStatus) -> Option<Trouble> {
    let scheduled = condition(status, "PodScheduled").filter(|each| each.status == "False")?;
    let message = scheduled.message.as_deref().unwrap_or_default();
    let reason = scheduled.reason.as_deref().unwrap_or("Unschedulable");
    Some(Trouble::waiting(format!(
        "has no node ({reason}): {}",
        sentence(message)
    )))
}

fn init_trouble(status: &PodStatus) -> Option<Trouble> {
    let inits = status.init_container_statuses.iter().flatten();
    inits.filter(|init| !init.ready).find_map(|init| {
        let state = init.state.as_ref()?;
        if let Some(end) = state.terminated.as_ref().filter(|end| end.exit_code != 0) {
            let text = format!(
                "has a failed init container {} (exit code {})",
                init.name, end.exit_code
            );
            return Some(Trouble::waiting(text));
        }
        waiting(init)
    })
}

/// A container that cannot start; the states of a start that goes well say nothing.
fn waiting(container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().map(sentence).unwrap_or_default();
    let colon = if message.is_empty() { "" } else { ": " };
    let text = match reason {
        "ContainerCreating" | "PodInitializing" => return Some(Trouble::vague("is starting")),
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            format!(
                "cannot get its image {} ({reason}{colon}{message})",
                container.image
            )
        }
        _ => format!("cannot start {} ({reason}{colon}{message})", container.name),
    };
    Some(Trouble::waiting(text))
}

fn not_ready(status: &PodStatus) -> Option<Trouble> {
    let ready = condition(status, "Ready");
    match ready.map(|ready| ready.status.as_str()) {
        Some("True") => None,
        _ if is_node_silent(status) => Some(Trouble::dead(
            "is on a node that does not answer".to_owned(),
        )),
        _ if status.phase.as_deref() == Some("Pending") => Some(Trouble::vague("is starting")),
        _ => Some(Trouble::vague("runs and is not ready yet")),
    }
}

/// Whether the node's controller took the pod's readiness back, since its kubelet is silent.
///
/// It changes that one condition and gives no reason; a kubelet gives one, a readiness gate's
/// included.
fn is_node_silent(status: &PodStatus) -> bool {
    let is = |name: &str, value: &str| {
        condition(status, name).is_some_and(|condition| condition.status == value)
    };
    let reason = condition(status, "Ready").and_then(|ready| ready.reason.as_deref());
    is("Ready", "Unknown")
        || (is("Ready", "False")
            && is("ContainersReady", "True")
            && reason.unwrap_or_default().is_empty())
}

fn condition<'a>(status: &'a PodStatus, name: &str) -> Option<&'a PodCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == name)
}

/// One line, without the full stop that would end ours.
pub(super) fn sentence(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(status: Value, expect: &str) -> Trouble {
        let pod = json!({
            "metadata": {"name": "p"},
            "spec": {"containers": [
                {"name": "buildkitd", "resources": {"limits": {"memory": "512Mi"}}}
            ]},
            "status": status,
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let trouble = trouble(&pod, "buildkitd").unwrap();
        assert_eq!(trouble.text, expect);
        trouble
    }

    fn container(more: Value) -> Value {
        let mut status = json!({"name": "buildkitd", "image": "moby/buildkit:x", "imageID": "",
                                "ready": false, "restartCount": 1});
        for (key, value) in more.as_object().unwrap() {
            status[key] = value.clone();
        }
        json!({"phase": "Running", "containerStatuses": [status],
               "conditions": [{"type": "Ready", "status": "False"}]})
    }

    #[test]
    fn what_keeps_a_pod_from_starting_is_told_in_the_clusters_words() {
        let message =
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.";
        let status = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        ]});
        check(
            status,
            "has no node (Unschedulable): 0/2 nodes are available: 2 node(s) didn't match Pod's \
             node affinity/selector",
        );
        let pull = json!({"state": {"waiting": {"reason": "ImagePullBackOff",
            "message": "Back-off pulling image \"moby/buildkit:x\": ErrImagePull: not found"}}});
        let trouble = check(
            container(pull),
            "cannot get its image moby/buildkit:x (ImagePullBackOff: Back-off pulling image \
             \"moby/buildkit:x\": ErrImagePull: not found)",
        );
        assert!(!trouble.is_dead);
        let creating = json!({"state": {"waiting": {"reason": "ContainerCreating"}}});
        check(container(creating), "is starting");
        let config = json!({"state": {"waiting": {"reason": "CreateContainerConfigError",
            "message": "secret \"certs\" not found"}}});
        check(
            container(config),
            "cannot start buildkitd (CreateContainerConfigError: secret \"certs\" not found)",
        );
        check(
            container(json!({"state": {"running": {}}})),
            "runs and is not ready yet",
        );
    }

    #[test]
    fn a_death_says_whether_the_build_may_have_caused_it() {
        let killed = json!({"exitCode": 137, "reason": "OOMKilled"});
        let text = "ran out of memory (OOMKilled; its limit is 512Mi)";
        for state in ["state", "lastState"] {
            let trouble = check(container(json!({state: {"terminated": killed}})), text);
            assert!(trouble.is_own_fault && trouble.is_dead);
        }
        let ended = json!({"state": {"terminated": {"exitCode": 1, "reason": "Error"}}});
        let trouble = check(
            container(ended),
            "has a daemon that ended (Error, exit code 1)",
        );
        assert!(!trouble.is_own_fault && trouble.is_dead);
        let evicted =
            |message: &str| json!({"phase": "Failed", "reason": "Evicted", "message": message});
        let disk = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ";
        let trouble = check(
            evicted(disk),
            "was evicted: Pod ephemeral local storage usage exceeds the total limit of containers 1Gi",
        );
        assert!(trouble.is_own_fault);
        let trouble = check(
            evicted("Preempted in order to admit critical pod"),
            "was evicted: Preempted in order to admit critical pod",
        );
        assert!(!trouble.is_own_fault && trouble.is_dead);
        let lost =
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "Unknown"}]});
        assert!(check(lost, "is on a node that does not answer").is_dead);
        let taken_back = |reason: Option<&str>| {
            json!({"phase": "Running", "conditions": [
                {"type": "Ready", "status": "False", "reason": reason},
                {"type": "ContainersReady", "status": "True"},
            ]})
        };
        let text = "is on a node that does not answer";
        assert!(check(taken_back(None), text).is_dead);
        let gate = taken_back(Some("ReadinessGatesNotReady"));
        assert!(!check(gate, "runs and is not ready yet").is_dead);
    }

    #[test]
    fn a_daemon_that_came_back_is_well() {
        let status = json!({"phase": "Running",
            "containerStatuses": [{"name": "buildkitd", "image": "i", "imageID": "", "ready": true,
                "restartCount": 1, "state": {"running": {}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}],
            "conditions": [{"type": "Ready", "status": "True"}]});
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap();
        assert_eq!(trouble(&pod, "buildkitd"), None);
    }
}
