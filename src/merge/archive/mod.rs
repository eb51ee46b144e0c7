//! [`gather`] makes one image of the archives that daemons sent; [`Image`] writes it down.
//!
//! Manifests stay byte for byte as daemons made them; what several have in common is written
//! once. Every blob is checked on its way. Everything here blocks on the disk.

mod layout;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use super::annotate::annotate;
use super::error::MergeError;
use crate::digest::Digest;
use crate::oci::archive::{Archive, ArchiveError, LayoutTar};
use crate::oci::names::{EntryName, put, put_unnamed};
use crate::oci::{Child, Descriptor, Index, Root, media_type, merge_index};
use crate::platform::Platform;
use crate::receive::FileSink;
use crate::unit::ImageNotes;

pub use layout::{CheckedLayout, LayoutStage};

/// One daemon's archive.
#[derive(Debug, Clone)]
pub struct Received {
    /// Who sent it, for messages: `linux/arm64 on node-b`.
    pub from: String,
    /// What it was built for.
    pub platform: Platform,
    /// The archive.
    pub file: Arc<FileSink>,
}

/// One image for all platforms, whose content is still in the archives it came in.
#[derive(Debug)]
pub struct Image {
    /// What its names stand for.
    pub root: Descriptor,
    /// The images and attestations below it; the root itself when it is a manifest.
    pub entries: Vec<Descriptor>,
    /// The list of a layout that holds this image alone.
    index: Index,
    blobs: BTreeMap<Digest, Blob>,
    archives: Vec<(String, Archive)>,
    is_as_sent: bool,
}

/// Where a blob's content is.
#[derive(Debug)]
enum Blob {
    /// Made here.
    Made(Vec<u8>),
    /// In the archive of this position.
    Sent(usize, Box<Descriptor>),
}

impl Blob {
    fn size(&self) -> u64 {
        match self {
            Blob::Made(bytes) => bytes.len() as u64,
            Blob::Sent(_, descriptor) => descriptor.size,
        }
    }
}

/// Reads the archives and makes one image of them, under the names that `notes` has.
///
/// One archive stays as it was sent, unless annotations are to be added to it.
///
/// # Errors
///
/// When an archive is incomplete or altered, as far as that shows without reading every blob;
/// when two daemons sent different images for one platform.
pub fn gather(received: &[Received], notes: &ImageNotes) -> Result<Image, MergeError> {
    let mut archives = Vec::new();
    let mut children = Vec::new();
    let mut blobs = BTreeMap::new();
    for (position, one) in received.iter().enumerate() {
        let fault = |source| fault(&one.from, source);
        let archive = open(&one.file).and_then(Archive::read).map_err(fault)?;
        let root = archive.root().map_err(fault)?;
        let closure = archive.closure(&root).map_err(fault)?;
        for (digest, descriptor) in closure {
            blobs
                .entry(digest)
                .or_insert_with(|| Blob::Sent(position, Box::new(descriptor)));
        }
        let child = child(one, &archive, root.clone()).map_err(fault)?;
        children.push((root, annotate(child, &notes.descriptors)));
        archives.push((one.from.clone(), archive));
    }
    let single = match &children[..] {
        [(root, child)] if notes.index.is_empty() => Some((root.clone(), child.root.clone())),
        _ => None,
    };
    let mut image = Image {
        root: Descriptor::new("", Digest::of(b""), 0),
        entries: Vec::new(),
        index: Index::new(media_type::INDEX, Vec::new()),
        blobs,
        archives,
        is_as_sent: false,
    };
    match single {
        Some((_, Root::Manifest(manifest))) => {
            image.is_as_sent = notes.descriptors.is_empty() && notes.index_descriptor.is_empty();
            image.entries = vec![manifest.clone()];
            image.root = manifest;
        }
        Some((root, Root::Index(index))) if notes.descriptors.is_empty() => {
            image.is_as_sent = notes.index_descriptor.is_empty();
            image.entries = index.manifests;
            image.root = root;
        }
        _ => {
            // Indexes that are taken apart are not referred to any more.
            for (root, child) in &children {
                if matches!(child.root, Root::Index(_)) {
                    image.blobs.remove(&root.digest);
                }
            }
            let children = children.into_iter().map(|(_, child)| child).collect();
            let index = merge_index(children, notes.index.clone())?;
            let bytes = index.to_bytes();
            image.root = Descriptor::of(&index.media_type, &bytes);
            image.entries = index.manifests;
            image.blobs.insert(image.root.digest, Blob::Made(bytes));
        }
    }
    image
        .root
        .annotations
        .extend(notes.index_descriptor.clone());
    image.name(notes);
    Ok(image)
}

