//! The messages and services of BuildKit's wire protocol that mbuild speaks.
//!
//! All of it is generated at build time from the `.proto` files beside `src`, one per package on
//! the wire. Clients and servers are in the package's module, such as
//! [`control::control_client::ControlClient`]. A server's methods answer `Unimplemented` unless
//! they are written. The messages of [`filesync::file_send_server::FileSend`] have one of two
//! types, so it moves undecoded bytes, with [`RawCodec`].
//!
//! Text that a daemon may send in another encoding than UTF-8 is [`bytes::Bytes`] here; decoding
//! it as a string would lose the whole message.

mod raw;
#[cfg(test)]
mod tests;
#[allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    rustdoc::all,
    reason = "generated"
)]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/wire.rs"));

    /// Generated apart from its package, and shown in [`crate::filesync`].
    pub mod file_send {
        include!(concat!(env!("OUT_DIR"), "/moby.filesync.v1.FileSend.rs"));
    }
}

pub use raw::RawCodec;

/// `containerd.services.content.v1`: blobs of the daemon, or of the client's layouts and caches.
pub use wire::containerd::services::content::v1 as content;
/// `fsutil.types`: packets that carry a directory tree.
pub use wire::fsutil::types as fsutil;
/// `google.rpc`: an error with details.
pub use wire::google::rpc;
/// `grpc.health.v1`: the sign of life of a session.
pub use wire::grpc::health::v1 as health;
/// `moby.buildkit.secrets.v1`: secrets of a build.
pub use wire::moby::buildkit::secrets::v1 as secrets;
/// `moby.buildkit.v1`: builds, progress, workers, cache and history of a daemon.
pub use wire::moby::buildkit::v1 as control;
/// `moby.buildkit.v1.frontend`: a client that acts as the frontend of its own build.
pub use wire::moby::buildkit::v1::frontend;
/// `moby.buildkit.v1.sourcepolicy`: rules on what a build may fetch.
pub use wire::moby::buildkit::v1::sourcepolicy;
/// `moby.buildkit.v1.types`: what a daemon says about its workers.
pub use wire::moby::buildkit::v1::types;
/// `moby.exporter.v1`: exporters named by the client after the build.
pub use wire::moby::exporter::v1 as exporter;
/// `moby.sshforward.v1`: SSH agents lent to a build.
pub use wire::moby::sshforward::v1 as sshforward;
/// `moby.upload.v1`: a stream that a frontend fetches from the client.
pub use wire::moby::upload::v1 as upload;
/// `pb`: the build graph.
pub use wire::pb;

/// `moby.filesync.v1`: contexts, outputs and registry logins.
pub mod filesync {
    pub use crate::wire::file_send::{file_send_client, file_send_server};
    pub use crate::wire::moby::filesync::v1::*;
}
