//! A Git repository as a context: which repository, which commit, which directory of it.
//!
//! [`GitContext`] reads both of BuildKit's spellings (`#REF:DIR` and `?branch=…&subdir=…`) and
//! writes the one that more daemons know. It asks nobody what a ref stands for.

mod query;
mod spelling;

use std::fmt;

pub use spelling::is_scp_like;

/// How many hexadecimal digits a commit has: of SHA-1, and of SHA-256.
const COMMIT_DIGITS: [usize; 2] = [40, 64];

/// A directory of a commit of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitContext {
    /// The repository as it was written, without query and fragment.
    remote: String,
    /// How the repository is reached.
    pub transport: Transport,
    /// A branch, a tag or a commit, full or short as it was written; `None` means what the
    /// repository's `HEAD` says.
    pub reference: Option<String>,
    /// A directory of the repository; `None` means all of it.
    pub subdir: Option<String>,
    /// What the commit, or the annotated tag, has to begin with.
    pub checksum: Option<String>,
    /// Further keys of the query, which have no other spelling, with their values.
    more: Vec<(&'static str, String)>,
}

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Over HTTP or HTTPS.
    Http,
    /// Over ssh, which needs keys.
    Ssh,
    /// Over Git's own protocol, which knows no user.
    Git,
}

/// Why a text that names a repository cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// The query has a key that nobody knows.
    #[error("unknown key `{key}`, expected one of: {}", query::KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A key is there twice.
    #[error("`{key}` is given twice")]
    Twice {
        /// The key.
        key: String,
    },
    /// A key needs a value and has none, or one of another kind.
    #[error("`{key}` is `{value}`, which is not {expected}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What it has to be, to be read after "is not".
        expected: &'static str,
    },
    /// Two parts of the text name different things.
    #[error("it names both {one} and {other}")]
    Conflict {
        /// The first one.
        one: String,
        /// The second one.
        other: String,
    },
}

impl GitContext {
    /// Reads a context; `None` when it names no repository.
    ///
    /// # Errors
    ///
    /// When it names one, with a query that cannot be understood.
    pub fn parse(text: &str) -> Result<Option<Self>, GitError> {
        let Some(spelling) = spelling::split(text) else {
            return Ok(None);
        };
        let mut context = GitContext {
            remote: spelling.remote.to_owned(),
            transport: spelling.transport,
            reference: None,
            subdir: None,
            checksum: None,
            more: Vec::new(),
        };
        if let Some(fragment) = spelling.fragment {
            let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
            context.reference = some(spelling.decode(reference));
            context.subdir = some(clean(&spelling.decode(subdir)));
        }
        query::apply(&mut context, spelling.query.unwrap_or_default())?;
        Ok(Some(context))
    }

    /// Whether every daemon builds the same commit without being told which one it is.
    pub fn is_pinned(&self) -> bool {
        let full = |text: &Option<String>| text.as_deref().is_some_and(is_commit);
        full(&self.reference) || full(&self.checksum)
    }

    /// The same with this commit in place of the branch or tag, so that a push in between
    /// makes no difference.
    #[must_use]
    pub fn pinned(&self, commit: &str) -> Self {
        // Trusts the checksum and keeps the name, so that the daemon need not fetch all history.
        if self.has("fetch-by-commit") && self.reference.is_some() {
            return self.promised(commit);
        }
        let mut pinned = self.clone();
        pinned.reference = Some(commit.to_owned());
        // Compared already, perhaps with a tag's digest, which daemons would not find in it.
        pinned.checksum = None;
        pinned.more.retain(|(key, _)| *key != "fetch-by-commit");
        pinned
    }

    /// The same with a promise that its branch or tag is this commit: daemons fail when it is not.
    ///
    /// Unlike [`GitContext::pinned`] it leaves the name in a `.git` that is kept.
    #[must_use]
    pub fn promised(&self, commit: &str) -> Self {
        Self {
            checksum: Some(commit.to_owned()),
            ..self.clone()
        }
    }

    /// Whether steps see the directory `.git`.
    pub fn keeps_git_dir(&self) -> bool {
        self.has("keep-git-dir")
    }

    /// The repository's address for Git itself.
    pub fn url(&self) -> String {
        match self.is_short() {
            true => format!("https://{}", self.remote),
            false => self.remote.clone(),
        }
    }

    /// The last word of the repository's path, without `.git`.
    pub fn name(&self) -> &str {
        let path = self.remote.trim_end_matches('/');
        let name = path.rsplit(['/', ':']).next().unwrap_or(path);
        name.strip_suffix(".git").unwrap_or(name)
    }

    /// The repository and the directory, without commit and without user and password.
    pub fn place(&self) -> (String, &str) {
        let place = super::remote::without_password(&self.url());
        (place, self.subdir.as_deref().unwrap_or_default())
    }

    /// Whether the text needs a frontend that knows queries: BuildKit 0.24 has the first.
    pub fn has_query(&self) -> bool {
        self.checksum.is_some() || !self.more.is_empty()
    }

    fn has(&self, key: &str) -> bool {
        self.more
            .iter()
            .any(|(name, value)| *name == key && value == "true")
    }

    /// Whether it is written `github.com/…`, which a daemon knows only with no scheme before it.
    fn is_short(&self) -> bool {
        spelling::is_short(&self.remote)
    }
}

/// Whether a text is a full commit, and so the same everywhere and for ever.
pub fn is_commit(text: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    COMMIT_DIGITS.contains(&text.len()) && text.bytes().all(is_hex)
}

/// Prints what daemons take: as `#REF:DIR` where that says everything.
impl fmt::Display for GitContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.remote)?;
        if self.has_query() {
            return query::write(self, f);
        }
        let encode = |text: &Option<String>| match text {
            Some(text) => spelling::encode(text, self.is_url()),
            None => String::new(),
        };
        if self.reference.is_some() || self.subdir.is_some() {
            write!(f, "#{}", encode(&self.reference))?;
        }
        if self.subdir.is_some() {
            write!(f, ":{}", encode(&self.subdir))?;
        }
        Ok(())
    }
}

impl GitContext {
    /// Whether its fragment is percent-encoded, as a URL's is and `git@host:path`'s is not.
    fn is_url(&self) -> bool {
        self.remote.contains("://") || self.is_short()
    }
}

/// The path without `.`, `..` that lead out, and slashes at its ends.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
