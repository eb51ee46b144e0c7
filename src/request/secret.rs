//! The `--secret` flag: where a secret's bytes are read from when a build asks for it.
//!
//! Never holds the bytes themselves.

use std::path::PathBuf;

use crate::attrs::{self, FlagError};

const FLAG: &str = "--secret";
const KEYS: &[&str] = &["id", "src", "source", "env", "type"];

/// One secret that steps may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretSpec {
    /// The name that steps ask for; empty only until [`SecretSpec::check`].
    pub id: String,
    /// The file that was named.
    pub file: Option<PathBuf>,
    /// The environment variable that was named; it goes before the file.
    pub env: Option<String>,
}

/// Where the bytes of a secret are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In this file.
    File(PathBuf),
    /// In this environment variable.
    Env(String),
    /// In the environment variable named like the secret if it is set, else in such a file.
    Either(String),
}

impl SecretSpec {
    /// Parses `id=ID[,src=FILE|,env=NAME][,type=file|env]`; `None` if the value is empty.
    ///
    /// # Errors
    ///
    /// When a field is not a pair, or a key or the type is unknown.
    pub fn parse(value: &str) -> Result<Option<Self>, FlagError> {
        if value.is_empty() {
            return Ok(None);
        }
        let mut spec = Self::default();
        let mut source = String::new();
        let mut is_env = false;
        for (key, value) in attrs::split_pairs(FLAG, value)? {
            match key.as_str() {
                "type" => is_env = parse_type(value)?,
                "id" => spec.id = value,
                "source" | "src" => source = value,
                "env" => spec.env = Some(value).filter(|value| !value.is_empty()),
                _ => {
                    return Err(FlagError::UnknownKey {
                        flag: FLAG,
                        key,
                        allowed: KEYS,
                    });
                }
            }
        }
        let source = Some(source).filter(|source| !source.is_empty());
        if is_env && spec.env.is_none() {
            spec.env = source;
        } else {
            spec.file = source.map(PathBuf::from);
        }
        Ok(Some(spec))
    }

    /// Checks that the secret has a name, without which nothing could ask for it.
    ///
    /// # Errors
    ///
    /// When `id` is missing.
    pub fn check(&self) -> Result<(), FlagError> {
        if !self.id.is_empty() {
            return Ok(());
        }
        let env = self.env.iter().map(|name| format!("env={name}"));
        let file = self
            .file
            .iter()
            .map(|path| format!("src={}", path.display()));
        Err(FlagError::MissingKey {
            flag: FLAG,
            key: "id",
            value: attrs::join(env.chain(file)),
        })
    }

    /// Says where the bytes are.
    pub fn source(&self) -> SecretSource {
        match (&self.env, &self.file) {
            (Some(name), _) => SecretSource::Env(name.clone()),
            (None, Some(path)) => SecretSource::File(path.clone()),
            (None, None) => SecretSource::Either(self.id.clone()),
        }
    }
}

/// Says whether the type is `env` rather than `file`.
fn parse_type(value: String) -> Result<bool, FlagError> {
    match value.as_str() {
        "file" => Ok(false),
        "env" => Ok(true),
        _ => Err(FlagError::Value {
            flag: FLAG,
            key: "type".to_owned(),
            value,
            expected: "file or env",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> SecretSpec {
        SecretSpec::parse(value).unwrap().unwrap()
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |value: &str, expect: &str| {
            assert_eq!(SecretSpec::parse(value).unwrap_err().to_string(), expect);
        };
        check(
            "id=a,target=/x",
            "--secret: unknown key `target`, expected one of: id, src, source, env, type",
        );
        check(
            "id=a,type=x",
            "--secret: `type` is `x`, which is not file or env",
        );
        check("a", "--secret: field `a` is not of the form key=value");
    }

    #[test]
    fn a_secret_without_a_name_is_refused() {
        let check = |value: &str, expect: &str| {
            assert_eq!(parse(value).check().unwrap_err().to_string(), expect);
        };
        check("src=/x", "--secret: `src=/x` has no `id`");
        check("env=X,src=/x", "--secret: `env=X,src=/x` has no `id`");
        check("id=", "--secret: `` has no `id`");
    }

    #[test]
    fn the_source_is_a_variable_or_a_file_or_open() {
        let check = |value: &str, expect: SecretSource| {
            let spec = parse(value);
            assert_eq!(spec.source(), expect, "{value}");
            assert_eq!(spec.check(), Ok(()));
        };
        let env = || SecretSource::Env("X".to_owned());
        check("id=a,src=X", SecretSource::File(PathBuf::from("X")));
        check(
            "id=a,source=X,type=file",
            SecretSource::File(PathBuf::from("X")),
        );
        check("id=a,env=X", env());
        check("id=a,type=env,src=X", env());
        check("id=a,env=X,src=y", env());
        check("id=a", SecretSource::Either("a".to_owned()));
        assert_eq!(SecretSpec::parse(""), Ok(None));
    }
}
