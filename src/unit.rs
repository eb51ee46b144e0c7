//! The words that plan, run and merge share: units, what they export, how results merge.
//!
//! A unit is one target on one platform: its own Solve, reference and session.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::event::UnitId;
use crate::platform::Platform;
use crate::reference::ImageRef;

/// One target built for one platform on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildUnit {
    /// Its position in the plan.
    pub id: UnitId,
    /// What it builds for.
    pub platform: Platform,
    /// The node that builds it.
    pub node: String,
    /// Why that node, as a phrase: `native`, `emulated`.
    pub why: String,
    /// What it exports; the position is the exporter's id on the wire.
    pub exports: Vec<UnitExport>,
}

/// One exporter of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitExport {
    /// The output of the request that it serves, by position.
    pub output: usize,
    /// The exporter's attributes, ready for the wire.
    pub attrs: BTreeMap<String, String>,
    /// What kind of exporter, and so where its bytes go.
    pub kind: ExportKind,
}

/// Where an exporter's bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportKind {
    /// From the daemon to a registry, by digest.
    Push,
    /// Into the daemon's own image store.
    Store,
    /// To the client as a file tree.
    Tree,
    /// To the client as one file, made by the exporter of this name.
    File(ArchiveKind),
}

/// The exporters whose result is one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// The root file system as a tar.
    Tar,
    /// An OCI image layout as a tar.
    Oci,
    /// An image that `docker load` reads.
    Docker,
}

impl ArchiveKind {
    /// The exporter's name on the wire.
    pub fn exporter(self) -> &'static str {
        match self {
            ArchiveKind::Tar => "tar",
            ArchiveKind::Oci => "oci",
            ArchiveKind::Docker => "docker",
        }
    }
}

/// What the client does with the units' results for one output, once all succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeStep {
    /// Writes one index (or the one manifest) into every repository, then the tags.
    Publish {
        /// The output of the request, by position.
        output: usize,
        /// The repositories that the units push to, without tags.
        repositories: Vec<ImageRef>,
        /// The names to move, in the order given.
        tags: Vec<ImageRef>,
        /// Annotations of the index itself.
        index_annotations: BTreeMap<String, String>,
        /// Annotations of the entries in the index; `None` as platform means all of them.
        descriptor_annotations: Vec<DescriptorAnnotation>,
    },
    /// Moves the received trees into place.
    Local {
        /// The output of the request, by position.
        output: usize,
        /// The directory named by the user.
        dest: PathBuf,
        /// Whether files that no platform sent are removed.
        mirror: bool,
        /// Whether each platform has a directory of its own below `dest`.
        split: bool,
    },
    /// Moves one received file into place, or copies it to stdout.
    File {
        /// The output of the request, by position.
        output: usize,
        /// The file; `None` means stdout.
        dest: Option<PathBuf>,
    },
}

/// One annotation of entries in a merged index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescriptorAnnotation {
    /// The entry it belongs to; `None` means every platform's.
    pub platform: Option<Platform>,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What a unit's daemon answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitOutput {
    /// The keys that the exporters returned, as BuildKit names them.
    pub response: BTreeMap<String, String>,
}
