//! Where credentials are looked for, taken from a user's environment variables.
//!
//! [`CredentialEnv`] is plain data: the caller reads the environment, this only knows the
//! names and their meaning.

use std::fmt;
use std::path::PathBuf;

/// The places that credentials come from.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CredentialEnv {
    /// The folder that holds docker's `config.json`; `None` when there is no home.
    pub docker_config_dir: Option<PathBuf>,
    /// The text of `DOCKER_AUTH_CONFIG`: a `config.json` given inline.
    pub auth_config: Option<String>,
    /// Files of podman's form, tried in this order after docker's own.
    pub podman_auth_files: Vec<PathBuf>,
    /// `PATH` for finding helpers; `None` leaves the process's own.
    pub path: Option<String>,
}

impl CredentialEnv {
    /// Reads the variables that docker and podman read, through `var`.
    ///
    /// An empty variable counts as unset.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let home = set("HOME").map(PathBuf::from);
        let podman = match set("REGISTRY_AUTH_FILE") {
            Some(file) => vec![PathBuf::from(file)],
            None => [
                set("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("containers/auth.json")),
                home.as_ref()
                    .map(|dir| dir.join(".config/containers/auth.json")),
            ]
            .into_iter()
            .flatten()
            .collect(),
        };
        Self {
            docker_config_dir: set("DOCKER_CONFIG")
                .map(PathBuf::from)
                .or_else(|| home.map(|dir| dir.join(".docker"))),
            auth_config: set("DOCKER_AUTH_CONFIG"),
            podman_auth_files: podman,
            path: set("PATH"),
        }
    }
}

impl fmt::Debug for CredentialEnv {
    /// Shows the paths; the inline configuration holds secrets and is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialEnv")
            .field("docker_config_dir", &self.docker_config_dir)
            .field("auth_config", &self.auth_config.as_ref().map(|_| "…"))
            .field("podman_auth_files", &self.podman_auth_files)
            .field("path", &self.path)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(vars: &[(&str, &str)]) -> CredentialEnv {
        CredentialEnv::from_vars(|name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn home_gives_the_usual_places() {
        let env = from(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/u")]);
        assert_eq!(env.docker_config_dir, Some("/h/.docker".into()));
        let podman: [PathBuf; 2] = [
            "/run/u/containers/auth.json".into(),
            "/h/.config/containers/auth.json".into(),
        ];
        assert_eq!(env.podman_auth_files, podman);
    }

    #[test]
    fn variables_override_the_usual_places() {
        let env = from(&[
            ("HOME", "/h"),
            ("DOCKER_CONFIG", "/c"),
            ("REGISTRY_AUTH_FILE", "/a.json"),
        ]);
        assert_eq!(env.docker_config_dir, Some("/c".into()));
        assert_eq!(env.podman_auth_files, [PathBuf::from("/a.json")]);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let env = from(&[
            ("HOME", "/h"),
            ("DOCKER_CONFIG", ""),
            ("DOCKER_AUTH_CONFIG", ""),
        ]);
        assert_eq!(env.docker_config_dir, Some("/h/.docker".into()));
        assert_eq!(env.auth_config, None);
    }

    #[test]
    fn debug_output_hides_the_inline_configuration() {
        let env = from(&[("DOCKER_AUTH_CONFIG", "{\"auths\":{}}")]);
        assert!(!format!("{env:?}").contains("auths"));
    }
}
