//! Which caches each platform reads and writes: names of its own, so that no platform overwrites
//! another one's cache, and all of them to read from.
//!
//! Decides on names only; whether anything is there, and who may write, shows in the build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::attrs::parse_bool;
use crate::platform::Platform;
use crate::reference::ImageRef;
use crate::request::{BuildRequest, CacheKind, CacheSide, CacheSpec};
use crate::unit::{LocalCache, UnitCache, UnitCaches};

use super::PlanError;

/// What S3, Azure and GitHub call a cache that nobody gave a name.
const DEFAULT_NAME: &str = "buildkit";
/// The tag of a local cache that nobody gave one.
const DEFAULT_TAG: &str = "latest";
/// Keys that the client acts upon and daemons do not know.
const CLIENTS_OWN: &[&str] = &["dest", "src", "tag", "reset", "digest"];
/// Keys that say how a cache is written or reached, not where it is.
const HOW: &[&str] = &[
    "access_key_id",
    "compression",
    "compression-level",
    "force-compression",
    "ghtoken",
    "ignore-error",
    "image-manifest",
    "mode",
    "oci-mediatypes",
    "registry.insecure",
    "secret_access_key",
    "session_token",
    "timeout",
    "token",
    "upload_parallelism",
];

/// Decides on the caches of every unit; `platforms` are the units', in their order.
pub(super) fn caches(
    request: &BuildRequest,
    platforms: &[Platform],
) -> Result<Vec<UnitCaches>, PlanError> {
    let several = platforms.len() > 1;
    let mut written = BTreeMap::new();
    let mut units = Vec::new();
    for platform in platforms {
        let exports = exports(request, platform, several, &mut written)?;
        let imports = imports(request, platform, platforms)?;
        units.push(UnitCaches { exports, imports });
    }
    check_resets(request, &units)?;
    Ok(units)
}

/// A directory that holds several caches cannot be cleared for one of them.
fn check_resets(request: &BuildRequest, units: &[UnitCaches]) -> Result<(), PlanError> {
    let exports = || units.iter().flat_map(|unit| &unit.exports);
    let local = |cache: &UnitCache| Some((cache.spec, cache.local.clone()?));
    for (spec, local_cache) in exports().filter_map(local) {
        let mut others = exports().filter_map(local);
        let shared = local_cache.reset
            && others
                .any(|(_, other)| other.dir == local_cache.dir && other.tag != local_cache.tag);
        if shared {
            let problem = "reset=true would drop the other cache in that directory".to_owned();
            return Err(problem_of(&request.cache_to[spec], CacheSide::To, problem));
        }
    }
    Ok(())
}

/// The caches that a platform writes. `written` are the places taken so far, with who took them.
fn exports(
    request: &BuildRequest,
    platform: &Platform,
    several: bool,
    written: &mut BTreeMap<Place, (usize, Platform)>,
) -> Result<Vec<UnitCache>, PlanError> {
    let mut exports = Vec::new();
    for (position, spec) in request.cache_to.iter().enumerate() {
        let name = if several { Naming::Own } else { Naming::Plain };
        let export = entry(spec, position, platform, name, CacheSide::To)?;
        let taken = written.insert(place(&export), (position, platform.clone()));
        // An inline cache is in the platform's own image.
        if let Some((earlier, other)) = taken
            && (earlier == position || other == *platform)
            && !(spec.kind == CacheKind::Inline && earlier == position)
        {
            let problem = match other == *platform {
                true => "it is given twice".to_owned(),
                false => format!(
                    "{other} and {platform} would overwrite each other's cache; put {{platform}} \
                     into its name"
                ),
            };
            return Err(problem_of(spec, CacheSide::To, problem));
        }
        exports.push(export);
    }
    Ok(exports)
}

/// The caches that a platform reads: its own, then those of the plain name, then the others'.
fn imports(
    request: &BuildRequest,
    platform: &Platform,
    platforms: &[Platform],
) -> Result<Vec<UnitCache>, PlanError> {
    let others = || platforms.iter().filter(|other| *other != platform);
    let mut names = vec![(platform, Naming::Plain)];
    if platforms.len() > 1 {
        names.insert(0, (platform, Naming::Own));
        names.extend(others().map(|other| (other, Naming::Own)));
    }
    let mut imports: Vec<UnitCache> = Vec::new();
    let mut seen = BTreeSet::new();
    // Own names of all entries come first: the order is that in which a daemon looks.
    for (of, naming) in names {
        for (position, spec) in request.cache_from.iter().enumerate() {
            if !may_be_suffixed(spec) && naming == Naming::Own && of != platform {
                continue;
            }
            let import = entry(spec, position, of, naming, CacheSide::From)?;
            if seen.insert(place(&import)) {
                imports.push(import);
            }
        }
    }
    Ok(imports)
}

/// Which name of a cache is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// As it was given, but for placeholders.
    Plain,
    /// With the platform added where no placeholder holds it.
    Own,
}

/// Whether a platform can have a name of its own: a digest says exactly what is meant.
fn may_be_suffixed(spec: &CacheSpec) -> bool {
    let by_digest = || {
        let name = spec.attrs.get("ref")?;
        ImageRef::parse(name).ok()?.digest().map(drop)
    };
    by_digest().is_none() && !spec.attrs.contains_key("digest")
}

