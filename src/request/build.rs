//! One build, fully parsed, independent of any builder.
//!
//! [`BuildRequest`] says what the user wants. It never holds a secret's bytes, only where
//! they come from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::{
    AttestSpec, CacheSpec, CallSpec, Entitlement, HostEntry, NamedContext, NamedSource, OutputSpec,
    RecordedProvenance, RemoteContext, SecretSpec, SshSpec, Ulimit,
};
use crate::platform::Platform;
use crate::reference::ImageRef;

/// Everything one build was asked to do.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// Where the files come from.
    pub context: BuildContext,
    /// Where the Dockerfile comes from.
    pub dockerfile: Dockerfile,
    /// Further contexts, which the Dockerfile may use by name.
    pub named_contexts: Vec<NamedContext>,
    /// What came from the web for contexts, by the context's name: the address, and the digest of
    /// the bytes.
    pub downloaded: BTreeMap<String, String>,
    /// What to build for; empty means the first node's own platform.
    pub platforms: Vec<Platform>,
    /// Names for every image output; where given they replace the outputs' own names.
    pub tags: Vec<ImageRef>,
    /// Where the results go; empty means that nothing was asked for.
    pub outputs: Vec<OutputSpec>,
    /// Whether the outputs stand for none: an image for those nodes that are Docker engines.
    pub outputs_by_default: bool,
    /// What the Dockerfile frontend is told.
    pub frontend: FrontendOptions,
    /// Statements about the image; none that is switched off.
    pub attestations: Vec<AttestSpec>,
    /// What is wanted of the daemons' own records; `None` means nothing.
    pub recorded: Option<RecordedProvenance>,
    /// What is asked of the frontend in place of building; `None` means a build.
    pub call: Option<CallSpec>,
    /// Privileges granted to the build.
    pub entitlements: BTreeSet<Entitlement>,
    /// Caches to read, in the order in which they are looked at.
    pub cache_from: Vec<CacheSpec>,
    /// Caches to write.
    pub cache_to: Vec<CacheSpec>,
    /// Secrets that steps may ask for.
    pub secrets: Vec<SecretSpec>,
    /// SSH agents and keys that steps may use; no two have one id.
    pub ssh: Vec<SshSpec>,
    /// The key under which daemons keep the context between builds; `None` means one
    /// that only this user's machine knows.
    pub context_key: Option<String>,
    /// Whether a platform may be built by emulation.
    pub allow_emulation: bool,
    /// Whether the other platforms go on when one fails.
    pub keep_going: bool,
    /// How long a node may take until one of its daemons is ready.
    pub wait: Duration,
    /// How often a platform whose daemon is lost is built again on another one.
    pub retries: usize,
}

impl BuildRequest {
    /// A request to build this context and Dockerfile, with every other option at its default.
    pub fn new(context: BuildContext, dockerfile: Dockerfile) -> Self {
        BuildRequest {
            context,
            dockerfile,
            named_contexts: Vec::new(),
            downloaded: BTreeMap::new(),
            platforms: Vec::new(),
            tags: Vec::new(),
            outputs: Vec::new(),
            outputs_by_default: false,
            frontend: FrontendOptions::default(),
            attestations: Vec::new(),
            recorded: None,
            call: None,
            entitlements: BTreeSet::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            secrets: Vec::new(),
            ssh: Vec::new(),
            context_key: None,
            allow_emulation: false,
            keep_going: false,
            wait: DEFAULT_WAIT,
            retries: DEFAULT_RETRIES,
        }
    }

    /// The contexts that daemons fetch by themselves, each with its name; `context` is the
    /// build's own.
    pub fn remotes_mut(&mut self) -> impl Iterator<Item = (&str, &mut RemoteContext)> {
        let own = match &mut self.context {
            BuildContext::Remote(remote) => Some(("context", remote)),
            _ => None,
        };
        let named = self.named_contexts.iter_mut();
        own.into_iter()
            .chain(named.filter_map(|named| match &mut named.source {
                NamedSource::Remote(remote) => Some((&*named.name, remote)),
                _ => None,
            }))
    }
}

/// How long a node may take until one of its daemons is ready, unless something else is said:
/// a pool that is scaled to zero has to get a machine first.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(120);
/// How often a lost platform is built again, unless something else is said.
pub const DEFAULT_RETRIES: usize = 2;

/// Where the build's files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildContext {
    /// A directory on this machine.
    Directory(PathBuf),
    /// A tar that came on stdin, kept in this file, so that every node can be sent it.
    Archive(PathBuf),
    /// Something that daemons fetch by themselves.
    Remote(RemoteContext),
    /// No files at all.
    Empty,
}

impl BuildContext {
    /// What daemons fetch by themselves; `None` for everything else.
    pub fn remote(&self) -> Option<&RemoteContext> {
        match self {
            Self::Remote(remote) => Some(remote),
            _ => None,
        }
    }
}

/// Where the Dockerfile comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dockerfile {
    /// A file on this machine: its directory and its name in it.
    Local {
        /// The directory that the daemon may ask files of.
        dir: PathBuf,
        /// The file's name in `dir`.
        name: String,
    },
    /// A path inside the context archive, or inside what daemons fetch.
    InContext(String),
}

/// What the Dockerfile frontend is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontendOptions {
    /// The stage to build; `None` means the last.
    pub target: Option<String>,
    /// What is known of the context's repository, by BuildKit's names without `vcs:`.
    pub vcs: BTreeMap<String, String>,
    /// Build arguments by name.
    pub build_args: BTreeMap<String, String>,
    /// Labels of the image by name.
    pub labels: BTreeMap<String, String>,
    /// Which stages ignore the cache.
    pub no_cache: NoCache,
    /// Whether base images are looked up anew.
    pub pull: bool,
    /// Extra hosts that steps know.
    pub add_hosts: Vec<HostEntry>,
    /// Limits of steps.
    pub ulimits: Vec<Ulimit>,
    /// Size of `/dev/shm` in bytes; `None` means the daemon's default.
    pub shm_size: Option<u64>,
    /// The cgroup that steps run below.
    pub cgroup_parent: Option<String>,
    /// The network of steps; `None` means the daemon's default.
    pub network: Option<Network>,
}

/// Which stages ignore the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None does.
    #[default]
    Use,
    /// All do.
    All,
    /// The named ones do.
    Stages(Vec<String>),
}

/// The network that steps run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The daemon's host's own.
    Host,
    /// None at all.
    None,
}
