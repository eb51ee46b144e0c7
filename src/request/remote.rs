//! A context that daemons fetch by themselves: a Git repository, or a file on the web.
//!
//! Knows how such a thing is written, and how it is shown to people; fetches nothing.

use std::fmt;

use super::git::{GitContext, GitError, Transport, is_scp_like};

/// Something on the network that daemons fetch by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteContext {
    /// A repository.
    Git(GitContext),
    /// An archive, or a file that stands alone.
    Web(String),
}

impl RemoteContext {
    /// Reads the address of a context, which [`is_remote`] has found to be one.
    ///
    /// # Errors
    ///
    /// When a repository's address has a query that cannot be understood.
    pub fn parse(text: &str) -> Result<Self, GitError> {
        let git = GitContext::parse(text)?;
        Ok(git.map_or_else(|| Self::Web(text.to_owned()), Self::Git))
    }

    /// Whether it is a repository that is reached over ssh.
    pub fn is_ssh(&self) -> bool {
        matches!(self, Self::Git(git) if git.transport == Transport::Ssh)
    }

    /// What may be shown and written down: without password, and without the query of a file
    /// on the web, which often holds a signature.
    pub fn shown(&self) -> String {
        match self {
            Self::Git(git) => without_password(&git.to_string()),
            Self::Web(url) => {
                let end = url.find(['?', '#']).unwrap_or(url.len());
                without_password(&url[..end])
            }
        }
    }
}

/// Prints what daemons take.
impl fmt::Display for RemoteContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git(git) => git.fmt(f),
            Self::Web(url) => f.write_str(url),
        }
    }
}

/// Says whether a word names a Git repository or a file on the web.
///
/// `github.com/…` counts as such; so does `user@host:path`, unless a slash comes before the
/// colon. A directory of such a name is written with `./` before it.
pub fn is_remote(text: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ssh://", "github.com/"];
    schemes.iter().any(|scheme| text.starts_with(scheme)) || is_scp_like(text)
}

/// Says whether a word names a file on the web.
pub fn is_web(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// The address with the user's name alone, if there is a password.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}{path}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_secret() {
        let check = |text: &str, expect: &str| {
            assert_eq!(RemoteContext::parse(text).unwrap().shown(), expect);
        };
        check("https://h/a.tar?sig=x#y", "https://h/a.tar");
        check("https://u:p@h/a.tar", "https://u@h/a.tar");
        check("https://u:p@x@h/a.git#m", "https://u@h/a.git#m");
        check("ssh://git@h/a.git", "ssh://git@h/a.git");
        check("git@h:a.git#m:d", "git@h:a.git#m:d");
    }

    #[test]
    fn a_file_on_the_web_is_told_to_daemons_as_it_is() {
        let text = "https://u:p@h/a.tar?sig=x%2F#y";
        assert_eq!(RemoteContext::parse(text).unwrap().to_string(), text);
    }
}
