//! What went wrong between us and a registry: [`RegistryError`], with what kind of problem
//! it is, whether it may pass, and what the user can do.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use serde::Deserialize;

use crate::credentials::CredentialError;
use crate::retry::Verdict;

/// The most of a refusal's text that is repeated, in characters.
const MESSAGE_LIMIT: usize = 300;

/// A failed operation on a registry.
#[derive(Debug)]
pub struct RegistryError {
    /// The registry, as the user writes it: `registry.example:5000`.
    pub host: String,
    /// What was tried, as in "cannot …".
    pub operation: String,
    /// The HTTP status, when it came that far.
    pub status: Option<u16>,
    /// The kind of problem.
    pub problem: Problem,
    /// What the registry said, or what we found; without the cause.
    pub message: String,
    /// How long the registry asks us to wait.
    pub retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of problems that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The host cannot be reached.
    Connect,
    /// It took too long.
    Timeout,
    /// The connection broke in the middle.
    Broken,
    /// Its certificate is not trusted, or it wants one of ours.
    Certificate,
    /// We spoke TLS to a host that speaks plain HTTP.
    SpeaksHttp,
    /// We spoke plain HTTP to a host that speaks TLS.
    SpeaksTls,
    /// It wants other credentials than we have, or any.
    Unauthorized {
        /// Whether we have credentials for the host.
        known: bool,
    },
    /// There is no such thing there.
    NotFound,
    /// It refused for another reason.
    Refused,
    /// It failed, or has too much to do.
    Server,
    /// Content does not have the digest that it should have.
    Digest,
    /// Its answer makes no sense.
    Answer,
    /// The user's credentials cannot be read.
    Credentials,
    /// Our own settings for the host cannot be used.
    Settings,
}

impl RegistryError {
    /// Makes an error without status and cause.
    pub(super) fn new(
        host: &str,
        operation: &str,
        problem: Problem,
        message: impl Into<String>,
    ) -> Self {
        Self {
            host: host.to_owned(),
            operation: operation.to_owned(),
            status: None,
            problem,
            message: message.into(),
            retry_after: None,
            source: None,
        }
    }

    /// Adds the cause.
    pub(super) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Explains a request that got no whole answer.
    pub(super) fn of_transport(host: &str, operation: &str, error: reqwest::Error) -> Self {
        let (problem, message) = transport_problem(&error);
        // The layers above the last cause say in a library's words what we say in ours, and
        // the address among them may hold more than it should.
        match last_cause(&error) {
            Some(cause) => Self::new(host, operation, problem, message).because(cause),
            None => Self::new(host, operation, problem, message).because(error.without_url()),
        }
    }

    /// Explains an answer that is a refusal.
    pub(super) fn of_status(host: &str, operation: &str, status: u16, body: &[u8]) -> Self {
        let said = refusal_text(body);
        let problem = match status {
            401 | 403 => Problem::Unauthorized { known: false },
            404 => Problem::NotFound,
            408 | 425 | 429 | 500..=599 => Problem::Server,
            400 if said.contains("HTTP request to an HTTPS server") => Problem::SpeaksTls,
            _ => Problem::Refused,
        };
        let message = if said.is_empty() {
            format!("it answered {status}")
        } else {
            format!("it answered {status}: {said}")
        };
        Self {
            status: Some(status),
            ..Self::new(host, operation, problem, message)
        }
    }

    /// Whether the same request may succeed a little later.
    pub fn is_temporary(&self) -> bool {
        match self.problem {
            Problem::Connect | Problem::Timeout | Problem::Broken => true,
            // 501 and 505 are about what the server can do, and stay.
            Problem::Server => !matches!(self.status, Some(501 | 505)),
            _ => false,
        }
    }

    /// What this means for trying again.
    pub(super) fn verdict(&self) -> Verdict {
        match (self.is_temporary(), self.retry_after) {
            (false, _) => Verdict::GiveUp,
            (true, Some(wait)) => Verdict::AgainAfter(wait),
            (true, None) => Verdict::Again,
        }
    }

