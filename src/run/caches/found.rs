//! Local caches that a build reads: which of them are there, looked up once for all units.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::causes::causes;
use crate::digest::Digest;
use crate::oci::layout::{Layout, LayoutError};
use crate::plan::BuildPlan;
use crate::unit::LocalCache;

/// The manifests of local caches, by directory and tag.
#[derive(Debug, Default)]
pub(in crate::run) struct Found {
    digests: BTreeMap<(PathBuf, String), Digest>,
}

impl Found {
    /// Looks for every local cache that the plan reads. What is not there is no error; where
    /// nothing of a flag is, a warning says so. Blocks on the disk.
    pub(in crate::run) fn look(plan: &BuildPlan) -> (Self, Vec<String>) {
        let mut found = Found::default();
        // By flag: what is missing, until something is there.
        let mut missing: BTreeMap<usize, Option<String>> = BTreeMap::new();
        let mut warnings = Vec::new();
        let imports = plan.units.iter().flat_map(|unit| &unit.caches.imports);
        for (spec, local) in imports.filter_map(|cache| Some((cache.spec, cache.local.as_ref()?))) {
            let key = (local.dir.clone(), local.tag.clone());
            if found.digests.contains_key(&key) {
                continue;
            }
            match resolve(local) {
                Ok(digest) => {
                    found.digests.insert(key, digest);
                    missing.insert(spec, None);
                }
                Err(error) if is_absent(&error) => {
                    let text = format!("no cache in {} yet", local.dir.display());
                    let plainest = missing.entry(spec).or_insert_with(|| Some(text.clone()));
                    // The shortest name is the one that was given.
                    if plainest
                        .as_ref()
                        .is_some_and(|other| text.len() < other.len())
                    {
                        *plainest = Some(text);
                    }
                }
                Err(error) => {
                    missing.insert(spec, None);
                    let dir = local.dir.display();
                    let warning = format!("the cache in {dir} is not used: {}", causes(&error));
                    if !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                }
            }
        }
        warnings.extend(missing.into_values().flatten());
        (found, warnings)
    }

    /// A directory that a cache is to be written to and cannot be; `None` if all can, as far as
    /// names tell.
    pub(in crate::run) fn unwritable(plan: &BuildPlan) -> Option<PathBuf> {
        let exports = plan.units.iter().flat_map(|unit| &unit.caches.exports);
        let mut dirs = exports.filter_map(|cache| Some(&cache.local.as_ref()?.dir));
        let in_the_way = |dir: &PathBuf| {
            let mut above = dir.ancestors();
            let there = above.find(|path| path.symlink_metadata().is_ok())?;
            (!there.is_dir()).then(|| there.to_owned())
        };
        dirs.find_map(in_the_way)
    }

    /// The manifest of a local cache; `None` if there is none.
    pub(super) fn digest(&self, local: &LocalCache) -> Option<Digest> {
        let key = (local.dir.clone(), local.tag.clone());
        self.digests.get(&key).copied()
    }
}

fn resolve(local: &LocalCache) -> Result<Digest, LayoutError> {
    let layout = Layout::open(&local.dir)?;
    let found = match local.digest {
        Some(digest) => layout.find_digest(digest)?,
        None => layout.find(&local.tag)?,
    };
    // A manifest that is listed and gone, or altered, is not offered to a daemon.
    layout.read_manifest(&found)?;
    Ok(found.digest)
}

/// Whether there simply is nothing of that name.
fn is_absent(error: &LayoutError) -> bool {
    match error {
        LayoutError::NoLayout(_) | LayoutError::NotFound { .. } => true,
        LayoutError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::event::UnitId;
    use crate::oci::names::EntryName;
    use crate::oci::{Descriptor, media_type};
    use crate::unit::{BuildUnit, UnitCache, UnitCaches};

    fn plan(dirs: &[&Path]) -> BuildPlan {
        let import = |dir: &&Path| UnitCache {
            spec: 0,
            kind: "local".to_owned(),
            attrs: BTreeMap::new(),
            ignore_error: false,
            local: Some(LocalCache {
                dir: dir.to_path_buf(),
                tag: "latest".to_owned(),
                digest: None,
                reset: false,
            }),
        };
        BuildPlan {
            units: vec![BuildUnit {
                id: UnitId(0),
                platform: "linux/amd64".parse().unwrap(),
                node: "n".to_owned(),
                why: "native".to_owned(),
                exports: Vec::new(),
                caches: UnitCaches {
                    exports: Vec::new(),
                    imports: dirs.iter().map(import).collect(),
                },
            }],
            merge: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn cache(dir: &Path) -> Digest {
        let layout = Layout::create(dir).unwrap();
        let manifest = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        layout.put_blob(manifest).unwrap();
        let descriptor = Descriptor::of(media_type::MANIFEST, manifest);
        layout
            .tag(&descriptor, &EntryName::Tag("latest".to_owned()))
            .unwrap();
        descriptor.digest
    }

    #[test]
    fn what_is_there_is_used_and_one_of_a_flag_is_enough() {
        let temp = tempfile::tempdir().unwrap();
        let (own, plain) = (temp.path().join("linux_amd64"), temp.path());
        let digest = cache(&own);
        let plan = plan(&[&own, plain]);
        let (found, warnings) = Found::look(&plan);
        assert!(warnings.is_empty(), "{warnings:?}");
        let local = |position: usize| {
            plan.units[0].caches.imports[position]
                .local
                .clone()
                .unwrap()
        };
        assert_eq!(found.digest(&local(0)), Some(digest));
        assert_eq!(found.digest(&local(1)), None);
    }

    #[test]
    fn a_missing_cache_is_one_warning_of_the_name_that_was_given() {
        let plan = plan(&[Path::new("/nowhere/c/linux_amd64"), Path::new("/nowhere/c")]);
        let (_, warnings) = Found::look(&plan);
        assert_eq!(warnings, ["no cache in /nowhere/c yet"]);
    }

    #[test]
    fn a_cache_that_was_altered_is_not_used() {
        let temp = tempfile::tempdir().unwrap();
        let digest = cache(temp.path());
        let path = Layout::open(temp.path()).unwrap().blob_path(digest);
        std::fs::write(path, "other").unwrap();
        let (found, warnings) = Found::look(&plan(&[temp.path()]));
        assert!(found.digests.is_empty());
        assert!(warnings[0].contains("is not used: "), "{warnings:?}");
    }
}
