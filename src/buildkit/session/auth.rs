//! Answers a daemon's questions about registry logins, from [`Credentials`] and a
//! [`TokenSource`].
//!
//! A daemon is told of the registry that it asks for and of no other. With a fetcher it gets
//! tokens only and never sees a password. This file speaks no HTTP, and nothing here that holds
//! a secret shows it in `Debug` output or in an error.

use std::sync::Arc;

use mbuild_proto::filesync::auth_server::{self, AuthServer};
use mbuild_proto::filesync::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
    GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
    VerifyTokenAuthorityResponse,
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use tonic::{Code, Request, Response, Status};

use super::Services;
use super::authority::{authority_key, signed};
use super::status::failure;
use super::tokens::{Token, TokenRequest, TokenSource};
use crate::credentials::{Credential, Credentials};

/// How long a token is good for when its issuer doesn't say, in seconds: the distribution
/// specification's default.
const DEFAULT_EXPIRY: i64 = 60;
/// What token servers know BuildKit as when the daemon names no client itself.
const CLIENT_ID: &str = "buildkit-client";

impl Services {
    /// Serves registry logins. Without `tokens`, the daemon is told passwords and gets its
    /// tokens itself.
    #[must_use]
    pub fn auth(self, credentials: Arc<Credentials>, tokens: Option<TokenSource>) -> Self {
        let methods: &[_] = match tokens {
            Some(_) => &[
                "Credentials",
                "FetchToken",
                "GetTokenAuthority",
                "VerifyTokenAuthority",
            ],
            None => &["Credentials"],
        };
        self.add(
            methods,
            AuthServer::new(Auth {
                credentials,
                tokens,
            }),
        )
    }
}

struct Auth {
    credentials: Arc<Credentials>,
    tokens: Option<TokenSource>,
}

impl Auth {
    async fn login(&self, host: &str) -> Result<Credential, Status> {
        let found = self.credentials.lookup(host).await;
        found.map_err(|error| failure(Code::Unknown, &format!("no credentials for {host}"), &error))
    }

    fn tokens(&self) -> Result<&TokenSource, Status> {
        self.tokens
            .as_ref()
            .ok_or_else(|| Status::unimplemented("tokens are not fetched here"))
    }

    /// The key that proves to be the same user to a daemon that chose the salt.
    async fn key(&self, host: &str, salt: &[u8]) -> Result<Ed25519KeyPair, Status> {
        let tokens = self.tokens()?;
        // Whoever has no login is the same as all others without one. A registry token is a
        // login too: without a seed, strangers could use what was fetched with it.
        let seed = match self.login(host).await? {
            Credential::Anonymous => None,
            _ => Some(
                tokens
                    .seeds
                    .seed(host)
                    .await
                    .map_err(|error| failure(Code::Unknown, "", &error))?,
            ),
        };
        authority_key(seed.as_ref(), salt).map_err(|error| failure(Code::Unknown, "", &error))
    }
}

#[tonic::async_trait]
impl auth_server::Auth for Auth {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let (username, secret) = match self.login(&request.into_inner().host).await? {
            Credential::Basic { username, secret } => (username, secret),
            Credential::IdentityToken(token) => (String::new(), token),
            // The daemon has no use for a registry token here; it comes by FetchToken.
            Credential::Anonymous | Credential::RegistryToken(_) => Default::default(),
        };
        Ok(Response::new(CredentialsResponse { username, secret }))
    }

    async fn fetch_token(
        &self,
        request: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        let tokens = self.tokens()?;
        let request = request.into_inner();
        let token = match self.login(&request.host).await? {
            Credential::RegistryToken(token) => Token {
                token,
                expires_in: None,
                issued_at: None,
            },
            _ => {
                let request = token_request(request);
                tokens.fetcher.fetch(&request).await.map_err(|error| {
                    let context = format!("no token for {} from {}", request.host, request.realm);
                    failure(Code::Unknown, &context, &*error)
                })?
            }
        };
        Ok(Response::new(FetchTokenResponse {
            token: token.token,
            expires_in: token
                .expires_in
                .filter(|seconds| *seconds > 0)
                .unwrap_or(DEFAULT_EXPIRY),
            issued_at: token.issued_at.unwrap_or_default(),
        }))
    }

    async fn get_token_authority(
        &self,
        request: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        let request = request.into_inner();
        let key = self.key(&request.host, &request.salt).await?;
        let public_key = key.public_key().as_ref().to_vec().into();
        Ok(Response::new(GetTokenAuthorityResponse { public_key }))
    }

    async fn verify_token_authority(
        &self,
        request: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        let request = request.into_inner();
        let key = self.key(&request.host, &request.salt).await?;
        let signed = signed(&key, &request.payload);
        Ok(Response::new(VerifyTokenAuthorityResponse { signed }))
    }
}

