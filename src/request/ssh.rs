//! The `--ssh` flag: which agents or keys a build may use.
//!
//! Only names them; the session opens sockets and reads keys.

/// One agent that steps may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSpec {
    /// The name that was given; `None` means `default`.
    pub name: Option<String>,
    /// An agent's socket or key files, unexpanded; empty means the agent of `SSH_AUTH_SOCK`.
    pub paths: Vec<String>,
}

impl SshSpec {
    /// Parses `NAME`, `NAME=SOCKET` or `NAME=KEY,KEY…`; `None` if the value is empty.
    ///
    /// Nothing else is refused. The commas separate keys and know no quotes.
    pub fn parse(value: &str) -> Option<Self> {
        if value.is_empty() {
            return None;
        }
        let (name, paths) = match value.split_once('=') {
            Some((name, paths)) => (name, paths.split(',').map(str::to_owned).collect()),
            None => (value, Vec::new()),
        };
        let name = Some(name.to_owned()).filter(|name| !name.is_empty());
        Some(Self { name, paths })
    }

    /// Returns the name that steps ask for.
    pub fn id(&self) -> &str {
        self.name.as_deref().unwrap_or("default")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, id: &str, paths: &[&str]) {
        let spec = SshSpec::parse(value).unwrap();
        assert_eq!(spec.id(), id, "{value}");
        assert_eq!(spec.paths, paths, "{value}");
    }

    #[test]
    fn an_empty_value_asks_for_nothing() {
        assert_eq!(SshSpec::parse(""), None);
    }

    #[test]
    fn a_name_may_have_paths() {
        check("default", "default", &[]);
        check("x=a,b", "x", &["a", "b"]);
        check("x=a=b", "x", &["a=b"]);
        check("x=", "x", &[""]);
    }

    #[test]
    fn the_name_may_be_left_out() {
        check("=a", "default", &["a"]);
    }
}
