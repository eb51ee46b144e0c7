//! What a run needs of the user's machine: credentials, registries, and the key under which
//! nodes keep the context.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::builder::{Answer, Builder};
use crate::buildkit::session::{TokenSeeds, TokenSource, random_id};
use crate::causes::causes;
use crate::config::Settings;
use crate::credentials::{Credentials, ProxySettings};
use crate::engine::Engine;
use crate::event::Event;
use crate::registry::Registries;
use crate::request::{BuildContext, BuildRequest};
use crate::run::{self, Lent, RegistryTokens};

use super::super::app::App;
use super::super::registries;

/// The file in the state directory that holds this machine's own part of context keys.
const KEY_FILE: &str = "context-key";

/// Prepared once for a command.
pub(super) struct Prepared<'a> {
    app: &'a App,
    credentials: Arc<Credentials>,
    registries: Arc<Registries>,
    insecure_registries: Vec<String>,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(settings: &Settings, app: &'a App) -> Self {
        let (credentials, registries) = registries::open(settings, app);
        let insecure_registries = settings
            .registries
            .iter()
            .filter(|(_, host)| host.http || host.insecure)
            .map(|(host, _)| host.clone())
            .collect();
        Prepared {
            app,
            credentials,
            registries,
            insecure_registries,
        }
    }

    /// The registries that the client itself talks to.
    pub(super) fn registries(&self) -> &Registries {
        &self.registries
    }

    /// The proxies that docker's configuration gives to builds.
    ///
    /// A configuration that cannot be read is a warning: whoever needs a login from it gets
    /// the error then.
    pub(super) async fn proxies(&self) -> Option<ProxySettings> {
        let daemon = self.app.var("DOCKER_HOST").unwrap_or_default();
        match self.credentials.docker_config().await {
            Ok(config) => config.proxies(daemon).cloned(),
            Err(error) => {
                self.app.warn(&causes(&error));
                None
            }
        }
    }

    /// Everything that `run` wants.
    pub(super) fn for_run(
        self,
        (builder, open, engines): (Builder, BTreeMap<String, Answer>, BTreeMap<usize, Engine>),
        lent: Lent,
        affinity: String,
        request: &BuildRequest,
        events: UnboundedSender<Event>,
        interrupt: CancellationToken,
    ) -> run::Surroundings {
        let seeds = TokenSeeds::new(Some(self.app.docker_config_dir()));
        let fetcher = Arc::new(RegistryTokens(Arc::clone(&self.registries)));
        run::Surroundings {
            builder,
            open,
            engines,
            credentials: self.credentials,
            tokens: Some(TokenSource { fetcher, seeds }),
            registries: self.registries,
            insecure_registries: self.insecure_registries,
            lent,
            shared_key: shared_key(request, &self.app.state_dir()),
            affinity,
            temp: self
                .app
                .var("TMPDIR")
                .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from),
            events,
            interrupt,
        }
    }
}

/// The key under which nodes keep the context: the one given, else the directory's name and
/// a part that nobody else can guess. A guessable key in a shared pool would let somebody
/// plant a file of equal size and time.
fn shared_key(request: &BuildRequest, state: &Path) -> String {
    if let Some(key) = &request.context_key {
        return printable(key);
    }
    let name = match &request.context {
        BuildContext::Directory(path) => path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        _ => String::new(),
    };
    format!("{}:{}", printable(&name), machine_key(state))
}

/// The key travels in a header, which takes printable ASCII only.
fn printable(text: &str) -> String {
    text.bytes()
        .flat_map(std::ascii::escape_default)
        .map(char::from)
        .collect()
}

/// This machine's part, kept in the state directory. Where that cannot be written it lasts
/// for one run, and the next one sends everything again.
fn machine_key(state: &Path) -> String {
    let path = state.join(KEY_FILE);
    if let Ok(key) = std::fs::read_to_string(&path)
        && !key.trim().is_empty()
    {
        return key.trim().to_owned();
    }
    let key = random_id().unwrap_or_default();
    if let Err(error) = keep(&path, &key) {
        tracing::debug!(%error, path = %path.display(), "the context key is not kept");
        // Another process may have been faster.
        return std::fs::read_to_string(&path).map_or(key, |kept| kept.trim().to_owned());
    }
    key
}

fn keep(path: &Path, key: &str) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(dir)?;
    // Readable by the user alone, and never half-written or replaced.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    writeln!(file, "{key}")?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_key_stays_the_same_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        let key = machine_key(&state);
        assert_eq!(key.len(), 25);
        assert_eq!(machine_key(&state), key);
        let mode = std::fs::metadata(state.join(KEY_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(machine_key(&dir.path().join("other")), key);
    }

    #[test]
    fn a_key_of_any_text_fits_a_header() {
        assert_eq!(printable("a b/ü\n"), "a b/\\xc3\\xbc\\n");
    }
}
