//! What the double does instead of its duty: an [`Act`] for some requests.

use std::time::Duration;

use super::ask::Ask;
use super::refusal::Refusal;

/// What is done instead.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Refuses.
    Refuse(Refusal),
    /// Waits first, then does its duty.
    Wait(Duration),
    /// Never answers.
    Hang,
    /// Closes the connection.
    HangUp,
    /// Ends a watch with an event that says 410 Gone.
    Gone,
    /// Cuts a stream when so many bytes have come through, or a watch after so many events.
    CutAfter(u64),
    /// Keeps a stream open and carries nothing when so many bytes have come through.
    StallAfter(u64),
    /// The command of an exec cannot be started, says the runtime.
    NoCommand(&'static str),
    /// The command of an exec says this on stderr and ends with exit code 1.
    Says(&'static str),
}

/// Which requests a fault is for.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    verb: &'static str,
    resource: &'static str,
    name: Option<String>,
    left: usize,
    act: Act,
}

impl Act {
    /// What a kubelet says whose certificate is not signed yet.
    pub(crate) fn fresh_node() -> Self {
        Self::Refuse(Refusal::new(
            500,
            "error dialing backend: remote error: tls: internal error",
        ))
    }
}

impl Fault {
    /// A fault of the next request of this verb on this resource: `get`, `pods/exec`.
    pub(crate) fn of(verb: &'static str, resource: &'static str, act: Act) -> Self {
        Self {
            verb,
            resource,
            name: None,
            left: 1,
            act,
        }
    }

    /// Only of those for the object of this name.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Of that many requests.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.left = times;
        self
    }

    fn is_for(&self, ask: &Ask) -> bool {
        let named = self.name.as_ref().is_none_or(|name| *name == ask.name);
        self.left > 0 && self.verb == ask.verb && self.resource == ask.resource && named
    }
}

/// Takes what is to be done instead of this.
pub(super) fn take(faults: &mut [Fault], ask: &Ask) -> Option<Act> {
    let fault = faults.iter_mut().find(|fault| fault.is_for(ask))?;
    fault.left -= 1;
    Some(fault.act.clone())
}
