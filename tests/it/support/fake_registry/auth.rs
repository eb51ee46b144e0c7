//! Whom the registry lets in, and its token service.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use reqwest::Url;

use super::serve::{Body, Target, plain, refuse, with};
use super::{Auth, Shared, State};

impl Shared {
    /// Refuses who has not shown what is asked for.
    pub(super) fn guard(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<Response<Body>> {
        let shown = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let reads = matches!(method.as_str(), "GET" | "HEAD");
        let action = if reads { "pull" } else { "push" };
        let repo = Target::of(path).map_or("", |target| target.repo);
        let state = self.state.lock().unwrap();
        if state.allows(self.setup.auth, shown, repo, action) {
            return None;
        }
        let scheme = if self.setup.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let challenge = match self.setup.auth {
            Auth::Basic => "Basic realm=\"fake\"".to_owned(),
            _ => format!(
                "Bearer realm=\"{scheme}://{}/token\",service=\"fake\",scope=\"repository:{repo}:{action}\"",
                self.address,
            ),
        };
        Some(with(
            refuse(401, "UNAUTHORIZED"),
            &[("www-authenticate", challenge)],
        ))
    }

    pub(super) fn give_token(
        &self,
        method: &Method,
        query: &str,
        headers: &HeaderMap,
        bytes: &Bytes,
    ) -> Response<Body> {
        let text = if *method == Method::POST {
            if !self.setup.form {
                return plain(404, "");
            }
            String::from_utf8_lossy(bytes).into_owned()
        } else {
            query.to_owned()
        };
        let url = Url::parse(&format!("http://x/?{text}")).unwrap();
        let of = |name: &str| -> Vec<String> {
            let values = url.query_pairs().filter(|(key, _)| key == name);
            values.map(|(_, value)| value.into_owned()).collect()
        };
        let is = |name: &str, value: &str| of(name) == [value];
        let basic = format!("Basic {}", STANDARD.encode("ann:pw"));
        let known = is("refresh_token", "refresh")
            || (is("username", "ann") && is("password", "pw"))
            || headers
                .get("authorization")
                .is_some_and(|value| *value == *basic);
        if !known && self.setup.auth == Auth::Bearer {
            return refuse(401, "UNAUTHORIZED");
        }
        let mut scopes: Vec<String> = of("scope")
            .iter()
            .flat_map(|scopes| scopes.split(' '))
            .map(str::to_owned)
            .collect();
        if self.setup.auth == Auth::ReadOnly {
            scopes
                .iter_mut()
                .for_each(|scope| *scope = scope.replace("pull,push", "pull"));
        }
        let mut state = self.state.lock().unwrap();
        let token = format!("token-{}", state.tokens.len());
        state.tokens.insert(token.clone(), scopes);
        plain(200, format!(r#"{{"token":"{token}","expires_in":300}}"#))
    }
}

impl State {
    pub(super) fn allows(&self, auth: Auth, shown: Option<&str>, repo: &str, action: &str) -> bool {
        match auth {
            Auth::Open => true,
            Auth::Basic => shown == Some(&format!("Basic {}", STANDARD.encode("ann:pw"))),
            Auth::Bearer | Auth::ReadOnly => {
                let token = shown.and_then(|value| value.strip_prefix("Bearer "));
                let Some(scopes) = token.and_then(|token| self.tokens.get(token)) else {
                    return false;
                };
                let prefix = format!("repository:{repo}:");
                repo.is_empty()
                    || scopes.iter().any(|scope| {
                        let actions = scope.strip_prefix(&prefix);
                        actions.is_some_and(|actions| actions.split(',').any(|a| a == action))
                    })
            }
        }
    }
}
