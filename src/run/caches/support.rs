//! Which kinds of cache a daemon knows: asked of it only where not all daemons agree.

use std::collections::BTreeSet;

use crate::buildkit::Connection;
use crate::buildkit::caps::{Capabilities, CapabilitiesError};
use crate::event::Event;
use crate::request::CacheSide;
use crate::unit::{BuildUnit, UnitCache};

use super::super::error::UnitError;
use super::super::schedule::Job;

/// Kinds that every daemon knows, but for the classic store of a Docker engine.
const ALWAYS: [&str; 3] = ["inline", "local", "registry"];
/// Kinds that Docker engines list, as BuildKit does, and refuse: `unknown cache exporter: "s3"`.
const NOT_DOCKERS: [&str; 2] = ["azblob", "s3"];
/// Kinds that daemons list among their capabilities.
const LISTED: [(&str, &str); 3] = [
    ("azblob", "cache.azblob"),
    ("gha", "cache.gha"),
    ("s3", "cache.s3"),
];

/// Kinds of cache that a daemon does not know and that may be left out.
#[derive(Debug, Default)]
pub(in crate::run) struct Unsupported(BTreeSet<(&'static str, String)>);

impl Unsupported {
    /// Finds what of these units' caches a daemon does not know. What the user does not want to
    /// fail is told and left out.
    pub(in crate::run) async fn find(
        connection: &Connection,
        units: &[&BuildUnit],
        job: &Job<'_>,
    ) -> Result<Self, UnitError> {
        let mut unsupported = Unsupported::default();
        let caches = || units.iter().flat_map(|unit| sides(unit));
        let is_listed = |kind: &str| LISTED.iter().any(|(name, _)| *name == kind);
        let none = Capabilities::default();
        let capabilities = match caches().any(|(_, cache)| is_listed(&cache.kind)) {
            true => match connection.capabilities().await {
                Ok(capabilities) => capabilities,
                // It cannot say what it can do, so it is older than these kinds.
                Err(CapabilitiesError::Refused { .. }) => &none,
                // The Solve will say what is wrong with the connection.
                Err(_) => return Ok(unsupported),
            },
            false => &none,
        };
        let daemon = Daemon::of(connection, capabilities);
        for (side, cache) in caches() {
            if daemon.knows(side, &cache.kind) {
                continue;
            }
            let (endpoint, lack) = (connection.endpoint(), daemon.lack(side, &cache.kind));
            if !cache.ignore_error {
                let endpoint = endpoint.to_owned();
                return Err(UnitError::Lacks { endpoint, lack });
            }
            if unsupported.0.insert((side.flag(), cache.kind.clone())) {
                let text = format!("{endpoint} {lack}; the build goes on without it");
                job.emit(Event::Warning(text));
            }
        }
        Ok(unsupported)
    }

    /// Whether caches of this kind are left out.
    pub(super) fn has(&self, side: CacheSide, kind: &str) -> bool {
        let mut unknown = self.0.iter();
        unknown.any(|(flag, other)| *flag == side.flag() && other == kind)
    }
}

fn sides(unit: &BuildUnit) -> impl Iterator<Item = (CacheSide, &UnitCache)> {
    let exports = unit
        .caches
        .exports
        .iter()
        .map(|cache| (CacheSide::To, cache));
    let imports = unit
        .caches
        .imports
        .iter()
        .map(|cache| (CacheSide::From, cache));
    exports.chain(imports)
}

/// What decides on the kinds that a daemon knows.
struct Daemon<'a> {
    store: Store,
    capabilities: &'a Capabilities,
}

/// Whose daemon it is, and where it keeps images.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Store {
    BuildKit,
    Docker,
    ClassicDocker,
}

impl<'a> Daemon<'a> {
    fn of(connection: &Connection, capabilities: &'a Capabilities) -> Self {
        let info = connection.info();
        let store = match (info.is_docker(), info.containerd_store()) {
            (false, _) => Store::BuildKit,
            (true, true) => Store::Docker,
            (true, false) => Store::ClassicDocker,
        };
        Self {
            store,
            capabilities,
        }
    }

    fn knows(&self, side: CacheSide, kind: &str) -> bool {
        if self.store == Store::ClassicDocker {
            return match side {
                CacheSide::To => kind == "inline",
                CacheSide::From => matches!(kind, "registry" | "local"),
            };
        }
        if self.store == Store::Docker && NOT_DOCKERS.contains(&kind) {
            return false;
        }
        match LISTED.iter().find(|(name, _)| *name == kind) {
            Some((_, capability)) => self.capabilities.has(capability),
            None => true,
        }
    }

    /// What the daemon lacks, as a predicate, and what it has instead.
    fn lack(&self, side: CacheSide, kind: &str) -> String {
        let listed = LISTED.iter().map(|(name, _)| *name);
        let mut known: Vec<&str> = ALWAYS
            .into_iter()
            .filter(|kind| side == CacheSide::To || *kind != "inline")
            .chain(listed)
            .filter(|kind| self.knows(side, kind))
            .collect();
        known.sort_unstable();
        let known = known.join(", ");
        let what = match self.store {
            Store::BuildKit => "",
            Store::Docker => "is a Docker engine, which ",
            Store::ClassicDocker => "is a Docker engine without the containerd image store, which ",
        };
        let flag = side.flag();
        format!("{what}does not support {flag} type={kind}, only {known}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(store: Store, capabilities: &Capabilities) -> Daemon<'_> {
        Daemon {
            store,
            capabilities,
        }
    }

    #[test]
    fn the_classic_store_knows_few_kinds() {
        let none = Capabilities::default();
        let check = |side, kind, store, expect: bool| {
            let known = daemon(store, &none).knows(side, kind);
            assert_eq!(known, expect, "{side:?} {kind}");
        };
        check(CacheSide::To, "inline", Store::ClassicDocker, true);
        check(CacheSide::To, "registry", Store::ClassicDocker, false);
        check(CacheSide::From, "registry", Store::ClassicDocker, true);
        check(CacheSide::From, "gha", Store::ClassicDocker, false);
        check(CacheSide::To, "registry", Store::Docker, true);
        check(CacheSide::To, "s3", Store::BuildKit, false);
    }

    #[test]
    fn what_is_lacking_is_said_with_what_is_there() {
        let none = Capabilities::default();
        let check = |side, kind, store, expect: &str| {
            assert_eq!(daemon(store, &none).lack(side, kind), expect);
        };
        check(
            CacheSide::To,
            "s3",
            Store::BuildKit,
            "does not support --cache-to type=s3, only inline, local, registry",
        );
        check(
            CacheSide::From,
            "s3",
            Store::Docker,
            "is a Docker engine, which does not support --cache-from type=s3, only local, registry",
        );
        check(
            CacheSide::To,
            "local",
            Store::ClassicDocker,
            "is a Docker engine without the containerd image store, which does not support \
             --cache-to type=local, only inline",
        );
    }
}
