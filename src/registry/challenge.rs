//! Reads `WWW-Authenticate`: how a registry wants to be shown credentials. Pure.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use http_auth::ChallengeParser;

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token from a token service.
    Bearer {
        /// The token service's address.
        realm: String,
        /// What the registry calls itself there; empty when it does not say.
        service: String,
    },
}

impl Challenge {
    /// The challenge in a refusal's headers: Bearer if offered, else Basic.
    ///
    /// `None` when there is none that we can meet.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut basic = None;
        for value in headers.get_all(WWW_AUTHENTICATE) {
            let Ok(text) = value.to_str() else { continue };
            for challenge in ChallengeParser::new(text).map_while(Result::ok) {
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    let param = |name: &str| {
                        let found = challenge
                            .params
                            .iter()
                            .find(|(key, _)| key.eq_ignore_ascii_case(name));
                        found
                            .map(|(_, value)| value.to_unescaped())
                            .unwrap_or_default()
                    };
                    let realm = param("realm");
                    if !realm.is_empty() {
                        return Some(Self::Bearer {
                            realm,
                            service: param("service"),
                        });
                    }
                } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        basic
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(values: &[&str], expect: Option<Challenge>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(Challenge::of(&headers), expect, "{values:?}");
    }

    fn bearer(realm: &str, service: &str) -> Option<Challenge> {
        let [realm, service] = [realm, service].map(str::to_owned);
        Some(Challenge::Bearer { realm, service })
    }

    #[test]
    fn bearer_is_read_with_its_parameters() {
        check(
            &[
                r#"Bearer realm="https://auth/token",service="r.example",scope="repository:a/b:pull,push""#,
            ],
            bearer("https://auth/token", "r.example"),
        );
        check(&[r#"bearer Realm="https://a""#], bearer("https://a", ""));
    }

    #[test]
    fn bearer_is_preferred_wherever_it_stands() {
        let both = r#"Basic realm="x", Bearer realm="https://a""#;
        check(&[both], bearer("https://a", ""));
        check(
            &[r#"Basic realm="x""#, r#"Bearer realm="https://a""#],
            bearer("https://a", ""),
        );
    }

    #[test]
    fn what_cannot_be_met_is_none() {
        check(&[r#"Basic realm="x""#], Some(Challenge::Basic));
        check(&[], None);
        check(&["Negotiate"], None);
        check(&["Bearer service=\"x\""], None);
        check(&["\"\""], None);
    }
}
