//! One blob from one store to another: [`transfer`].
//!
//! Nothing is taken on trust: what comes from a disk is hashed before it is sent, what goes to
//! a disk before it gets its name, and a registry does the same with what it is sent.

use std::io::{self, Write};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc::channel;
use tokio_util::io::ReaderStream;

use super::error::StoreError;
use super::store::{Store, blocking};
use crate::digest::Hasher;
use crate::oci::Descriptor;
use crate::oci::layout::{BlobWriter, Layout, LayoutError};
use crate::registry::Repository;

/// How many pieces of a download may wait for the disk; a piece has some 16 KiB.
const QUEUE: usize = 64;
/// How much of a file is read at a time, in bytes.
const PIECE: usize = 256 << 10;

/// Whether a blob had to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// Its bytes, or a mount.
    Yes,
    /// It was there.
    No,
}

/// Makes a blob of `from` available in `to`.
pub(super) async fn transfer(
    from: &Store,
    to: &Store,
    blob: &Descriptor,
) -> Result<Moved, StoreError> {
    if has(to, blob).await? {
        return Ok(Moved::No);
    }
    match (from, to) {
        (Store::Registry(from), Store::Registry(to)) => to.copy_blob(from, blob).await?,
        (Store::Registry(from), Store::Layout(to)) => download(from, to, blob).await?,
        (Store::Layout(from), Store::Registry(to)) => upload(from, to, blob).await?,
        (Store::Layout(from), Store::Layout(to)) => {
            let (from, to, blob) = (from.clone(), to.clone(), blob.clone());
            blocking(move || copy(&from, &to, &blob)).await?;
        }
    }
    Ok(Moved::Yes)
}

async fn has(store: &Store, blob: &Descriptor) -> Result<bool, StoreError> {
    match store {
        Store::Registry(repository) => Ok(repository.has_blob(blob.digest).await?),
        Store::Layout(layout) => {
            let (layout, blob) = (layout.clone(), blob.clone());
            blocking(move || Ok(layout.has(&blob))).await
        }
    }
}

async fn download(from: &Repository, to: &Layout, blob: &Descriptor) -> Result<(), StoreError> {
    let (sender, mut receiver) = channel::<Bytes>(QUEUE);
    let layout = to.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let mut writer = layout.blob_writer()?;
        while let Some(chunk) = receiver.blocking_recv() {
            writer
                .write_all(&chunk)
                .map_err(|error| failed(&layout, error))?;
        }
        Ok::<BlobWriter, LayoutError>(writer)
    });
    let fetched = from.fetch_blob(blob, &sender).await;
    drop(sender);
    // A disk that is full is why nobody received, so its error is the one to tell.
    let writer = writing.await??;
    fetched?;
    let (digest, size) = (blob.digest, blob.size);
    blocking(move || writer.commit(digest, size)).await
}

async fn upload(from: &Layout, to: &Repository, blob: &Descriptor) -> Result<(), StoreError> {
    // Before it is sent, so that the error says which side is wrong.
    let (layout, wanted) = (from.clone(), blob.clone());
    blocking(move || check(&layout, &wanted)).await?;
    Ok(to.push_blob(blob, || read(from, blob)).await?)
}

fn read(layout: &Layout, blob: &Descriptor) -> BoxStream<'static, io::Result<Bytes>> {
    match layout.open_blob(blob) {
        Ok(file) => ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE).boxed(),
        Err(error) => stream::iter([Err(io::Error::other(error))]).boxed(),
    }
}

fn check(layout: &Layout, blob: &Descriptor) -> Result<(), LayoutError> {
    let mut hasher = Hasher::new();
    let mut file = layout.open_blob(blob)?;
    io::copy(&mut file, &mut hasher).map_err(|error| failed(layout, error))?;
    match hasher.finish() == blob.digest {
        true => Ok(()),
        false => Err(LayoutError::Altered {
            dir: layout.dir().to_owned(),
            digest: blob.digest,
        }),
    }
}

fn copy(from: &Layout, to: &Layout, blob: &Descriptor) -> Result<(), LayoutError> {
    check(from, blob)?;
    let mut writer = to.blob_writer()?;
    let mut file = from.open_blob(blob)?;
    io::copy(&mut file, &mut writer).map_err(|error| failed(to, error))?;
    writer.commit(blob.digest, blob.size)
}

fn failed(layout: &Layout, source: io::Error) -> LayoutError {
    LayoutError::Io {
        action: "copy a blob of or to",
        path: layout.dir().to_owned(),
        source,
    }
}
