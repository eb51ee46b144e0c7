//! A user's `buildkitd.toml` for daemons in pods: [`DaemonConfig`].
//!
//! The certificates and keys that it names for registries come along, and the paths are
//! changed to where the pods find them. What the daemons make of the rest is theirs.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::{OptionError, ReadFile};

/// Where pods have the files of registries.
pub(in super::super) const CERTS_DIR: &str = "/etc/buildkit/certs";

/// What errors call it.
const OPTION: &str = "buildkitd-config";

/// A configuration, and the files that it names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonConfig {
    /// The TOML with the pods' paths.
    pub toml: String,
    /// The files of [`CERTS_DIR`], by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl DaemonConfig {
    /// Reads a configuration and what it names.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or the configuration is no TOML.
    pub fn read(path: &Path, read: ReadFile<'_>) -> Result<Self, OptionError> {
        let bytes = read_file(path, read)?;
        let syntax = |reason: String| OptionError::Syntax {
            option: OPTION.to_owned(),
            path: path.display().to_string(),
            reason,
        };
        let text = String::from_utf8(bytes).map_err(|error| syntax(error.to_string()))?;
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
            // The first lines show the place.
            syntax(error.to_string().trim_end().to_owned())
        })?;
        let mut config = Self::default();
        let registries = table.get_mut("registry").and_then(Value::as_table_mut);
        for (host, registry) in registries.into_iter().flatten() {
            if let Some(registry) = registry.as_table_mut() {
                config.take_files(host, registry, read)?;
            }
        }
        // As it was written, comments and all, where no path had to be changed.
        config.toml = match config.files.is_empty() {
            true => text,
            false => toml::to_string(&table).map_err(|error| syntax(error.to_string()))?,
        };
        Ok(config)
    }

    fn take_files(
        &mut self,
        host: &str,
        registry: &mut Table,
        read: ReadFile<'_>,
    ) -> Result<(), OptionError> {
        let authorities = registry.get_mut("ca").and_then(Value::as_array_mut);
        for path in authorities.into_iter().flatten() {
            self.take_file(host, path, read)?;
        }
        let pairs = registry.get_mut("keypair").and_then(Value::as_array_mut);
        for pair in pairs.into_iter().flatten() {
            for part in ["key", "cert"] {
                if let Some(path) = pair.get_mut(part) {
                    self.take_file(host, path, read)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the file that a path names, and makes it the pods' path.
    fn take_file(
        &mut self,
        host: &str,
        path: &mut Value,
        read: ReadFile<'_>,
    ) -> Result<(), OptionError> {
        let Some(text) = path.as_str().map(str::to_owned) else {
            return Ok(());
        };
        let file = Path::new(&text);
        let bytes = read_file(file, read)?;
        let base = file.file_name().unwrap_or_default().to_string_lossy();
        // Two directories may have files of one name.
        let mut name = key(&format!("{host}-{base}"));
        let mut number = 2;
        while self.files.get(&name).is_some_and(|other| *other != bytes) {
            name = key(&format!("{host}-{number}-{base}"));
            number += 1;
        }
        *path = Value::String(format!("{CERTS_DIR}/{name}"));
        self.files.insert(name, bytes);
        Ok(())
    }
}

/// A key of a Secret: letters, digits, `-`, `_` and `.`.
fn key(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect()
}

fn read_file(path: &Path, read: ReadFile<'_>) -> Result<Vec<u8>, OptionError> {
    read(path).map_err(|source| OptionError::Unreadable {
        option: OPTION.to_owned(),
        path: path.display().to_string(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Files that contain their own path; `/t.toml` has this text.
    fn read(text: &str) -> Result<DaemonConfig, OptionError> {
        DaemonConfig::read(Path::new("/t.toml"), &|path| match path.to_str() {
            Some("/t.toml") => Ok(text.into()),
            Some("/none") => Err(io::ErrorKind::NotFound.into()),
            other => Ok(other.unwrap().into()),
        })
    }

    #[test]
    fn without_files_the_text_stays_as_it_is() {
        let text = "# mine\ndebug = true\n[registry.\"r:5000\"]\n  http = true\n";
        assert_eq!(read(text).unwrap().toml, text);
    }

    #[test]
    fn certificates_and_keys_come_along() {
        let config = read(
            "[registry.\"r:5000\"]\nca = [\"/a/ca.pem\", \"/b/ca.pem\"]\n\
             [[registry.\"r:5000\".keypair]]\nkey = \"/k.pem\"\ncert = \"/c.pem\"\n",
        );
        let config = config.unwrap();
        let names: Vec<_> = config.files.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "r-5000-2-ca.pem",
                "r-5000-c.pem",
                "r-5000-ca.pem",
                "r-5000-k.pem"
            ]
        );
        assert_eq!(config.files["r-5000-2-ca.pem"], b"/b/ca.pem");
        assert!(config.toml.contains("/etc/buildkit/certs/r-5000-2-ca.pem"));
        assert!(!config.toml.contains("/a/ca.pem"), "{}", config.toml);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = read("[registry.r]\nca = [\"/none\"]\n").unwrap_err();
        assert!(error.to_string().ends_with("cannot read /none"), "{error}");
        let error = read("a = \n").unwrap_err().to_string();
        assert!(
            error.contains("`buildkitd-config`: /t.toml cannot be understood"),
            "{error}"
        );
    }
}
