//! How pods fare: [`PodState`], and the status by which Kubernetes says so.

use serde_json::{Value, json};

use super::store::now;

/// How a pod fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PodState {
    /// Its containers are being created.
    Starting,
    /// It runs and is ready.
    Ready,
    /// It runs; its readiness probe fails.
    NotReady,
    /// No node takes it, says the scheduler.
    Unschedulable(String),
    /// Its image cannot be pulled, says the registry.
    ImagePullBackOff(String),
    /// Its container ends with this code again and again, and said this.
    CrashLoopBackOff(i32, String),
    /// Its container was killed for its memory and has been started again.
    OomKilled,
    /// The kubelet evicted it, and said why.
    Evicted(String),
    /// Its node does not answer.
    NodeLost,
    /// It runs and is being deleted.
    Terminating,
    /// Its container cannot be created: a Secret or a ConfigMap is missing.
    ConfigError(String),
}

impl PodState {
    /// Whether a node has it.
    pub(super) fn is_scheduled(&self) -> bool {
        !matches!(self, Self::Unschedulable(_))
    }

    /// Writes the state into a pod.
    pub(super) fn write(&self, pod: &mut Value, ip: &str) {
        let deletes = *self == Self::Terminating;
        if deletes && pod["metadata"]["deletionTimestamp"].is_null() {
            pod["metadata"]["deletionTimestamp"] = now().into();
            pod["metadata"]["deletionGracePeriodSeconds"] = 30.into();
        }
        let start = match &pod["status"]["startTime"] {
            Value::Null => now().into(),
            start => start.clone(),
        };
        let (container, ready) = self.container(pod);
        let mut status = json!({"phase": self.phase(), "conditions": self.conditions(ready)});
        if self.is_scheduled() {
            status["startTime"] = start;
            status["hostIP"] = "192.0.2.10".into();
            status["containerStatuses"] = json!([container]);
        }
        if self.has_address() {
            status["podIP"] = ip.into();
            status["podIPs"] = json!([{ "ip": ip }]);
        }
        if let Self::Evicted(message) = self {
            status["reason"] = "Evicted".into();
            status["message"] = message.clone().into();
        }
        pod["status"] = status;
    }

    fn phase(&self) -> &'static str {
        match self {
            Self::Starting
            | Self::Unschedulable(_)
            | Self::ImagePullBackOff(_)
            | Self::ConfigError(_) => "Pending",
            Self::Evicted(_) => "Failed",
            _ => "Running",
        }
    }

    fn has_address(&self) -> bool {
        !matches!(self, Self::Starting | Self::Unschedulable(_))
    }

    fn conditions(&self, ready: bool) -> Value {
        let known = |name: &str, is: bool| json!({"type": name, "status": truth(is)});
        if let Self::Unschedulable(message) = self {
            return json!([{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": message,
            }]);
        }
        let unready = |name: &str| match (ready, self) {
            // The node's controller takes this one back and says no more: the kubelet, which
            // has said that the containers are ready, is not there.
            (_, Self::NodeLost) => known(name, name != "Ready"),
            (true, _) => known(name, true),
            (false, _) => json!({
                "type": name, "status": "False", "reason": "ContainersNotReady",
                "message": "containers with unready status: [buildkitd]",
            }),
        };
        json!([
            known("PodReadyToStartContainers", true),
            known("Initialized", true),
            unready("Ready"),
            unready("ContainersReady"),
            known("PodScheduled", true),
        ])
    }

    /// The status of its container, and whether it is ready.
    fn container(&self, pod: &Value) -> (Value, bool) {
        let container = &pod["spec"]["containers"][0];
        let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
        let ended = |reason: &str, code: i32, message: &str| {
            json!({"terminated": {
                "reason": reason, "exitCode": code, "message": message,
                "startedAt": now(), "finishedAt": now(), "containerID": "containerd://1",
            }})
        };
        let running = json!({"running": {"startedAt": now()}});
        let was = &pod["status"]["containerStatuses"][0];
        let running = match was["state"]["running"].is_null() {
            true => running,
            false => was["state"].clone(),
        };
        let (mut state, mut last, mut restarts) = (running, json!({}), 0);
        match self {
            Self::Starting => state = json!({"waiting": {"reason": "ContainerCreating"}}),
            Self::ImagePullBackOff(message) => state = waiting("ImagePullBackOff", message),
            Self::ConfigError(message) => state = waiting("CreateContainerConfigError", message),
            Self::CrashLoopBackOff(code, message) => {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                let text = format!("back-off 10s restarting failed container=buildkitd pod={name}");
                state = waiting("CrashLoopBackOff", &text);
                last = ended("Error", *code, message);
                restarts = 3;
            }
            Self::OomKilled => {
                last = ended("OOMKilled", 137, "");
                restarts = 1;
            }
            Self::Evicted(_) => state = ended("Error", 137, ""),
            _ => {}
        }
        let ready = matches!(self, Self::Ready | Self::Terminating | Self::NodeLost);
        let status = json!({
            "name": container["name"], "image": container["image"], "imageID": "",
            "ready": ready, "started": !state["running"].is_null(), "restartCount": restarts,
            "state": state, "lastState": last,
        });
        (status, ready)
    }
}

fn truth(is: bool) -> &'static str {
    if is { "True" } else { "False" }
}
