//! Finds what the units pushed, and brings it into every repository: [`locate`].

use futures_util::future::{try_join, try_join_all};

use super::{PublishError, Pushed};
use crate::oci::{
    Child, Descriptor, Index, Root as Top, config_platform, manifest_parts, media_type,
};
use crate::registry::{At, Manifest, Repository};

/// The largest image configuration that is read, in bytes.
const CONFIG_LIMIT: usize = 4 << 20;

/// A unit's result as it is in the registry.
pub(super) struct Found {
    pub(super) child: Child,
    /// As the unit pushed it.
    pub(super) manifest: Manifest,
    /// Whether the child is something else by now.
    pub(super) changed: bool,
}

impl Found {
    /// Whether it is an index with attestations.
    pub(super) fn is_attested(&self) -> bool {
        match &self.child.root {
            Top::Index(index) => index
                .manifests
                .iter()
                .any(|entry| entry.attests().is_some()),
            Top::Manifest(_) => false,
        }
    }
}

/// Looks up what every unit pushed in every repository; copies it to where it is missing.
pub(super) async fn locate(
    targets: &[(String, Repository)],
    units: &[Pushed],
) -> Result<Vec<Found>, PublishError> {
    try_join_all(units.iter().map(|unit| locate_one(targets, unit))).await
}

async fn locate_one(
    targets: &[(String, Repository)],
    unit: &Pushed,
) -> Result<Found, PublishError> {
    let Holders {
        source,
        manifest,
        lacking,
    } = find_holders(targets, unit).await?;
    let child = read_child(source, unit, &manifest).await?;
    // The parts are looked up too: a registry may have lost what its index refers to.
    let parts = match &child.root {
        Top::Index(index) => index.manifests.as_slice(),
        Top::Manifest(_) => &[],
    };
    let bring = |(_, target): &(String, Repository)| {
        let target = target.clone();
        async move {
            let parts = parts
                .iter()
                .map(|part| target.copy_image(source, part.digest));
            try_join_all(parts).await
        }
    };
    try_join_all(targets.iter().map(bring)).await?;
    let whole = lacking
        .iter()
        .map(|target| target.copy_image(source, unit.root.digest));
    try_join_all(whole).await?;
    Ok(Found {
        child,
        manifest,
        changed: false,
    })
}

/// Which repositories hold what a unit pushed.
struct Holders<'a> {
    /// One that does, and what it holds.
    source: &'a Repository,
    manifest: Manifest,
    /// Those that do not.
    lacking: Vec<&'a Repository>,
}

/// Reads what a unit pushed in the first repository and looks it up in the others, all at once:
/// reading is as good a proof as looking, so that one round trip does for both.
async fn find_holders<'a>(
    targets: &'a [(String, Repository)],
    unit: &Pushed,
) -> Result<Holders<'a>, PublishError> {
    let at = At::Digest(unit.root.digest);
    let missing = || PublishError::Missing {
        digest: unit.root.digest,
        from: unit.from.clone(),
    };
    let ((_, first), others) = targets.split_first().ok_or_else(missing)?;
    let look = |(_, target): &'a (String, Repository)| async move {
        Ok((target, target.head_manifest(at).await?.is_some()))
    };
    let looks = try_join_all(others.iter().map(look));
    let (read, looked) = try_join(first.get_manifest(at), looks).await?;
    let looked = [(first, read.is_some())].into_iter().chain(looked);
    let (holders, others): (Vec<_>, Vec<_>) = looked.partition(|(_, holds)| *holds);
    let (source, _) = holders.first().ok_or_else(missing)?;
    let manifest = match read {
        Some(manifest) => manifest,
        None => source.get_manifest(at).await?.ok_or_else(missing)?,
    };
    Ok(Holders {
        source,
        manifest,
        lacking: others.into_iter().map(|(target, _)| target).collect(),
    })
}

async fn read_child(
    source: &Repository,
    unit: &Pushed,
    manifest: &Manifest,
) -> Result<Child, PublishError> {
    let from = unit.from.clone();
    if media_type::is_index(&manifest.media_type) {
        let index = Index::parse(&manifest.bytes).map_err(|error| PublishError::Index {
            from: from.clone(),
            source: error,
        })?;
        return Ok(Child {
            from,
            root: Top::Index(index),
        });
    }
    let mut descriptor = Descriptor {
        annotations: unit.root.annotations.clone(),
        platform: unit.root.platform.clone(),
        ..manifest.descriptor()
    };
    if descriptor.known_platform().is_none() {
        let platform = match &unit.platform {
            Some(platform) => platform.clone(),
            None => read_platform(source, unit, manifest).await?,
        };
        descriptor = descriptor.with_platform(platform);
    }
    Ok(Child {
        from,
        root: Top::Manifest(descriptor),
    })
}

async fn read_platform(
    source: &Repository,
    unit: &Pushed,
    manifest: &Manifest,
) -> Result<crate::platform::Platform, PublishError> {
    let unknown = || PublishError::Configuration {
        digest: manifest.digest,
        from: unit.from.clone(),
    };
    let parts = manifest_parts(&manifest.bytes).ok_or_else(unknown)?;
    let config = parts.first().ok_or_else(unknown)?;
    let bytes = source.get_blob(config, CONFIG_LIMIT).await?;
    config_platform(&bytes).map_err(|_| unknown())
}