fn token_request(request: FetchTokenRequest) -> TokenRequest {
    let client_id = match request.client_id.as_str() {
        "" => CLIENT_ID.to_owned(),
        _ => request.client_id,
    };
    TokenRequest {
        host: request.host,
        realm: request.realm,
        service: request.service,
        scopes: request.scopes,
        client_id,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::auth_server::Auth as _;
    use super::*;
    use crate::buildkit::session::{TokenFetcher, TokenSeeds};
    use crate::credentials::CredentialEnv;

    const LOGINS: &str = r#"{"auths": {
        "https://index.docker.io/v1/": {"auth": "YW5uOmh1bnRlcjI="},
        "identity.example": {"identitytoken": "refresh-me"},
        "bearer.example": {"registrytoken": "show-me"}
    }}"#;

    /// Answers with what it was asked for.
    struct Echo;

    #[async_trait::async_trait]
    impl TokenFetcher for Echo {
        async fn fetch(
            &self,
            request: &TokenRequest,
        ) -> Result<Token, Box<dyn Error + Send + Sync>> {
            if request.realm.is_empty() {
                return Err(Box::new(std::io::Error::other("no realm")));
            }
            Ok(Token {
                token: format!("{request:?}"),
                expires_in: Some(0),
                issued_at: Some(7),
            })
        }
    }

    fn auth() -> Auth {
        let auth_config = Some(LOGINS.to_owned());
        let env = CredentialEnv {
            auth_config,
            ..CredentialEnv::default()
        };
        let tokens = TokenSource {
            fetcher: Arc::new(Echo),
            seeds: TokenSeeds::new(None),
        };
        Auth {
            credentials: Arc::new(Credentials::new(env)),
            tokens: Some(tokens),
        }
    }

    async fn credentials(host: &str) -> (String, String) {
        let request = CredentialsRequest {
            host: host.to_owned(),
        };
        let answer = auth()
            .credentials(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        (answer.username, answer.secret)
    }

    #[tokio::test]
    async fn a_daemon_is_told_the_login_of_the_host_it_names() {
        async fn check(host: &str, username: &str, secret: &str) {
            assert_eq!(
                credentials(host).await,
                (username.into(), secret.into()),
                "{host}"
            );
        }
        check("registry-1.docker.io", "ann", "hunter2").await;
        check("identity.example", "", "refresh-me").await;
        check("bearer.example", "", "").await;
        check("other.example:5000", "", "").await;
    }

    #[tokio::test]
    async fn a_broken_configuration_is_an_error_that_names_the_host() {
        let env = CredentialEnv {
            auth_config: Some("{".into()),
            ..CredentialEnv::default()
        };
        let auth = Auth {
            credentials: Arc::new(Credentials::new(env)),
            tokens: None,
        };
        let request = CredentialsRequest {
            host: "a.example".into(),
        };
        let status = auth.credentials(Request::new(request)).await.unwrap_err();
        assert!(
            status
                .message()
                .starts_with("no credentials for a.example: "),
            "{status}"
        );
    }

    async fn token(host: &str, realm: &str) -> Result<FetchTokenResponse, Status> {
        let request = FetchTokenRequest {
            host: host.into(),
            realm: realm.into(),
            scopes: vec!["repository:a:pull".into()],
            ..FetchTokenRequest::default()
        };
        auth()
            .fetch_token(Request::new(request))
            .await
            .map(Response::into_inner)
    }

    #[tokio::test]
    async fn tokens_come_from_the_fetcher_or_the_configuration() {
        let answer = token("a.example", "https://auth.example/token")
            .await
            .unwrap();
        assert!(
            answer.token.contains("repository:a:pull"),
            "{}",
            answer.token
        );
        assert!(answer.token.contains(CLIENT_ID), "{}", answer.token);
        assert_eq!((answer.expires_in, answer.issued_at), (60, 7));

        let answer = token("bearer.example", "https://auth.example/token")
            .await
            .unwrap();
        assert_eq!((answer.token.as_str(), answer.expires_in), ("show-me", 60));

        let status = token("a.example", "").await.unwrap_err();
        assert_eq!(status.message(), "no token for a.example from : no realm");
    }

    async fn public_key(auth: &Auth, host: &str, salt: &[u8]) -> Vec<u8> {
        let request = GetTokenAuthorityRequest {
            host: host.into(),
            salt: salt.to_vec().into(),
        };
        let answer = auth
            .get_token_authority(Request::new(request))
            .await
            .unwrap();
        answer.into_inner().public_key.into()
    }

    #[tokio::test]
    async fn the_same_user_proves_it_with_a_signature() {
        let auth = auth();
        let key = public_key(&auth, "identity.example", b"salt").await;
        let request = VerifyTokenAuthorityRequest {
            host: "identity.example".into(),
            payload: vec![9; 32].into(),
            salt: b"salt".to_vec().into(),
        };
        let signed = auth
            .verify_token_authority(Request::new(request))
            .await
            .unwrap();
        let signed = signed.into_inner().signed;
        let (signature, payload) = signed.split_at(64);
        assert_eq!(payload, [9; 32]);
        UnparsedPublicKey::new(&ED25519, key)
            .verify(payload, signature)
            .unwrap();
    }

    #[tokio::test]
    async fn users_differ_where_they_have_a_login_and_not_where_they_have_none() {
        let (one, two) = (auth(), auth());
        for host in ["identity.example", "bearer.example", "registry-1.docker.io"] {
            assert_ne!(
                public_key(&one, host, b"s").await,
                public_key(&two, host, b"s").await
            );
            assert_eq!(
                public_key(&one, host, b"s").await,
                public_key(&one, host, b"s").await
            );
            assert_ne!(
                public_key(&one, host, b"s").await,
                public_key(&one, host, b"t").await
            );
        }
        let host = "public.example";
        assert_eq!(
            public_key(&one, host, b"s").await,
            public_key(&two, host, b"s").await
        );
    }

    #[tokio::test]
    async fn without_a_fetcher_the_daemon_is_sent_back_to_the_credentials() {
        let auth = Auth {
            tokens: None,
            ..auth()
        };
        let request = GetTokenAuthorityRequest::default();
        let status = auth
            .get_token_authority(Request::new(request))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
}
