//! Writes into a [`DirStore`], by the names that a daemon gives them: [`Writer`].
//!
//! One call at a time has a write. What it leaves without a commit is kept for the next one, and
//! goes with the store.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::dir::DirStore;
use super::error::StoreError;
use super::ingest::{Ingest, IngestStatus, remove_leftovers};
use crate::causes::causes;
use crate::digest::Digest;

/// How many writes may be open. Daemons write a few layers at once.
const MAX_WRITES: usize = 256;

/// A write by its name.
pub(super) struct Slot {
    status: IngestStatus,
    /// `None` while a call writes.
    ingest: Option<Ingest>,
}

/// A write that no other call can touch; what came is kept for the next one unless it was
/// committed.
pub(super) struct Writer {
    store: Arc<DirStore>,
    pub(super) status: IngestStatus,
    ingest: Option<Ingest>,
}

impl DirStore {
    /// Begins a write, or goes on with one that an earlier call left.
    pub(super) fn begin(
        self: &Arc<Self>,
        name: &str,
        total: Option<u64>,
        expected: Option<Digest>,
    ) -> Result<Writer, StoreError> {
        let Some(directory) = &self.ingest else {
            return Err(StoreError::ReadOnly(self.blobs.clone()));
        };
        self.cleaned.call_once(|| remove_leftovers(directory));
        if let Some(digest) = expected
            && self.info(digest).is_ok()
        {
            self.note(digest);
            return Err(StoreError::Exists(digest));
        }
        let mut writes = self.writes();
        let full = writes.len() >= MAX_WRITES;
        let (status, ingest) = match writes.get_mut(name) {
            Some(slot) => match slot.ingest.take() {
                Some(ingest) => (slot.status.clone(), ingest),
                None => return Err(StoreError::Busy(name.to_owned())),
            },
            None if full => return Err(StoreError::TooMany(MAX_WRITES)),
            None => {
                let ingest = self.noted(Ingest::create(directory))?;
                let status = IngestStatus::new(name);
                let slot = Slot {
                    status: status.clone(),
                    ingest: None,
                };
                writes.insert(name.to_owned(), slot);
                (status, ingest)
            }
        };
        let status = IngestStatus {
            total: total.or(status.total),
            expected: expected.or(status.expected),
            ..status
        };
        Ok(Writer {
            store: Arc::clone(self),
            status,
            ingest: Some(ingest),
        })
    }

    /// What is known of a write.
    pub(super) fn status(&self, name: &str) -> Result<IngestStatus, StoreError> {
        let writes = self.writes();
        let slot = writes.get(name);
        let status = slot.map(|slot| slot.status.clone());
        status.ok_or_else(|| StoreError::NoWrite(name.to_owned()))
    }

    /// All writes that have not been committed.
    pub(super) fn statuses(&self) -> Vec<IngestStatus> {
        let writes = self.writes();
        writes.values().map(|slot| slot.status.clone()).collect()
    }

    /// Gives a write up.
    pub(super) fn abort(&self, name: &str) -> Result<(), StoreError> {
        let mut writes = self.writes();
        match writes.get(name) {
            None => Err(StoreError::NoWrite(name.to_owned())),
            Some(slot) if slot.ingest.is_none() => Err(StoreError::Busy(name.to_owned())),
            Some(_) => {
                writes.remove(name);
                Ok(())
            }
        }
    }

    fn writes(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a blob that is there.
    fn note(&self, digest: Digest) {
        let offered = self.offered.lock();
        offered.unwrap_or_else(PoisonError::into_inner).push(digest);
    }

    /// Keeps the first failure of the disk.
    fn noted<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ StoreError::Disk { .. }) = &result {
            let _ = self.failure.set(causes(error));
        }
        result
    }
}

impl IngestStatus {
    fn new(name: &str) -> Self {
        let now = SystemTime::now();
        Self {
            name: name.to_owned(),
            started: now,
            updated: now,
            offset: 0,
            total: None,
            expected: None,
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.status.fmt(f)
    }
}

impl Writer {
    /// The digest of the bytes there are.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.ingest.as_ref().map(Ingest::digest)
    }

    /// Adds bytes; at 0 those that are there are forgotten first.
    pub(super) fn write(&mut self, offset: i64, data: &[u8]) -> Result<(), StoreError> {
        let held = self.status.offset;
        let ingest = self.ingest()?;
        let written = match u64::try_from(offset) {
            Ok(0) if held > 0 => ingest.restart().and_then(|()| ingest.append(data)),
            Ok(at) if at == held => ingest.append(data),
            _ => {
                let name = self.status.name.clone();
                return Err(StoreError::Offset {
                    name,
                    got: offset,
                    held,
                });
            }
        };
        let now = ingest.offset();
        self.status.offset = now;
        self.status.updated = SystemTime::now();
        if let Some(slot) = self.store.writes().get_mut(&self.status.name) {
            slot.status = self.status.clone();
        }
        self.store.noted(written)
    }

    /// Puts the blob into place if it is the one that was announced.
    pub(super) fn commit(
        &mut self,
        total: Option<u64>,
        expected: Option<Digest>,
    ) -> Result<Digest, StoreError> {
        let name = self.status.name.clone();
        let held = self.status.offset;
        if let Some(expected) = total.or(self.status.total)
            && expected != held
        {
            return Err(StoreError::Size {
                name,
                held,
                expected,
            });
        }
        let actual = self.ingest()?.digest();
        if let Some(expected) = expected.or(self.status.expected)
            && expected != actual
        {
            // Nothing that is added makes it right.
            self.ingest = None;
            return Err(StoreError::Digest {
                name,
                actual,
                expected,
            });
        }
        let path = self.store.path(actual);
        if let Some(ingest) = self.ingest.take() {
            self.store.noted(ingest.place(&path))?;
        }
        self.store.note(actual);
        Ok(actual)
    }

    fn ingest(&mut self) -> Result<&mut Ingest, StoreError> {
        let ingest = self.ingest.as_mut();
        ingest.ok_or_else(|| StoreError::NoWrite(self.status.name.clone()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut writes = self.store.writes();
        match (self.ingest.take(), writes.get_mut(&self.status.name)) {
            (Some(ingest), Some(slot)) => {
                slot.status = self.status.clone();
                slot.ingest = Some(ingest);
            }
            (None, Some(_)) => drop(writes.remove(&self.status.name)),
            (_, None) => {}
        }
    }
}
