//! [`Archive`]: an OCI image layout in a tar, read where it lies; [`mod@write`] makes one.
//!
//! Only the positions of blobs are kept, never their content, and the tar may hold anything: all
//! that is used is checked against its digest and size. Everything here blocks on the disk.

mod error;
mod positioned;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};

use super::layout::{INDEX_FILE, LAYOUT_FILE, MANIFEST_LIMIT, check_version};
use super::names::{IMAGE_NAME, REF_NAME};
use super::{Descriptor, Index, blobs_below, media_type};
use crate::digest::{Digest, Hasher};

pub use error::ArchiveError;
use positioned::Positioned;
pub use write::{LayoutTar, dir_header, file_header};

/// The most members that are looked at: images have some ten layers, attestations a few blobs.
const MAX_MEMBERS: usize = 100_000;
/// How deep indexes may be nested: an image has one level, an index of indexes two.
const MAX_DEPTH: usize = 4;
/// When a daemon wrote the archive: it changes with every build.
const CREATED: &str = "org.opencontainers.image.created";

/// An OCI image layout in a tar.
#[derive(Debug)]
pub struct Archive {
    file: File,
    /// Where the content of blobs is: position and size.
    blobs: BTreeMap<Digest, (u64, u64)>,
    index: Index,
}

impl Archive {
    /// Reads what an archive holds; its blobs are passed over.
    ///
    /// # Errors
    ///
    /// When it is no tar, is cut off, or holds no layout.
    pub fn read(file: File) -> Result<Self, ArchiveError> {
        let length = file.metadata().map_err(ArchiveError::Read)?.len();
        let mut found = Found::default();
        let mut tar = tar::Archive::new(Positioned::whole(&file, length));
        let entries = tar.entries_with_seek().map_err(ArchiveError::Read)?;
        for (count, entry) in entries.enumerate() {
            if count >= MAX_MEMBERS {
                return Err(ArchiveError::TooMany(MAX_MEMBERS));
            }
            let mut entry = entry.map_err(ArchiveError::Read)?;
            if entry.raw_file_position().saturating_add(entry.size()) > length {
                return Err(ArchiveError::Cut);
            }
            found.take(&mut entry)?;
        }
        let layout = found.layout.ok_or(ArchiveError::Without(LAYOUT_FILE))?;
        check_version(&layout).map_err(ArchiveError::Version)?;
        let index = found.index.ok_or(ArchiveError::Without(INDEX_FILE))?;
        let index = Index::parse(&index).map_err(ArchiveError::Index)?;
        Ok(Self {
            file,
            blobs: found.blobs,
            index,
        })
    }

    /// What `index.json` lists.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The one image that is listed, under however many names; without the names, and without
    /// the time of the export.
    ///
    /// # Errors
    ///
    /// When nothing is listed, or different things are.
    pub fn root(&self) -> Result<Descriptor, ArchiveError> {
        let Some((first, rest)) = self.index.manifests.split_first() else {
            return Err(ArchiveError::NotOne(0));
        };
        if rest.iter().any(|other| other.digest != first.digest) {
            return Err(ArchiveError::NotOne(self.index.manifests.len()));
        }
        let mut root = first.clone();
        for key in [IMAGE_NAME, REF_NAME, CREATED] {
            root.annotations.remove(key);
        }
        Ok(root)
    }

    /// Reads a manifest, an index or a configuration.
    ///
    /// # Errors
    ///
    /// When it is missing, too large, or not what its descriptor says.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
        if descriptor.size > MANIFEST_LIMIT {
            return Err(ArchiveError::TooLarge(descriptor.digest));
        }
        let mut bytes = Vec::new();
        self.copy(descriptor, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies a blob, and checks it on the way; on failure a part of it was written.
    ///
    /// # Errors
    ///
    /// When it is missing or not what its descriptor says, or writing fails.
    pub fn copy(&self, descriptor: &Descriptor, to: &mut dyn Write) -> Result<(), ArchiveError> {
        let digest = descriptor.digest;
        let Some(&(position, size)) = self.blobs.get(&digest) else {
            return Err(ArchiveError::Missing(digest));
        };
        if size != descriptor.size {
            return Err(ArchiveError::Altered(digest));
        }
        let mut reader = Positioned::part(&self.file, position, size);
        let mut hasher = Hasher::new();
        // Large reads: the layers of an image are hundreds of megabytes.
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ArchiveError::Read(error)),
            };
            hasher.update(&buffer[..count]);
            to.write_all(&buffer[..count])
                .map_err(ArchiveError::Write)?;
        }
        match reader.is_at_end() && hasher.finish() == digest {
            true => Ok(()),
            false => Err(ArchiveError::Altered(digest)),
        }
    }

    /// Everything that an image consists of, itself included, by digest. Manifests and indexes
    /// are checked, of other blobs the size.
    ///
    /// # Errors
    ///
    /// When something is missing or not what it should be.
    pub fn closure(&self, root: &Descriptor) -> Result<BTreeMap<Digest, Descriptor>, ArchiveError> {
        let mut closure = BTreeMap::new();
        self.add(root, &mut closure, 0)?;
        Ok(closure)
    }

    fn add(
        &self,
        descriptor: &Descriptor,
        closure: &mut BTreeMap<Digest, Descriptor>,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        let digest = descriptor.digest;
        match self.blobs.get(&digest) {
            None => return Err(ArchiveError::Missing(digest)),
            Some((_, size)) if *size != descriptor.size => {
                return Err(ArchiveError::Altered(digest));
            }
            Some(_) => {}
        }
        if closure.insert(digest, descriptor.clone()).is_some() {
            return Ok(());
        }
        if !media_type::is_index(&descriptor.media_type)
            && !media_type::is_manifest(&descriptor.media_type)
        {
            return Ok(());
        }
        if depth == MAX_DEPTH {
            return Err(ArchiveError::TooDeep(digest));
        }
        let document = self.document(descriptor)?;
        let below = blobs_below(&descriptor.media_type, &document);
        let below = below.ok_or(ArchiveError::NoManifest(digest))?;
        below
            .iter()
            .try_for_each(|part| self.add(part, closure, depth + 1))
    }
}

/// What was found of a layout.
#[derive(Default)]
struct Found {
    layout: Option<Vec<u8>>,
    index: Option<Vec<u8>>,
    blobs: BTreeMap<Digest, (u64, u64)>,
}

impl Found {
    fn take(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), ArchiveError> {
        if !entry.header().entry_type().is_file() {
            return Ok(());
        }
        let path = entry.path_bytes().into_owned();
        let path = path.strip_prefix(b"./").unwrap_or(&path);
        if path == LAYOUT_FILE.as_bytes() {
            self.layout = Some(small(entry)?);
        } else if path == INDEX_FILE.as_bytes() {
            self.index = Some(small(entry)?);
        } else if let Some(digest) = blob(path) {
            let place = (entry.raw_file_position(), entry.size());
            self.blobs.insert(digest, place);
        }
        Ok(())
    }
}

/// The digest of a blob, by its path; `None` for other files.
fn blob(path: &[u8]) -> Option<Digest> {
    let hex = path.strip_prefix(b"blobs/sha256/")?;
    let hex = std::str::from_utf8(hex).ok()?;
    format!("sha256:{hex}").parse().ok()
}

fn small(entry: &mut tar::Entry<'_, impl Read>) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    let read = entry.take(MANIFEST_LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(ArchiveError::Read)?;
    match bytes.len() as u64 > MANIFEST_LIMIT {
        true => Err(ArchiveError::Without(INDEX_FILE)),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests;
