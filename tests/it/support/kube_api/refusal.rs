//! What an API server says instead of doing its duty: [`Refusal`], a `Status` in its words.

use serde_json::{Value, json};

use super::ask::Ask;

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) code: u16,
    reason: String,
    message: String,
    details: Value,
    /// Whether it is said in plain text, as kubelets do.
    pub(super) is_plain: bool,
}

impl Refusal {
    /// One with a message of its own; the reason is the one that goes with the code.
    pub(crate) fn new(code: u16, message: impl Into<String>) -> Self {
        let reason = match code {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Expired",
            415 => "UnsupportedMediaType",
            422 => "Invalid",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "Unknown",
        };
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            details: json!({}),
            is_plain: false,
        }
    }

    /// What a kubelet says, and the API server passes on as it is.
    pub(super) fn of_kubelet(message: impl Into<String>) -> Self {
        Self {
            is_plain: true,
            ..Self::new(500, message)
        }
    }

    /// What a user may not do.
    pub(super) fn forbidden(ask: &Ask, verb: &str, user: &str) -> Self {
        let name = match ask.name.as_str() {
            "" => String::new(),
            name => format!(" \"{name}\""),
        };
        let place = match ask.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let message = format!(
            "{}{name} is forbidden: User \"{user}\" cannot {verb} resource \"{}\" in API group \
             \"{}\" {place}",
            qualified(ask),
            ask.resource,
            ask.group(),
        );
        Self::new(403, message).about(ask)
    }

    /// An object that is not there.
    pub(super) fn not_found(ask: &Ask) -> Self {
        let message = format!("{} \"{}\" not found", qualified(ask), ask.name);
        Self::new(404, message).about(ask)
    }

    /// An object that is there already.
    pub(super) fn exists(ask: &Ask, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(ask));
        let mut refusal = Self::new(409, message).about(ask);
        refusal.reason = "AlreadyExists".into();
        refusal
    }

    /// An object that was changed meanwhile.
    pub(super) fn conflict(ask: &Ask) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please \
             apply your changes to the latest version and try again",
            qualified(ask),
            ask.name
        );
        Self::new(409, message).about(ask)
    }

    /// A version from which nobody can go on watching.
    pub(super) fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(410, format!("too old resource version: {asked} ({oldest})"))
    }

    fn about(mut self, ask: &Ask) -> Self {
        self.details = json!({"name": ask.name, "group": ask.group(), "kind": ask.base});
        self
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The object that says so.
    pub(super) fn status(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": self.details,
            "code": self.code,
        })
    }
}

/// `pods`, `statefulsets.apps`
fn qualified(ask: &Ask) -> String {
    match ask.group() {
        "" => ask.base.clone(),
        group => format!("{}.{group}", ask.base),
    }
}
