//! What a command may know of the process it runs in: the only ambient things.
//!
//! Nothing below the command line reads the environment, the working directory or the
//! terminal by itself; it is handed what it needs of [`App`].

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use tracing_subscriber::EnvFilter;

use crate::progress::NoteWriter;

/// The process around a command.
#[derive(Debug, Clone)]
pub struct App {
    /// The environment; variables that are not UTF-8 are left out.
    pub env: BTreeMap<String, String>,
    /// The working directory.
    pub cwd: PathBuf,
    /// Whether stderr is a terminal.
    pub stderr_is_terminal: bool,
    /// Whether stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether stdin is a terminal.
    pub stdin_is_terminal: bool,
    /// The flags that every command has.
    pub global: Global,
    /// Where log lines go: to stderr, or above the live table while a build runs.
    pub notes: NoteWriter,
}

/// The flags that every command has.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Global {
    /// Builder to use instead of the default
    #[arg(long, global = true, value_name = "NAME")]
    pub builder: Option<String>,
    /// Configuration file to use instead of the one that is found
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say more: which configuration and transport are used, and how long things take
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// buildx's name for saying more
    #[arg(short = 'D', long, global = true, hide = true)]
    pub debug: bool,
}

impl App {
    /// Looks at the process once.
    pub fn of_process(global: Global) -> io::Result<App> {
        let env = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(App {
            env,
            cwd: std::env::current_dir()?,
            stderr_is_terminal: io::stderr().is_terminal(),
            stdout_is_terminal: io::stdout().is_terminal(),
            stdin_is_terminal: io::stdin().is_terminal(),
            global,
            notes: NoteWriter::default(),
        })
    }

    /// Lets log lines out, as many as `-v` asks for: one for what was chosen and how long it
    /// took, two for what goes over the wire.
    pub fn start_log(&self) {
        let level = match (self.global.verbose, self.global.debug) {
            (0, false) => return,
            (1, false) => "mbuild=info",
            _ => "mbuild=debug",
        };
        // Fails only if a log is let out already.
        drop(
            tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new(level))
                .with_writer(self.notes.clone())
                .with_ansi(false)
                .with_target(false)
                .without_time()
                .try_init(),
        );
    }

    /// The variable's value; `None` when it is unset or empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether the variable holds one of Go's words for true; unset, empty or anything else is no.
    pub fn is_on(&self, name: &str) -> bool {
        self.var(name).and_then(crate::attrs::parse_bool) == Some(true)
    }

    /// The user's home directory, or the root where there is none.
    pub fn home(&self) -> PathBuf {
        self.var("HOME")
            .map_or_else(|| PathBuf::from("/"), PathBuf::from)
    }

    /// Where docker keeps `config.json`.
    pub fn docker_config_dir(&self) -> PathBuf {
        match self.var("DOCKER_CONFIG") {
            Some(dir) => self.path(Path::new(dir)),
            None => self.home().join(".docker"),
        }
    }

    /// Where mbuild keeps what it remembers between runs.
    pub fn state_dir(&self) -> PathBuf {
        match self.var("XDG_STATE_HOME") {
            Some(dir) => self.path(Path::new(dir)).join("mbuild"),
            None => self.home().join(".local/state/mbuild"),
        }
    }

    /// A path as the user means it: relative ones start in the working directory.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.cwd.join(path)
    }

    /// Writes data to stdout; a reader that went away is no error.
    pub fn print(&self, text: &str) -> io::Result<()> {
        ignore_closed(io::stdout().lock().write_all(text.as_bytes()))
    }

    /// Writes talk to stderr, as well as it can be.
    pub fn say(&self, text: &str) {
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }

    /// Writes one warning line to stderr.
    pub fn warn(&self, text: &str) {
        self.say(&format!("WARNING: {text}\n"));
    }
}

fn ignore_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
