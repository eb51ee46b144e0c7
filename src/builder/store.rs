//! The state directory's builders: `NAME.toml` each, and `current`, which names one of them.
//!
//! [`Store`] reads without a lock, since files are only ever replaced whole, and so also
//! from a read-only disk; what it writes it writes under a lock. Blocking; the files are tiny.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::spec::{BuilderSpec, SpecError};
use crate::config::{self, ConfigError, Found, RenderError, Settings, Source};

const SUFFIX: &str = ".toml";
const CURRENT: &str = "current";
const LOCK: &str = ".lock";
/// Others hold the lock for one small write; longer means that one of them is stuck.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The builders that `mbuild builder` keeps.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// Whether a builder of the same name is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It is an error that there is one.
    No,
    /// It is replaced.
    Yes,
}

/// Why the store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file defines a builder that cannot be.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A file does not define the builder it is named after, or another besides.
    #[error("{} does not define builder `{name}` and nothing else", path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// The builder's name.
        name: String,
    },
    /// The text cannot be written.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The directory or a file in it cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process keeps the lock.
    #[error("another mbuild has held {} for {} s", path.display(), LOCK_LIMIT.as_secs())]
    Locked {
        /// The lock's file.
        path: PathBuf,
    },
    /// There is a builder of that name.
    #[error("there is a builder named `{0}` already")]
    Exists(String),
    /// There is no builder of that name.
    #[error("there is no builder named `{0}` in the state directory")]
    Absent(String),
}

impl StoreError {
    /// Says what the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Some(
                    "set XDG_STATE_HOME to a directory that can be written, or define the \
                     builder in an mbuild.toml"
                        .to_owned(),
                ),
                _ => None,
            },
            Self::Exists(name) => Some(format!(
                "add to it with --append, or remove it: mbuild builder rm {name}"
            )),
            _ => None,
        }
    }
}

impl Store {
    /// The store of a state directory, such as `~/.local/state/mbuild`; it need not be there.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            dir: state_dir.join("builders"),
        }
    }

    /// Where a builder's definition is, or would be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{SUFFIX}"))
    }

    /// Lists the names of all builders, sorted.
    ///
    /// # Errors
    ///
    /// When the directory is there and cannot be read.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |source| StoreError::Read {
            path: self.dir.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            names.extend(name.filter(|name| config::is_name(name)).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Reads one builder; `None` when there is none of that name.
    ///
    /// # Errors
    ///
    /// When its file cannot be read or understood.
    pub fn load(&self, name: &str) -> Result<Option<BuilderSpec>, StoreError> {
        if !config::is_name(name) {
            return Ok(None);
        }
        let path = self.path(name);
        let Some(settings) = read(&path)? else {
            return Ok(None);
        };
        let misnamed = || StoreError::Misnamed {
            path: path.clone(),
            name: name.to_owned(),
        };
        match (
            &settings.source,
            settings.builders.get(name),
            settings.builders.len(),
        ) {
            (Some(source), Some(def), 1) => Ok(Some(BuilderSpec::from_def(name, def, source)?)),
            _ => Err(misnamed()),
        }
    }

    /// Returns the name that `mbuild builder use` chose; `None` when nothing is chosen.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or understood.
    pub fn current(&self) -> Result<Option<String>, StoreError> {
        Ok(read(&self.dir.join(CURRENT))?.and_then(|settings| settings.builder))
    }

    /// Writes a builder.
    ///
    /// # Errors
    ///
    /// When there is one of that name and it may not be replaced, or nothing can be written.
    pub fn save(&self, spec: &BuilderSpec, replace: Replace) -> Result<PathBuf, StoreError> {
        let text = config::render_builder(&spec.name, &spec.to_def())?;
        let _lock = self.lock()?;
        let path = self.path(&spec.name);
        if replace == Replace::No && path.exists() {
            return Err(StoreError::Exists(spec.name.clone()));
        }
        self.write(&path, &text)?;
        Ok(path)
    }

    /// Changes a builder, or makes it of nothing, while no other process can.
    ///
    /// # Errors
    ///
    /// When its file cannot be read, `edit` refuses, or nothing can be written.
    pub fn edit<E: From<StoreError>>(
        &self,
        name: &str,
        edit: impl FnOnce(Option<BuilderSpec>) -> Result<BuilderSpec, E>,
    ) -> Result<BuilderSpec, E> {
        let _lock = self.lock()?;
        let spec = edit(self.load(name)?)?;
        let text = config::render_builder(&spec.name, &spec.to_def()).map_err(StoreError::from)?;
        self.write(&self.path(&spec.name), &text)?;
        Ok(spec)
    }

    /// Removes a builder, and the choice of it.
    ///
    /// # Errors
    ///
    /// When there is none, or nothing can be written.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        if !config::is_name(name) || !self.path(name).exists() {
            return Err(StoreError::Absent(name.to_owned()));
        }
        let _lock = self.lock()?;
        // The choice goes first: interrupted in between, nothing names what is not there.
        // A choice that cannot be read is not the choice of this builder.
        if matches!(self.current(), Ok(Some(current)) if current == name) {
            delete(&self.dir.join(CURRENT))?;
        }
        delete(&self.path(name))
    }

    /// Chooses a builder, defined here or in an `mbuild.toml`; `None` takes the choice back.
    ///
    /// # Errors
    ///
    /// When nothing can be written.
    pub fn choose(&self, name: Option<&str>) -> Result<(), StoreError> {
        let path = self.dir.join(CURRENT);
        match name {
            Some(name) => {
                let _lock = self.lock()?;
                self.write(&path, &config::render_choice(name))
            }
            None if !path.exists() => Ok(()),
            None => {
                let _lock = self.lock()?;
                delete(&path)
            }
        }
    }

    /// Makes the directory and waits for the lock, which the file's closing gives back.
    fn lock(&self) -> Result<File, StoreError> {
        let path = self.dir.join(LOCK);
        let failed = |source| StoreError::Write {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(&self.dir).map_err(failed)?;
        let options = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .clone();
        let file = options.open(&path).map_err(failed)?;
        let deadline = Instant::now() + LOCK_LIMIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path }),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Replaces a file whole, by renaming; the lock is held, so the other name is free.
    fn write(&self, path: &Path, text: &str) -> Result<(), StoreError> {
        let failed = |source| StoreError::Write {
            path: path.to_owned(),
            source,
        };
        let new = self.dir.join(".new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written
            .and_then(|()| fs::rename(&new, path))
            .map_err(failed)
    }
}

