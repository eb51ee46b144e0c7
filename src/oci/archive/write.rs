//! [`LayoutTar`]: writes an OCI image layout as a tar; equal content gives equal bytes.
//!
//! Owners, times and modes are always the same, and so is the order: who writes gives blobs in
//! the order of their digests.

use std::io::{self, Write};

use tar::{Builder, EntryType, Header};

use crate::digest::Digest;
use crate::oci::Index;
use crate::oci::layout::{INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT};

/// An OCI image layout that is being written to `W`.
pub struct LayoutTar<W: Write> {
    tar: Builder<W>,
}

impl<W: Write> LayoutTar<W> {
    /// Begins with what lists the images; blobs follow.
    ///
    /// # Errors
    ///
    /// When writing fails.
    pub fn begin(to: W, index: &Index) -> io::Result<Self> {
        let mut tar = Builder::new(to);
        let index = index.to_bytes();
        for (path, bytes) in [
            (LAYOUT_FILE, LAYOUT_TEXT.as_bytes()),
            (INDEX_FILE, &index[..]),
        ] {
            tar.append_data(&mut file_header(bytes.len() as u64), path, bytes)?;
        }
        for path in ["blobs/", "blobs/sha256/"] {
            tar.append_data(&mut dir_header(), path, io::empty())?;
        }
        Ok(Self { tar })
    }

    /// Writes a blob whose content `copy` gives, which must be of this size.
    ///
    /// # Errors
    ///
    /// When writing fails, or `copy` does.
    pub fn blob<E: From<io::Error>>(
        &mut self,
        digest: Digest,
        size: u64,
        copy: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut header = file_header(size);
        header.set_path(format!("blobs/sha256/{}", digest.hex()))?;
        header.set_cksum();
        let to = self.tar.get_mut();
        to.write_all(header.as_bytes())?;
        copy(to)?;
        let rest = size.next_multiple_of(512) - size;
        to.write_all(&[0; 512][..usize::try_from(rest).unwrap_or(0)])?;
        Ok(())
    }

    /// Writes the end and returns what was written to.
    ///
    /// # Errors
    ///
    /// When writing fails.
    pub fn finish(self) -> io::Result<W> {
        self.tar.into_inner()
    }
}

/// The header of a file of `size` bytes, without its path.
pub fn file_header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    plain(header)
}

/// The header of a directory, without its path.
pub fn dir_header() -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    plain(header)
}

fn plain(mut header: Header) -> Header {
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
