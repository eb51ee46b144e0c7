//! Why a build failed: [`SolveError`], made of a gRPC status and the details in it.
//!
//! Who is to blame decides what happens next: a build's own failure ends the run, a lost
//! daemon may be replaced. Details are in `error_details`, their display in `excerpt`.

use tonic::{Code, Status};

use super::error_details::{self, ErrorDetails, Missing};

/// Why a build did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolveError {
    /// Who is to blame.
    pub kind: SolveErrorKind,
    /// What happened: the daemon's words, or why the connection was lost.
    pub message: String,
    /// The daemon's endpoint.
    pub endpoint: String,
    /// What the daemon said beside the message.
    pub details: Box<ErrorDetails>,
}

/// Who is to blame for a build that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SolveErrorKind {
    /// The build: a step failed, the Dockerfile is wrong, a push was denied.
    Build,
    /// Somebody ended it: this client, or the daemon on its way out.
    Cancelled,
    /// The daemon or its frontend lacks a feature, or does not allow it.
    Refused,
    /// The daemon, its session, or the way to it is gone.
    Lost,
}

impl SolveError {
    /// Decodes what the daemon answered.
    pub(super) fn from_status(endpoint: &str, status: &Status) -> Self {
        let message = plain_message(status.message());
        let mut details = error_details::decode(status.details());
        // Daemons before v0.9 say it in the message only.
        details.exit_code = details.exit_code.or_else(|| exit_code(&message));
        Self {
            kind: kind(status.code(), &message, &details),
            message,
            endpoint: endpoint.to_owned(),
            details: Box::new(details),
        }
    }

    /// A build whose daemon is gone.
    pub fn lost(endpoint: &str, reason: impl Into<String>) -> Self {
        Self::without_details(SolveErrorKind::Lost, endpoint, reason.into())
    }

    /// A build that the daemon is not able to do.
    pub(super) fn refused(endpoint: &str, reason: impl Into<String>) -> Self {
        Self::without_details(SolveErrorKind::Refused, endpoint, reason.into())
    }

    fn without_details(kind: SolveErrorKind, endpoint: &str, message: String) -> Self {
        Self {
            kind,
            message,
            endpoint: endpoint.to_owned(),
            details: Box::default(),
        }
    }

    /// Whether the daemon has built the image and could not push it.
    pub fn is_push(&self) -> bool {
        self.kind == SolveErrorKind::Build && self.message.starts_with("failed to push ")
    }

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        if self.message == NO_IMAGE_EXPORTER {
            return Some(
                "this Docker engine keeps images in its classic store and cannot push from a \
                 build; switch on its containerd image store, or use a buildkitd"
                    .to_owned(),
            );
        }
        if self.message.contains(DEFAULT_SCANNER) {
            return Some(
                "without a generator, the daemon takes its own SBOM scanner from Docker Hub; give \
                 one that it reaches: --sbom=generator=IMAGE"
                    .to_owned(),
            );
        }
        Some(match self.details.missing.as_ref()? {
            Missing::Capability(name) => format!(
                "the Dockerfile frontend lacks `{name}`; a newer one is chosen with `# syntax=`"
            ),
            Missing::Subrequest(name) => format!(
                "this daemon's Dockerfile frontend does not answer `{name}`; give one that does \
                 with `--build-arg BUILDKIT_SYNTAX=IMAGE`, or with `# syntax=IMAGE` in the \
                 Dockerfile"
            ),
        })
    }
}

/// What a Docker engine with the classic store says to the exporter that pushes.
const NO_IMAGE_EXPORTER: &str = r#"exporter "image" could not be found"#;

/// The image that BuildKit makes SBOMs with unless it is told another one.
const DEFAULT_SCANNER: &str = "docker/buildkit-syft-scanner";

impl std::fmt::Display for SolveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            SolveErrorKind::Lost => {
                write!(f, "lost the daemon at {}: {}", self.endpoint, self.message)
            }
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for SolveError {}

/// The code alone does not tell: `Unknown` is a failed step, and an inner timeout has the
/// code of a cancelled build.
fn kind(code: Code, message: &str, details: &ErrorDetails) -> SolveErrorKind {
    let session_gone = message.contains("no active session for");
    let no_exporter = message.starts_with("exporter ") && message.ends_with("could not be found");
    match code {
        _ if session_gone => SolveErrorKind::Lost,
        _ if no_exporter || details.missing.is_some() => SolveErrorKind::Refused,
        Code::Unimplemented | Code::Unauthenticated => SolveErrorKind::Refused,
        Code::Cancelled => SolveErrorKind::Cancelled,
        _ if message.ends_with("context canceled") && details.exit_code.is_none() => {
            SolveErrorKind::Cancelled
        }
        _ => SolveErrorKind::Build,
    }
}

