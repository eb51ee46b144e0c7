//! The caches of one unit on one daemon: what the Solve says of them, what the session serves for
//! those on this machine, and what is done once the daemon has written them.
//!
//! Names were decided by the plan; [`found`] looks what there is to read, [`support`] what the
//! daemon knows, [`mask`] hides their logins, [`keep`] makes a written cache the one that is read next.

mod found;
mod keep;
mod mask;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::buildkit::CacheSpec;
use crate::buildkit::session::{ContentStores, DirStore, Services};
use crate::event::Event;
use crate::request::CacheSide;
use crate::unit::{BuildUnit, LocalCache, UnitCache};

use super::error::UnitError;
use super::schedule::Job;

pub(super) use found::Found;
pub(super) use mask::Mask;
pub(super) use support::Unsupported;

/// The caches of a unit's try.
pub(super) struct Caches {
    /// For the Solve.
    pub(super) exports: Vec<CacheSpec>,
    /// For the Solve, in the order in which the daemon looks.
    pub(super) imports: Vec<CacheSpec>,
    stores: ContentStores,
    written: Vec<Written>,
}

/// A cache that the daemon writes to this machine.
struct Written {
    store: Arc<DirStore>,
    local: LocalCache,
    /// Whether a failure is a warning.
    ignore_error: bool,
}

impl Caches {
    /// Those that the daemon knows and, of those to be read here, those that are there.
    pub(super) fn new(unit: &BuildUnit, found: &Found, unsupported: &Unsupported) -> Self {
        let mut caches = Self {
            exports: Vec::new(),
            imports: Vec::new(),
            stores: ContentStores::new(),
            written: Vec::new(),
        };
        for cache in &unit.caches.exports {
            if !unsupported.has(CacheSide::To, &cache.kind) {
                caches.export(cache);
            }
        }
        for cache in &unit.caches.imports {
            if !unsupported.has(CacheSide::From, &cache.kind) {
                caches.import(cache, found);
            }
        }
        caches
    }

    fn export(&mut self, cache: &UnitCache) {
        let mut attrs = cache.attrs.clone();
        if let Some(local) = &cache.local {
            // A made-up name: the daemon needs no path of ours, and a header takes ASCII only.
            let id = format!("to-{}", self.written.len());
            let store = Arc::new(DirStore::read_write(local.dir.join("blobs")));
            self.serve_as(&id, Arc::clone(&store));
            attrs.insert("dest".to_owned(), id);
            self.written.push(Written {
                store,
                local: local.clone(),
                ignore_error: cache.ignore_error,
            });
        }
        self.exports.push(spec(cache, attrs));
    }

    fn import(&mut self, cache: &UnitCache, found: &Found) {
        let mut attrs = cache.attrs.clone();
        if let Some(local) = &cache.local {
            let Some(digest) = found.digest(local) else {
                return;
            };
            let id = format!("from-{}", self.imports.len());
            let store = DirStore::read_only(local.dir.join("blobs"));
            self.serve_as(&id, Arc::new(store));
            attrs.insert("src".to_owned(), id);
            attrs.insert("digest".to_owned(), digest.to_string());
        }
        self.imports.push(spec(cache, attrs));
    }

    fn serve_as(&mut self, id: &str, store: Arc<DirStore>) {
        self.stores.insert(format!("local:{id}"), store);
    }

    /// Adds the service that the daemon reads and writes caches of this machine by.
    pub(super) fn serve(&self, services: Services) -> Services {
        match self.stores.is_empty() {
            true => services,
            false => services.content(self.stores.clone()),
        }
    }

    /// Why a cache could not be written here; `None` when all could, or when it does not matter.
    pub(super) fn failure(&self) -> Option<String> {
        let failed = self.written.iter().filter(|written| !written.ignore_error);
        let mut failed = failed.filter_map(|written| written.store.failure());
        failed.next().map(str::to_owned)
    }

    /// Makes what was written the cache that is read next.
    pub(super) async fn keep(
        self,
        response: &BTreeMap<String, String>,
        job: &Job<'_>,
    ) -> Result<(), UnitError> {
        let Self { written, .. } = self;
        if written.is_empty() {
            return Ok(());
        }
        let response = response.get(keep::MANIFEST).cloned();
        let kept = tokio::task::spawn_blocking(move || keep::all(&written, response.as_deref()));
        for warning in kept.await.map_err(UnitError::Task)?? {
            job.emit(Event::Warning(warning));
        }
        Ok(())
    }
}

fn spec(cache: &UnitCache, attrs: BTreeMap<String, String>) -> CacheSpec {
    CacheSpec {
        kind: cache.kind.clone(),
        attrs,
    }
}