    /// What the user can do about it, in one line, if we know.
    pub fn advice(&self) -> Option<String> {
        let host = &self.host;
        match self.problem {
            Problem::Unauthorized { known: false } => Some(format!(
                "there are no credentials for {host}: run `docker login {host}`"
            )),
            Problem::Unauthorized { known: true } => Some(format!(
                "{host} does not let these credentials do that: run `docker login {host}` with others"
            )),
            Problem::Certificate => Some(format!(
                "set ca = \"FILE\" under [registries.\"{host}\"] in mbuild.toml, or put the \
                 certificate into /etc/docker/certs.d/{host}/ca.crt"
            )),
            Problem::SpeaksHttp => Some(format!(
                "if {host} is meant to be plain HTTP, set http = true under \
                 [registries.\"{host}\"] in mbuild.toml"
            )),
            Problem::SpeaksTls => Some(format!(
                "remove http = true under [registries.\"{host}\"] from mbuild.toml"
            )),
            Problem::Credentials => self
                .source
                .as_ref()?
                .downcast_ref::<CredentialError>()?
                .advice(),
            _ => None,
        }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let preposition = match self.operation.as_str() {
            "connect" | "show credentials" => "to",
            "get a token" => "for",
            _ => "at",
        };
        write!(
            f,
            "cannot {} {preposition} registry {}: {}",
            self.operation, self.host, self.message
        )
    }
}

impl StdError for RegistryError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Says what kind of problem a failed request is, and in a few words what happened.
fn transport_problem(error: &reqwest::Error) -> (Problem, &'static str) {
    if let Some(tls) = find_tls(error) {
        return tls_problem(tls);
    }
    if error.is_timeout() {
        (Problem::Timeout, "it did not answer in time")
    } else if error.is_connect() {
        (Problem::Connect, "it cannot be reached")
    } else {
        (Problem::Broken, "the connection broke")
    }
}

pub(super) fn tls_problem(error: &rustls::Error) -> (Problem, &'static str) {
    use rustls::{AlertDescription as Alert, CertificateError, Error};
    match error {
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => (Problem::Certificate, "its certificate has expired"),
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (Problem::Certificate, "its certificate is for another name"),
        Error::InvalidCertificate(_) => (Problem::Certificate, "its certificate is not trusted"),
        Error::AlertReceived(Alert::CertificateRequired | Alert::BadCertificate) => {
            (Problem::Certificate, "it wants a client certificate")
        }
        Error::InvalidMessage(_) => (Problem::SpeaksHttp, "it does not speak TLS"),
        _ => (Problem::Connect, "no TLS connection came about"),
    }
}

/// Finds the TLS error in a chain.
fn find_tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    std::iter::successors(Some(error), |error| below(*error))
        .find_map(|error| error.downcast_ref::<rustls::Error>())
}

/// Returns the text of the innermost error of a chain; `None` where nothing is below.
fn last_cause(error: &(dyn StdError + 'static)) -> Option<String> {
    std::iter::successors(below(error), |error| below(*error))
        .last()
        .map(ToString::to_string)
}

/// Returns the next error of a chain; I/O errors keep what they wrap out of the chain.
fn below<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match inner {
        Some(inner) => Some(inner as _),
        None => error.source(),
    }
}