/// The number at the end of `…: exit code: 7`.
fn exit_code(message: &str) -> Option<u32> {
    message.rsplit_once("exit code: ")?.1.parse().ok()
}

/// Takes away what each layer on the daemon's side puts in front: it says nothing more.
fn plain_message(text: &str) -> String {
    let mut text = text.trim();
    loop {
        let rest = text
            .strip_prefix("failed to solve: ")
            .or_else(|| after(text, "failed to solve with frontend ", ": "))
            .or_else(|| after(text, "rpc error: code = ", " desc = "));
        match rest {
            Some(rest) => text = rest.trim_start(),
            None => return inner_codes(text),
        }
    }
}

/// The rest of `text` after `start`, one word and `end`.
fn after<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (word, rest) = text.strip_prefix(start)?.split_once(end)?;
    (!word.contains(' ')).then_some(rest)
}

/// Drops `rpc error: code = X desc = ` inside a message, which old daemons leave there.
fn inner_codes(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("rpc error: code = ") {
        plain.push_str(before);
        rest = match tail.split_once(" desc = ") {
            Some((code, tail)) if !code.contains(' ') => tail,
            _ => {
                plain.push_str("rpc error: code = ");
                tail
            }
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_kind(code: Code, message: &str, expect: SolveErrorKind) {
        let error = SolveError::from_status("unix:///x", &Status::new(code, message));
        assert_eq!(error.kind, expect, "{code:?} {message}");
    }

    #[test]
    fn blame_follows_code_and_words() {
        use SolveErrorKind::{Build, Cancelled, Lost, Refused};
        check_kind(
            Code::Unknown,
            "process \"/bin/sh -c false\" …: exit code: 1",
            Build,
        );
        check_kind(Code::PermissionDenied, "push access denied", Build);
        check_kind(
            Code::DeadlineExceeded,
            "no active session for abc: context deadline exceeded",
            Lost,
        );
        check_kind(Code::Cancelled, "context canceled", Cancelled);
        check_kind(
            Code::Unknown,
            "x: exit code: 137: context canceled",
            Cancelled,
        );
        check_kind(Code::Unimplemented, "unknown method", Refused);
    }

    #[test]
    fn an_exit_code_in_words_counts() {
        let check = |message: &str, expect| assert_eq!(exit_code(message), expect);
        check(
            "executor failed running [/bin/sh -c false]: exit code: 1",
            Some(1),
        );
        check("x: exit code: 137: context canceled", None);
        check("no code", None);
    }

    #[test]
    fn an_engine_without_the_exporter_is_explained() {
        let error = SolveError::from_status("e", &Status::unknown(NO_IMAGE_EXPORTER));
        assert_eq!(error.kind, SolveErrorKind::Refused);
        assert!(error.hint().unwrap().contains("containerd image store"));
    }

    #[test]
    fn a_scanner_that_cannot_be_pulled_is_explained() {
        let message = "failed to resolve source metadata for \
                       docker.io/docker/buildkit-syft-scanner:stable-1: no route to host";
        let error = SolveError::from_status("e", &Status::unknown(message));
        assert!(error.hint().unwrap().contains("--sbom=generator=IMAGE"));
    }

    #[test]
    fn prefixes_of_layers_are_dropped() {
        let check = |text: &str, expect: &str| assert_eq!(plain_message(text), expect);
        check("exit code: 1", "exit code: 1");
        check(
            "failed to solve: failed to solve: exit code: 1",
            "exit code: 1",
        );
        check(
            "failed to solve with frontend dockerfile.v0: failed to solve with frontend \
             gateway.v0: rpc error: code = Unknown desc = no such stage",
            "no such stage",
        );
        check("a: rpc error: code = NotFound desc = b", "a: b");
        check(
            "rpc error: code = what is this",
            "rpc error: code = what is this",
        );
    }

    #[test]
    fn a_lost_daemon_is_named() {
        let error = SolveError::lost("tcp://h:1", "the daemon closed the connection");
        assert_eq!(
            error.to_string(),
            "lost the daemon at tcp://h:1: the daemon closed the connection"
        );
    }
}
