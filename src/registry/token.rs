//! Exchanges credentials for a token at a registry's token service: [`Token`].
//!
//! The same exchange serves our own requests and a daemon's, which asks through its session
//! so that it never sees the password. First OAuth's form, then the older GET, as services
//! know one or the other.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;

use super::answer::{body, refusal};
use super::error::{Problem, RegistryError};
use crate::credentials::Credential;

/// What we call ourselves at token services, unless a daemon gives its own name.
pub(super) const CLIENT_ID: &str = "mbuild";

/// How long a token lives when the service does not say (distribution's token
/// specification).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// How long one exchange may take; the daemons wait for 60 s, and it may be tried again.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(15);

/// The largest answer of a token service that is read, in bytes.
const ANSWER_LIMIT: usize = 1 << 20;

const OPERATION: &str = "get a token";

/// A wish for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// The registry whose credentials are used.
    pub host: String,
    /// The token service's address.
    pub realm: String,
    /// What the registry is called there; empty when it has not said.
    pub service: String,
    /// What the token is to allow: `repository:team/app:pull,push`.
    pub scopes: Vec<String>,
    /// Who asks; empty for ourselves.
    pub client_id: String,
}

/// A token that a registry accepts.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token itself.
    pub secret: String,
    /// How long it is good for, counted from `issued`.
    pub life: Duration,
    /// When it was issued, by the service's clock; `None` when it has not said.
    pub issued: Option<Timestamp>,
}

impl fmt::Debug for Token {
    /// Shows the life; the token is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} s)", self.life.as_secs())
    }
}

impl Token {
    fn new(secret: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            life: DEFAULT_LIFE,
            issued: None,
        }
    }
}

/// Gets a token for `request` with what is known about the host.
///
/// `plain` says that a password may go over plain HTTP, because the registry does, too.
pub(super) async fn exchange(
    http: &Client,
    request: &TokenRequest,
    credential: &Credential,
    plain: bool,
) -> Result<Token, RegistryError> {
    let secret = !matches!(
        credential,
        Credential::Anonymous | Credential::RegistryToken(_)
    );
    if secret && !plain && !request.realm.starts_with("https://") {
        let message = format!("its token service {} is not https", request.realm);
        return Err(RegistryError::new(
            &request.host,
            OPERATION,
            Problem::Refused,
            message,
        ));
    }
    let query = http.get(&request.realm).query(&query_of(request));
    match credential {
        Credential::RegistryToken(token) => Ok(Token::new(token)),
        Credential::Anonymous => read(request, send(request, query).await?).await,
        Credential::Basic { username, secret } => {
            let query = query.basic_auth(username, Some(secret));
            let login = [
                ("grant_type", "password"),
                ("username", username),
                ("password", secret),
            ];
            form_then_query(http, request, &login, query).await
        }
        Credential::IdentityToken(token) => {
            let query = query.basic_auth("", Some(token));
            let login = [("grant_type", "refresh_token"), ("refresh_token", token)];
            form_then_query(http, request, &login, query).await
        }
    }
}

async fn form_then_query(
    http: &Client,
    request: &TokenRequest,
    login: &[(&str, &str)],
    query: RequestBuilder,
) -> Result<Token, RegistryError> {
    let client_id = if request.client_id.is_empty() {
        CLIENT_ID
    } else {
        &request.client_id
    };
    let scope = request.scopes.join(" ");
    let mut form = vec![("client_id", client_id), ("service", &request.service)];
    form.extend_from_slice(login);
    if !scope.is_empty() {
        form.push(("scope", &scope));
    }
    let answer = send(request, http.post(&request.realm).form(&form)).await?;
    // Services without the form say so in one of these ways; some take it for a bad login.
    if matches!(answer.status().as_u16(), 400 | 401 | 404 | 405) {
        return read(request, send(request, query).await?).await;
    }
    read(request, answer).await
}

fn query_of(request: &TokenRequest) -> Vec<(&'static str, &str)> {
    let mut query = Vec::new();
    if !request.service.is_empty() {
        query.push(("service", request.service.as_str()));
    }
    query.extend(request.scopes.iter().map(|scope| ("scope", scope.as_str())));
    query
}

async fn send(request: &TokenRequest, builder: RequestBuilder) -> Result<Response, RegistryError> {
    let answer = builder.timeout(EXCHANGE_LIMIT).send().await;
    answer.map_err(|error| RegistryError::of_transport(&request.host, OPERATION, error))
}

async fn read(request: &TokenRequest, answer: Response) -> Result<Token, RegistryError> {
    if !answer.status().is_success() {
        return Err(refusal(&request.host, OPERATION, answer).await);
    }
    let bytes = body(&request.host, OPERATION, answer, ANSWER_LIMIT).await?;
    parse(&bytes).ok_or_else(|| {
        let message = "its token service answered without a token";
        RegistryError::new(&request.host, OPERATION, Problem::Answer, message)
    })
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    issued_at: Option<String>,
}

fn parse(bytes: &[u8]) -> Option<Token> {
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let secret = [answer.token, answer.access_token]
        .into_iter()
        .find(|token| !token.is_empty())?;
    Some(Token {
        life: answer
            .expires_in
            .filter(|life| *life > 0)
            .map_or(DEFAULT_LIFE, Duration::from_secs),
        issued: answer.issued_at.and_then(|at| at.parse().ok()),
        ..Token::new(&secret)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_name_of_the_token_is_read() {
        let token = parse(br#"{"token":"t","expires_in":300,"issued_at":"2026-01-02T03:04:05Z"}"#);
        let token = token.unwrap();
        assert_eq!((token.secret.as_str(), token.life.as_secs()), ("t", 300));
        assert_eq!(token.issued.unwrap().to_string(), "2026-01-02T03:04:05Z");
        let token = parse(br#"{"access_token":"a","expires_in":0,"issued_at":"soon"}"#).unwrap();
        assert_eq!(
            (token.secret.as_str(), token.life, token.issued),
            ("a", DEFAULT_LIFE, None)
        );
    }

    #[test]
    fn an_answer_without_token_is_none() {
        for text in ["", "{}", "[]", r#"{"token":""}"#, r#"{"token":5}"#] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn debug_output_hides_the_token() {
        assert_eq!(format!("{:?}", Token::new("hunter2")), "Token(60 s)");
    }
}