#[derive(Deserialize)]
struct Refusal {
    errors: Vec<RefusalEntry>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct RefusalEntry {
    code: String,
    message: String,
}

/// What a refusal's body says, shortened to something for a person.
fn refusal_text(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal
            .errors
            .iter()
            .map(
                |entry| match (entry.code.as_str(), entry.message.as_str()) {
                    (code, "") => code.to_owned(),
                    ("", message) => message.to_owned(),
                    (code, message) => format!("{message} ({code})"),
                },
            )
            .collect::<Vec<_>>()
            .join("; "),
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            let line = text.lines().map(str::trim).find(|line| !line.is_empty());
            // A proxy's page of HTML says nothing that the status does not.
            line.filter(|line| !line.starts_with('<'))
                .unwrap_or_default()
                .to_owned()
        }
    };
    text.chars()
        .filter(|c| !c.is_control())
        .take(MESSAGE_LIMIT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, body: &str) -> RegistryError {
        RegistryError::of_status("r.example", "write the tag v1", status, body.as_bytes())
    }

    #[test]
    fn refusals_are_told_in_the_registrys_words() {
        let check = |code, body: &str, expect: &str| {
            assert_eq!(status(code, body).message, expect);
        };
        let denied =
            r#"{"errors":[{"code":"DENIED","message":"requested access is denied","detail":{}}]}"#;
        check(
            403,
            denied,
            "it answered 403: requested access is denied (DENIED)",
        );
        check(
            400,
            r#"{"errors":[{"code":"A"},{"message":"m"}]}"#,
            "it answered 400: A; m",
        );
        check(502, "<html><body>Bad gateway", "it answered 502");
        check(503, "\n  out of disk \n", "it answered 503: out of disk");
        check(500, "", "it answered 500");
        assert!(status(500, &"x".repeat(9000)).message.len() < 400);
    }

    #[test]
    fn the_whole_sentence_names_operation_and_host() {
        let text = status(500, "").to_string();
        assert_eq!(
            text,
            "cannot write the tag v1 at registry r.example: it answered 500"
        );
    }

    #[test]
    fn the_sentence_fits_the_operation() {
        let check = |operation, expect: &str| {
            let error = RegistryError::new("r.example", operation, Problem::Connect, "why");
            assert_eq!(error.to_string(), expect);
        };
        check("connect", "cannot connect to registry r.example: why");
        check(
            "show credentials",
            "cannot show credentials to registry r.example: why",
        );
        check(
            "get a token",
            "cannot get a token for registry r.example: why",
        );
    }

    #[test]
    fn of_a_chain_the_last_cause_is_told() {
        let refused = io::Error::from_raw_os_error(111);
        let library = io::Error::other(Layer(Some(Layer(None).into())));
        assert_eq!(last_cause(&refused), None);
        assert_eq!(last_cause(&library).as_deref(), Some("layer"));
        let outer = Layer(Some(refused.into()));
        assert!(
            last_cause(&outer)
                .unwrap()
                .starts_with("Connection refused")
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("layer")]
    struct Layer(#[source] Option<Box<dyn StdError + Send + Sync>>);

    #[test]
    fn only_what_may_pass_is_temporary() {
        for code in [408, 425, 429, 500, 502, 503, 504] {
            assert!(status(code, "").is_temporary(), "{code}");
        }
        for code in [400, 401, 403, 404, 405, 409, 416, 501] {
            assert!(!status(code, "").is_temporary(), "{code}");
        }
    }

    #[test]
    fn advice_names_the_host_and_the_key() {
        assert!(
            status(401, "")
                .advice()
                .unwrap()
                .contains("`docker login r.example`")
        );
        let go = "Client sent an HTTP request to an HTTPS server.\n";
        assert!(status(400, go).advice().unwrap().contains("http = true"));
        assert_eq!(status(404, "").advice(), None);
    }

    #[test]
    fn tls_errors_are_told_apart() {
        use rustls::{CertificateError, Error, InvalidMessage};
        let check = |error: Error, expect: Problem| assert_eq!(tls_problem(&error).0, expect);
        check(
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
            Problem::Certificate,
        );
        check(
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Problem::SpeaksHttp,
        );
        check(Error::DecryptError, Problem::Connect);
        let wrapped = io::Error::other(Error::DecryptError);
        assert!(find_tls(&wrapped).is_some());
        assert!(find_tls(&io::Error::other("x")).is_none());
    }
}
