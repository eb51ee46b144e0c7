//! The `--ssh` flag: which agents or keys a build may use.
//!
//! Only names them; the command line looks for sockets and reads keys.

use crate::attrs::{self, FlagError};

const FLAG: &str = "--ssh";

/// One agent that steps may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSpec {
    /// The name that was given; `None` means `default`.
    pub name: Option<String>,
    /// An agent's socket or key files, unexpanded; empty means the agent of `SSH_AUTH_SOCK`.
    pub paths: Vec<String>,
    /// Whether steps may say anything to the agent, where otherwise they may list keys and
    /// have things signed. buildctl has this, buildx has not.
    pub is_raw: bool,
}

impl SshSpec {
    /// Parses `NAME`, `NAME=SOCKET[,raw=BOOL]` or `NAME=KEY,KEY…`; `None` if the value is empty.
    ///
    /// The commas separate keys and know no quotes.
    ///
    /// # Errors
    ///
    /// When `raw` is no bool, or does not stand beside one socket.
    pub fn parse(value: &str) -> Result<Option<Self>, FlagError> {
        if value.is_empty() {
            return Ok(None);
        }
        let (name, values) = match value.split_once('=') {
            Some((name, values)) => (name, values.split(',').collect()),
            None => (value, Vec::new()),
        };
        let (mut paths, mut is_raw) = (Vec::new(), false);
        for value in values {
            match value.strip_prefix("raw=") {
                Some(raw) => is_raw = parse_raw(raw)?,
                None => paths.push(value.to_owned()),
            }
        }
        let name = Some(name.to_owned()).filter(|name| !name.is_empty());
        if is_raw && paths.len() != 1 {
            return Err(FlagError::Value {
                flag: FLAG,
                key: "raw".to_owned(),
                value: "true".to_owned(),
                expected: "possible but beside one socket",
            });
        }
        Ok(Some(Self {
            name,
            paths,
            is_raw,
        }))
    }

    /// The agent of `SSH_AUTH_SOCK`, under the name `default`.
    pub fn of_environment() -> Self {
        Self {
            name: None,
            paths: Vec::new(),
            is_raw: false,
        }
    }

    /// Returns the name that steps ask for.
    pub fn id(&self) -> &str {
        self.name.as_deref().unwrap_or("default")
    }
}

fn parse_raw(value: &str) -> Result<bool, FlagError> {
    attrs::parse_bool(value).ok_or_else(|| FlagError::Value {
        flag: FLAG,
        key: "raw".to_owned(),
        value: value.to_owned(),
        expected: "true or false",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, id: &str, paths: &[&str]) {
        let spec = SshSpec::parse(value).unwrap().unwrap();
        assert_eq!(spec.id(), id, "{value}");
        assert_eq!(spec.paths, paths, "{value}");
        assert_eq!(spec.is_raw, value.contains("raw=true"), "{value}");
    }

    #[test]
    fn an_empty_value_asks_for_nothing() {
        assert_eq!(SshSpec::parse(""), Ok(None));
    }

    #[test]
    fn a_name_may_have_paths() {
        check("default", "default", &[]);
        check("x=a,b", "x", &["a", "b"]);
        check("x=a=b", "x", &["a=b"]);
        check("x=", "x", &[""]);
        check("x=a,raw=true", "x", &["a"]);
        check("x=raw=false,a,b", "x", &["a", "b"]);
    }

    #[test]
    fn the_name_may_be_left_out() {
        check("=a", "default", &["a"]);
        assert_eq!(SshSpec::of_environment().id(), "default");
    }

    #[test]
    fn everything_is_let_through_to_one_socket_only() {
        let check = |value: &str, expect: &str| {
            let error = SshSpec::parse(value).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        let beside = "--ssh: `raw` is `true`, which is not possible but beside one socket";
        check("x=a,b,raw=true", beside);
        check("x=raw=true", beside);
        check("x=a,raw=x", "--ssh: `raw` is `x`");
    }
}
