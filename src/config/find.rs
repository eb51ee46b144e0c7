//! Which configuration file is used, and reading it.
//!
//! Where to look is computed from arguments and environment alone; the first file that is
//! there wins whole, and nothing is merged.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{ConfigError, Env, Found, Settings, Source, parse};

/// What a configuration file is called.
pub const FILE_NAME: &str = "mbuild.toml";
/// A thousand nodes fit in a fifth of this; more is some other file.
const MAX_FILE: u64 = 1 << 20;

/// All that decides where the configuration is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// The value of `--config`.
    pub flag: Option<&'a Path>,
    /// The environment.
    pub env: &'a Env,
    /// The working directory, absolute.
    pub cwd: &'a Path,
}

/// The file in the user's configuration directory; `None` without a home directory.
pub fn user_file(env: &Env) -> Option<PathBuf> {
    let absolute = |name: &str| {
        let dir = env.get(name).map(Path::new)?;
        dir.is_absolute().then(|| dir.to_owned())
    };
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(base.join("mbuild").join(FILE_NAME))
}

/// Reads the first configuration file there is; none at all is all defaults.
///
/// # Errors
///
/// When the file that wins cannot be read or is refused by [`parse()`]; a file named by
/// `--config` or `MBUILD_CONFIG` must be there.
pub fn load(lookup: &Lookup<'_>) -> Result<Settings, ConfigError> {
    let user_file = user_file(lookup.env);
    for source in candidates(lookup, user_file.as_deref()) {
        let optional = matches!(source.found, Found::Walked | Found::User);
        let text = match read(&source.path, optional) {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            Err(ReadError::Io(error)) => {
                return Err(ConfigError::Read {
                    path: source.path,
                    source: error,
                });
            }
            Err(ReadError::TooLarge) => {
                return Err(ConfigError::TooLarge {
                    path: source.path,
                    limit: MAX_FILE,
                });
            }
        };
        let walked = source.found == Found::Walked;
        let mut settings = parse(&text, source, user_file.as_deref())?;
        settings.unread = user_file.filter(|file| walked && file.is_file());
        return Ok(settings);
    }
    Ok(Settings::default())
}

/// Lists the places in the order they count; one that is named ends the list.
fn candidates(lookup: &Lookup<'_>, user_file: Option<&Path>) -> Vec<Source> {
    if let Some(path) = lookup.flag {
        return vec![Source {
            path: lookup.cwd.join(path),
            found: Found::Flag,
        }];
    }
    if let Some(path) = lookup
        .env
        .get("MBUILD_CONFIG")
        .filter(|path| !path.is_empty())
    {
        return vec![Source {
            path: lookup.cwd.join(path),
            found: Found::Env,
        }];
    }
    let walked = lookup.cwd.ancestors().map(|dir| dir.join(FILE_NAME));
    // Working in one's own configuration directory does not make the file less one's own.
    let walked = walked.filter(|path| Some(path.as_path()) != user_file);
    let mut sources: Vec<_> = walked
        .map(|path| Source {
            path,
            found: Found::Walked,
        })
        .collect();
    if let Some(path) = user_file {
        sources.push(Source {
            path: path.to_owned(),
            found: Found::User,
        });
    }
    sources
}

enum ReadError {
    Io(io::Error),
    TooLarge,
}