impl Image {
    fn name(&mut self, notes: &ImageNotes) {
        for name in &notes.names {
            put(&mut self.index, &self.root, &EntryName::Image(name.clone()));
        }
        put_unnamed(&mut self.index, &self.root);
    }

    /// Whether the only archive there is can be passed on as it is.
    pub fn is_as_sent(&self) -> bool {
        self.is_as_sent
    }

    /// Reads every blob and checks it.
    ///
    /// # Errors
    ///
    /// When one is not what it should be.
    pub fn verify(&self) -> Result<(), MergeError> {
        for blob in self.blobs.values() {
            self.copy(blob, &mut io::sink())?;
        }
        Ok(())
    }

    /// Writes the image as an OCI layout in a tar, every blob checked on the way.
    ///
    /// # Errors
    ///
    /// When a blob is not what it should be, or writing fails.
    pub fn write_tar(&self, to: &FileSink) -> Result<(), MergeError> {
        let write = |source: io::Error| MergeError::File {
            path: to.path().to_owned(),
            source,
        };
        let out = BufWriter::with_capacity(256 << 10, to.file());
        let mut tar = LayoutTar::begin(out, &self.index).map_err(write)?;
        for (digest, blob) in &self.blobs {
            let copied = tar.blob(*digest, blob.size(), |out| {
                self.copy(blob, out).map_err(Copying::Merge)
            });
            copied.map_err(|error| match error {
                Copying::Io(source) => write(source),
                Copying::Merge(error) => error.of_writing(to.path()),
            })?;
        }
        tar.finish()
            .and_then(|mut out| out.flush())
            .and_then(|()| to.finish())
            .map_err(write)
    }

    fn copy(&self, blob: &Blob, to: &mut dyn Write) -> Result<(), MergeError> {
        match blob {
            Blob::Made(bytes) => {
                let written = to.write_all(bytes).map_err(ArchiveError::Write);
                written.map_err(|source| fault("this program", source))
            }
            Blob::Sent(position, descriptor) => {
                let (from, archive) = &self.archives[*position];
                archive
                    .copy(descriptor, to)
                    .map_err(|source| fault(from, source))
            }
        }
    }
}

/// Why a blob was not copied into a tar.
enum Copying {
    Io(io::Error),
    Merge(MergeError),
}

impl From<io::Error> for Copying {
    fn from(error: io::Error) -> Self {
        Copying::Io(error)
    }
}

fn open(sink: &FileSink) -> Result<File, ArchiveError> {
    match sink.is_complete() {
        true => sink.file().try_clone().map_err(ArchiveError::Read),
        false => Err(ArchiveError::Cut),
    }
}

/// What an archive holds, as an index is made of it.
fn child(
    received: &Received,
    archive: &Archive,
    mut root: Descriptor,
) -> Result<Child, ArchiveError> {
    let top = if media_type::is_index(&root.media_type) {
        let bytes = archive.document(&root)?;
        Root::Index(Index::parse(&bytes).map_err(ArchiveError::Index)?)
    } else {
        if root.known_platform().is_none() {
            root = root.with_platform(received.platform.clone());
        }
        Root::Manifest(root)
    };
    Ok(Child {
        from: received.from.clone(),
        root: top,
    })
}

fn fault(from: &str, source: ArchiveError) -> MergeError {
    MergeError::Archive {
        from: from.to_owned(),
        source,
    }
}