/// One cache of one platform.
fn entry(
    spec: &CacheSpec,
    position: usize,
    platform: &Platform,
    naming: Naming,
    side: CacheSide,
) -> Result<UnitCache, PlanError> {
    let filled = |value: &String| fill(value, platform);
    let mut attrs: BTreeMap<String, String> = spec
        .attrs
        .iter()
        .map(|(key, value)| (key.clone(), filled(value)))
        .collect();
    let placed = spec
        .attrs
        .values()
        .any(|value| fill(value, platform) != *value);
    if naming == Naming::Own && !placed && may_be_suffixed(spec) {
        suffix(&spec.kind, &mut attrs, platform).map_err(|text| problem_of(spec, side, text))?;
    }
    if placed && spec.kind == CacheKind::Registry {
        let name = attrs.get("ref").map(String::as_str).unwrap_or_default();
        ImageRef::parse(name).map_err(|error| problem_of(spec, side, error.to_string()))?;
    }
    let local = (spec.kind == CacheKind::Local).then(|| LocalCache {
        dir: PathBuf::from(match side {
            CacheSide::To => attrs.get("dest").cloned().unwrap_or_default(),
            CacheSide::From => attrs.get("src").cloned().unwrap_or_default(),
        }),
        tag: attrs
            .get("tag")
            .filter(|tag| !tag.is_empty())
            .cloned()
            .unwrap_or_else(|| DEFAULT_TAG.to_owned()),
        digest: attrs.get("digest").and_then(|digest| digest.parse().ok()),
        reset: attrs.get("reset").and_then(|reset| parse_bool(reset)) == Some(true),
    });
    attrs.retain(|key, _| !CLIENTS_OWN.contains(&key.as_str()));
    if side == CacheSide::From {
        attrs.remove("ignore-error");
    }
    Ok(UnitCache {
        spec: position,
        kind: spec.kind.name().to_owned(),
        attrs,
        ignore_error: spec.ignores_errors(),
        local,
    })
}

/// Replaces `{platform}`, `{os}`, `{arch}` and `{variant}`; other braces stay.
fn fill(value: &str, platform: &Platform) -> String {
    if !value.contains('{') {
        return value.to_owned();
    }
    value
        .replace("{platform}", &dashed(platform))
        .replace("{os}", &platform.os)
        .replace("{arch}", &platform.architecture)
        .replace("{variant}", &platform.variant)
}

/// A platform as a part of a name: `linux-arm-v7`.
fn dashed(platform: &Platform) -> String {
    platform.to_string().replace('/', "-")
}

/// Adds the platform to what names the cache.
fn suffix(
    kind: &CacheKind,
    attrs: &mut BTreeMap<String, String>,
    platform: &Platform,
) -> Result<(), String> {
    let end = dashed(platform);
    let mut add = |key: &str| {
        let value = attrs.entry(key.to_owned()).or_default();
        if value.is_empty() {
            *value = DEFAULT_NAME.to_owned();
        }
        // S3 and Azure take several names.
        let names = value.split(';').map(|name| format!("{name}-{end}"));
        *value = names.collect::<Vec<_>>().join(";");
    };
    match kind {
        CacheKind::Gha => add("scope"),
        CacheKind::S3 | CacheKind::Azblob => add("name"),
        CacheKind::Local => {
            for key in ["dest", "src"] {
                if let Some(dir) = attrs.get_mut(key) {
                    let below = PathBuf::from(&*dir).join(platform.local_dir_name());
                    *dir = below.to_string_lossy().into_owned();
                }
            }
        }
        CacheKind::Registry => {
            let name = attrs.get("ref").map(String::as_str).unwrap_or_default();
            let name = ImageRef::parse(name).map_err(|error| error.to_string())?;
            let name = name.with_default_tag();
            let tag = format!("{}-{end}", name.tag().unwrap_or_default());
            let name = name.with_tag(&tag).map_err(|error| error.to_string())?;
            attrs.insert("ref".to_owned(), name.to_string());
        }
        CacheKind::Inline | CacheKind::Other(_) => {}
    }
    Ok(())
}

/// What tells one cache from another.
type Place = (String, BTreeMap<String, String>, Option<(PathBuf, String)>);

fn place(cache: &UnitCache) -> Place {
    let mut attrs = cache.attrs.clone();
    attrs.retain(|key, _| !HOW.contains(&key.as_str()));
    if let Some(name) = attrs.get_mut("ref")
        && let Ok(full) = ImageRef::parse(name)
    {
        *name = full.with_default_tag().to_string();
    }
    let local = cache.local.as_ref();
    let local = local.map(|local| (local.dir.clone(), local.tag.clone()));
    (cache.kind.clone(), attrs, local)
}

fn problem_of(spec: &CacheSpec, side: CacheSide, problem: String) -> PlanError {
    PlanError::Cache {
        flag: side.flag(),
        value: spec.shown(),
        problem,
    }
}

#[cfg(test)]
mod tests;