fn read(path: &Path) -> Result<Option<Settings>, StoreError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(source) => {
            return Err(StoreError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let source = Source {
        path: path.to_owned(),
        found: Found::State,
    };
    Ok(Some(config::parse(&text, source, None)?))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn delete(path: &Path) -> Result<(), StoreError> {
    fs::remove_file(path).map_err(|source| StoreError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::super::spec::{NodeSpec, Origin};
    use super::*;

    fn spec(name: &str, endpoint: &str) -> BuilderSpec {
        BuilderSpec {
            name: name.into(),
            nodes: vec![NodeSpec::new("n", endpoint.parse().unwrap())],
            origin: Origin::New,
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(&dir.path().join("state/mbuild"));
        (dir, store)
    }

    #[test]
    fn nothing_is_there_before_the_first_write() {
        let (dir, store) = store();
        assert_eq!(store.names().unwrap(), Vec::<String>::new());
        assert_eq!(store.load("farm").unwrap(), None);
        assert_eq!(store.current().unwrap(), None);
        store.choose(None).unwrap();
        assert!(
            !dir.path().join("state").exists(),
            "reading makes no directory"
        );
    }

    #[test]
    fn a_builder_is_kept_replaced_and_removed() {
        let (_dir, store) = store();
        let path = store.save(&spec("farm", "tcp://h:1"), Replace::No).unwrap();
        let read = store.load("farm").unwrap().unwrap();
        assert_eq!(read.nodes, spec("farm", "tcp://h:1").nodes);
        assert_eq!(read.origin, Origin::State(path));

        let again = store
            .save(&spec("farm", "tcp://h:2"), Replace::No)
            .unwrap_err();
        assert!(
            matches!(&again, StoreError::Exists(name) if name == "farm"),
            "{again}"
        );
        store
            .save(&spec("farm", "tcp://h:2"), Replace::Yes)
            .unwrap();
        assert_eq!(
            store.load("farm").unwrap().unwrap().nodes,
            spec("f", "tcp://h:2").nodes
        );

        store.save(&spec("barn", "unix:///s"), Replace::No).unwrap();
        assert_eq!(store.names().unwrap(), ["barn", "farm"]);
        store.remove("farm").unwrap();
        assert_eq!(store.names().unwrap(), ["barn"]);
        assert!(matches!(store.remove("farm"), Err(StoreError::Absent(_))));
        assert!(matches!(store.remove("../x"), Err(StoreError::Absent(_))));
    }

    #[test]
    fn removing_the_current_builder_takes_the_choice_back() {
        let (_dir, store) = store();
        for name in ["a", "b"] {
            store.save(&spec(name, "tcp://h:1"), Replace::No).unwrap();
        }
        store.choose(Some("a")).unwrap();
        store.remove("b").unwrap();
        assert_eq!(store.current().unwrap().as_deref(), Some("a"));
        store.remove("a").unwrap();
        assert_eq!(store.current().unwrap(), None);
    }

    #[test]
    fn broken_files_name_themselves() {
        let (_dir, store) = store();
        store.save(&spec("a", "tcp://h:1"), Replace::No).unwrap();
        fs::copy(store.path("a"), store.path("b")).unwrap();
        assert!(matches!(store.load("b"), Err(StoreError::Misnamed { .. })));
        fs::write(store.path("b"), "nodes = 1\n").unwrap();
        let error = store.load("b").unwrap_err().to_string();
        assert!(error.contains("b.toml:1: unknown key `nodes`"), "{error}");
        fs::write(store.path("b"), "version = 9\n").unwrap();
        let error = store.load("b").unwrap_err().to_string();
        assert!(error.contains("version 9 is not known"), "{error}");
        assert_eq!(
            store.names().unwrap(),
            ["a", "b"],
            "listing shows them all the same"
        );
    }

    #[test]
    fn a_disk_that_cannot_be_written_is_still_read() {
        let (dir, store) = store();
        store.save(&spec("a", "tcp://h:1"), Replace::No).unwrap();
        // A file where the directory should be refuses writes, for root as well.
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Store::new(&file)
            .save(&spec("a", "tcp://h:1"), Replace::No)
            .unwrap_err();
        assert!(matches!(error, StoreError::Write { .. }), "{error}");
        let read_only = StoreError::Write {
            path: "/x".into(),
            source: io::ErrorKind::ReadOnlyFilesystem.into(),
        };
        assert!(read_only.hint().unwrap().contains("XDG_STATE_HOME"));
        fs::remove_file(store.dir.join(LOCK)).unwrap();
        assert!(
            store.load("a").unwrap().is_some(),
            "no lock is needed to read"
        );
    }

    #[test]
    fn writers_wait_for_each_other() {
        let (_dir, store) = store();
        let lock = store.lock().unwrap();
        let other = store.clone();
        let writer = std::thread::spawn(move || other.save(&spec("a", "tcp://h:1"), Replace::No));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!writer.is_finished());
        drop(lock);
        writer.join().unwrap().unwrap();
    }
}