/// Reads a file; `None` when it is optional and there is no file of that name.
fn read(path: &Path, optional: bool) -> Result<Option<String>, ReadError> {
    if optional {
        // Only a regular file counts: opening a pipe that lies about would wait for ever.
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Ok(None),
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(ReadError::Io(error)),
        }
    }
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 > MAX_FILE => Err(ReadError::TooLarge),
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(ReadError::Io(error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// The places that are looked at, each with a letter for how it was found.
    fn places(flag: Option<&str>, pairs: &[(&str, &str)], cwd: &str) -> Vec<String> {
        let env = env(pairs);
        let lookup = Lookup {
            flag: flag.map(Path::new),
            env: &env,
            cwd: Path::new(cwd),
        };
        candidates(&lookup, user_file(&env).as_deref())
            .into_iter()
            .map(|source| format!("{:?} {}", source.found, source.path.display()))
            .collect()
    }

    #[test]
    fn a_named_file_is_the_only_place() {
        let home = ("HOME", "/home/me");
        let named = ("MBUILD_CONFIG", "/etc/b.toml");
        assert_eq!(
            places(Some("a.toml"), &[home, named], "/src"),
            ["Flag /src/a.toml"]
        );
        assert_eq!(places(None, &[home, named], "/src"), ["Env /etc/b.toml"]);
    }

    #[test]
    fn the_working_directory_comes_before_the_users() {
        assert_eq!(
            places(
                None,
                &[("HOME", "/home/me"), ("MBUILD_CONFIG", "")],
                "/src/app"
            ),
            [
                "Walked /src/app/mbuild.toml",
                "Walked /src/mbuild.toml",
                "Walked /mbuild.toml",
                "User /home/me/.config/mbuild/mbuild.toml",
            ]
        );
        assert_eq!(places(None, &[], "/"), ["Walked /mbuild.toml"]);
    }

    #[test]
    fn the_users_own_file_is_trusted_from_within_its_directory() {
        assert_eq!(
            places(
                None,
                &[("XDG_CONFIG_HOME", "/cfg"), ("HOME", "/home/me")],
                "/cfg/mbuild"
            ),
            [
                "Walked /cfg/mbuild.toml",
                "Walked /mbuild.toml",
                "User /cfg/mbuild/mbuild.toml"
            ]
        );
    }

    #[test]
    fn a_relative_configuration_directory_is_ignored() {
        let relative = env(&[("XDG_CONFIG_HOME", "cfg"), ("HOME", "/home/me")]);
        assert_eq!(
            user_file(&relative),
            Some("/home/me/.config/mbuild/mbuild.toml".into())
        );
        assert_eq!(user_file(&env(&[("HOME", "")])), None);
    }

    #[test]
    fn the_nearest_file_wins_whole() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::create_dir(below.join(FILE_NAME)).unwrap();
        std::fs::write(dir.path().join("a").join(FILE_NAME), "builder = \"near\"\n").unwrap();
        std::fs::write(dir.path().join(FILE_NAME), "allow_emulation = true\n").unwrap();
        let env = Env::new();
        let settings = load(&Lookup {
            flag: None,
            env: &env,
            cwd: &below,
        })
        .unwrap();
        assert_eq!(settings.builder.as_deref(), Some("near"));
        assert_eq!(settings.allow_emulation, None);
        let source = settings.source.unwrap();
        assert_eq!(source.path, dir.path().join("a").join(FILE_NAME));
        assert_eq!(settings.unread, None);

        let own = dir.path().join("own");
        std::fs::create_dir_all(own.join("mbuild")).unwrap();
        std::fs::write(own.join("mbuild").join(FILE_NAME), "").unwrap();
        let env = Env::from([("XDG_CONFIG_HOME".to_owned(), own.display().to_string())]);
        let settings = load(&Lookup {
            flag: None,
            env: &env,
            cwd: &below,
        })
        .unwrap();
        assert_eq!(settings.unread, Some(own.join("mbuild").join(FILE_NAME)));
    }

    #[test]
    fn a_named_file_must_be_there_and_small() {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::new();
        let load = |name: &str| {
            load(&Lookup {
                flag: Some(Path::new(name)),
                env: &env,
                cwd: dir.path(),
            })
        };
        let error = load("absent.toml").unwrap_err();
        assert!(matches!(error, ConfigError::Read { .. }), "{error}");
        assert!(error.to_string().contains("absent.toml"));
        std::fs::write(dir.path().join("large"), vec![b'#'; MAX_FILE as usize + 1]).unwrap();
        assert!(matches!(
            load("large").unwrap_err(),
            ConfigError::TooLarge { .. }
        ));
        std::fs::write(dir.path().join("binary"), [0xff, 0xfe]).unwrap();
        assert!(matches!(
            load("binary").unwrap_err(),
            ConfigError::Read { .. }
        ));
        assert_eq!(load("/dev/null").unwrap().builder, None);
    }
}
