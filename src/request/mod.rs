//! What a build is asked to do: one parser for each flag, giving typed values.
//!
//! Nothing here reads files or the environment; the grammar of the fields is in `attrs`.

pub mod annotation;
pub mod attest;
pub mod build;
pub mod cache;
pub mod call;
pub mod context;
pub mod entitlement;
pub mod git;
pub mod hosts;
pub mod limits;
pub mod named;
pub mod output;
pub mod platforms;
pub mod remote;
pub mod secret;
pub mod ssh;

pub use annotation::{AnnotationPlace, AnnotationSpec};
pub use attest::{AttestKind, AttestSpec, RecordedProvenance};
pub use build::{
    BuildContext, BuildRequest, DEFAULT_RETRIES, DEFAULT_WAIT, Dockerfile, FrontendOptions,
    Network, NoCache,
};
pub use cache::{CacheKind, CacheSide, CacheSpec};
pub use call::CallSpec;
pub use context::{BuildContextSpec, ContextSource};
pub use entitlement::Entitlement;
pub use git::{GitContext, GitError};
pub use hosts::{HostAddress, HostEntry};
pub use limits::Ulimit;
pub use named::{NamedContext, NamedSource};
pub use output::{OutputDest, OutputKind, OutputSpec};
pub use platforms::parse_platforms;
pub use remote::{RemoteContext, is_remote, is_web};
pub use secret::{SecretSource, SecretSpec};
pub use ssh::SshSpec;
