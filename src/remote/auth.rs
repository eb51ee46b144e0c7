//! The secrets by which daemons, and so the client too, log in to a Git server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The secret that is a whole `Authorization` header.
const HEADER: &str = "GIT_AUTH_HEADER";
/// The secret that is a token.
const TOKEN: &str = "GIT_AUTH_TOKEN";
/// The user that a token belongs to, which servers don't look at.
const TOKEN_USER: &str = "x-access-token";

/// The `Authorization` header for a repository's address, from the secrets that daemons look
/// for, in their order; `None` if there is none, or the repository is not reached over HTTP.
///
/// `secret` gives a secret's text by its name.
pub fn authorization(url: &str, secret: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let names = [
        (format!("{HEADER}.{host}"), false),
        (format!("{TOKEN}.{host}"), true),
        (HEADER.to_owned(), false),
        (TOKEN.to_owned(), true),
    ];
    names.iter().find_map(|(name, is_token)| {
        let text = secret(name)?;
        let text = text.trim_end_matches(['\r', '\n']);
        Some(match is_token {
            true => format!("basic {}", STANDARD.encode(format!("{TOKEN_USER}:{text}"))),
            false => text.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, secrets: &[(&str, &str)], expect: Option<&str>) {
        let secret = |name: &str| {
            let found = secrets.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned())
        };
        assert_eq!(authorization(url, secret).as_deref(), expect, "{url}");
    }

    #[test]
    fn the_secret_of_the_host_goes_first_and_a_header_before_a_token() {
        let all = [
            ("GIT_AUTH_TOKEN", "t"),
            ("GIT_AUTH_HEADER", "h"),
            ("GIT_AUTH_TOKEN.a:1", "ta\n"),
        ];
        check(
            "https://u@a:1/x.git",
            &all,
            Some("basic eC1hY2Nlc3MtdG9rZW46dGE="),
        );
        check("http://b/x.git", &all, Some("h"));
        check(
            "https://b/x.git",
            &all[..1],
            Some("basic eC1hY2Nlc3MtdG9rZW46dA=="),
        );
        check("https://b/x.git", &[], None);
        check("git@a:x.git", &all, None);
        check("ssh://a/x.git", &all, None);
    }
}
