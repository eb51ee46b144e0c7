//! The words that plan, run and merge share: units, what they export, how results merge.
//!
//! A unit is one target on one platform: its own Solve, reference and session.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::attrs::secret::shown_all;
use crate::digest::Digest;
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
    /// The caches it reads and writes.
    pub caches: UnitCaches,
}

/// The caches of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitCaches {
    /// Those it writes.
    pub exports: Vec<UnitCache>,
    /// Those it reads, in the order in which they are looked at.
    pub imports: Vec<UnitCache>,
}

/// One cache of a unit.
#[derive(Clone, PartialEq, Eq)]
pub struct UnitCache {
    /// The flag it comes from, by position among those of its side.
    pub spec: usize,
    /// The back end's name on the wire.
    pub kind: String,
    /// Its attributes, ready for the wire but for what depends on the daemon; logins may be among
    /// them.
    pub attrs: BTreeMap<String, String>,
    /// Whether the build goes on where the back end is missing.
    pub ignore_error: bool,
    /// The directory, if it is one of the client's.
    pub local: Option<LocalCache>,
}

/// A cache in a directory of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCache {
    /// The directory, an OCI layout.
    pub dir: PathBuf,
    /// The name within it.
    pub tag: String,
    /// What to read, whatever the tag says; `None` means what the tag says.
    pub digest: Option<Digest>,
    /// Whether all else in the directory goes once the cache is written.
    pub reset: bool,
}

/// Prints what the cache is, without secrets.
impl fmt::Display for UnitCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(local) = &self.local {
            write!(f, " {} {}", local.dir.display(), local.tag)?;
        }
        let mut attrs = shown_all(&self.attrs).into_iter();
        attrs.try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

impl fmt::Debug for UnitCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnitCache({self})")
    }
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
    /// Makes one image of the received archives.
    Image {
        /// The output of the request, by position.
        output: usize,
        /// The node whose units it is made of; `None` means all.
        node: Option<String>,
        /// What the image is called, and what is noted on it.
        notes: ImageNotes,
        /// Where it goes.
        to: ImageTo,
    },
    /// Makes one tar of the received ones, with a directory for each platform.
    Tars {
        /// The output of the request, by position.
        output: usize,
        /// The file; `None` means stdout.
        dest: Option<PathBuf>,
    },
    /// Moves one received file into place, or copies it to stdout.
    File {
        /// The output of the request, by position.
        output: usize,
        /// The file; `None` means stdout.
        dest: Option<PathBuf>,
    },
}

impl MergeStep {
    /// Whether an exporter of this unit, for this output, contributes to the step.
    pub fn takes(&self, unit: &BuildUnit, of: usize) -> bool {
        match self {
            MergeStep::Image { output, node, .. } => {
                *output == of && node.as_ref().is_none_or(|node| *node == unit.node)
            }
            MergeStep::Publish { output, .. }
            | MergeStep::Local { output, .. }
            | MergeStep::Tars { output, .. }
            | MergeStep::File { output, .. } => *output == of,
        }
    }
}

/// What an image that the client makes is called, and what is noted on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageNotes {
    /// Its names, with tags.
    pub names: Vec<ImageRef>,
    /// Annotations of the index itself.
    pub index: BTreeMap<String, String>,
    /// Annotations of the descriptor of the index.
    pub index_descriptor: BTreeMap<String, String>,
    /// Annotations of the entries in the index.
    pub descriptors: Vec<DescriptorAnnotation>,
}

/// Where an image that the client makes goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageTo {
    /// A tar; `None` means stdout.
    File(Option<PathBuf>),
    /// An OCI image layout in a directory.
    Layout(PathBuf),
    /// The Docker engine that the output names.
    NamedEngine,
    /// The Docker engine that this node is.
    Node(String),
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
    /// The keys that the exporters returned, as BuildKit names them; of keys that several
    /// returned, the last one's values.
    pub response: BTreeMap<String, String>,
    /// Keys that belong to one exporter, by its position; only where the response cannot be
    /// the last one's.
    pub own: BTreeMap<usize, BTreeMap<String, String>>,
}

impl UnitOutput {
    /// The answer as one exporter alone would have given it.
    #[must_use]
    pub fn of_exporter(&self, position: usize) -> Self {
        let mut response = self.response.clone();
        response.extend(self.own.get(&position).cloned().unwrap_or_default());
        UnitOutput {
            response,
            own: BTreeMap::new(),
        }
    }
}

impl BuildUnit {
    /// Whether several of its exporters leave images that differ, so that the answer, in which
    /// the last one's keys stay, does not say what the others left.
    pub fn mixes_images(&self) -> bool {
        let pushes = self
            .exports
            .iter()
            .filter(|export| export.kind == ExportKind::Push)
            .map(UnitExport::shape);
        let mut shapes = pushes;
        let first = shapes.next();
        shapes.any(|other| Some(&other) != first.as_ref())
    }
}

impl UnitExport {
    /// The attributes that decide what an image looks like, rather than where it goes.
    fn shape(&self) -> BTreeMap<&str, &str> {
        const PLACE: [&str; 5] = [
            "name",
            "push",
            "push-by-digest",
            "registry.insecure",
            "store",
        ];
        let attrs = self.attrs.iter();
        attrs
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .filter(|(key, _)| !PLACE.contains(key))
            .collect()
    }
}
