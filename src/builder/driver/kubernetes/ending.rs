//! How a stream into a pod ended: [`PodEnd`], the error that its reader gets.
//!
//! Tells a daemon that is not up yet from a pod that never will be one. Pure.

use super::websocket::End;

/// Why a stream into a pod ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PodEnd {
    /// The program that carries the bytes ended.
    #[error("`{program}` ended in pod {pod} with exit code {code}{}", after(said))]
    Exit {
        /// The program.
        program: &'static str,
        /// The pod, as `namespace/name`.
        pod: String,
        /// Its exit code.
        code: i32,
        /// The end of its stderr.
        said: String,
    },
    /// The program is not in the container's image.
    #[error("the container in pod {pod} has no `{program}`")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// The pod.
        pod: String,
    },
    /// The program could not be started, or was lost.
    #[error("`{program}` failed in pod {pod}: {reason}")]
    Failed {
        /// The program.
        program: &'static str,
        /// The pod.
        pod: String,
        /// What the container's runtime said.
        reason: String,
    },
    /// Nothing takes connections on the port, or the forwarding failed otherwise.
    #[error("port {port} of pod {pod} cannot be reached: {reason}")]
    Port {
        /// The port.
        port: u16,
        /// The pod.
        pod: String,
        /// What the node said.
        reason: String,
    },
    /// The connection ended without a word about the pod.
    #[error("the connection to pod {pod} was lost: {reason}")]
    Lost {
        /// The pod.
        pod: String,
        /// What is known.
        reason: String,
    },
}

impl PodEnd {
    /// An end of the WebSocket that nobody in the pod explained; `said` is what was heard.
    pub(super) fn lost(pod: &str, end: End, said: &str) -> Self {
        let reason = match end {
            End::Closed(None) => "the API server closed it".to_owned(),
            End::Closed(Some(word)) => format!("the API server closed it ({word})"),
            End::Broken(reason) => reason,
            End::Silent(silence) => format!("nothing came for {} s", silence.as_secs()),
        };
        Self::Lost {
            pod: pod.to_owned(),
            reason: reason + &after(said),
        }
    }

    /// Whether another way into the pod may work where this one never will.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::NoProgram { .. })
    }
}

fn after(said: &str) -> String {
    match said {
        "" => String::new(),
        said => format!(": {said}"),
    }
}
