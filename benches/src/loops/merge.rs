//! Reads what eight daemons pushed, an index each with an image and its attestation, and writes
//! the index of all of them.

use std::collections::BTreeMap;

use mbuild_hot::annotate::annotate;
use mbuild_hot::oci::{
    ATTESTATION, Child, Descriptor, Index, REFERENCE_DIGEST, REFERENCE_TYPE, Root, media_type,
    merge_index,
};
use mbuild_hot::platform::Platform;
use mbuild_hot::unit::DescriptorAnnotation;

use super::plan::PLATFORMS;
use super::{Failure, Work};

/// How often it is done in one run: once is too little to count.
const TIMES: usize = 40;

/// Merges, and returns the bytes of the indexes written.
pub(super) fn prepare() -> Result<Work, Failure> {
    let delivered = PLATFORMS
        .iter()
        .map(|name| Ok(((*name).to_owned(), delivered(name)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let annotation = |key: &str| DescriptorAnnotation {
        platform: None,
        key: key.to_owned(),
        value: "https://example.com/source".to_owned(),
    };
    let notes = [
        annotation("org.opencontainers.image.source"),
        annotation("org.opencontainers.image.url"),
    ];
    Ok(Box::new(move || {
        let mut bytes = 0;
        for _ in 0..TIMES {
            let mut children = Vec::with_capacity(delivered.len());
            for (from, text) in &delivered {
                let root = Root::Index(Index::parse(text)?);
                let from = from.clone();
                children.push(annotate(Child { from, root }, &notes));
            }
            bytes += merge_index(children, BTreeMap::new())?.to_bytes().len();
        }
        Ok(bytes)
    }))
}

/// The index that one daemon pushed.
fn delivered(name: &str) -> Result<Vec<u8>, Failure> {
    let platform: Platform = name.parse()?;
    let image = Descriptor::of(media_type::MANIFEST, name.as_bytes()).with_platform(platform);
    let mut attestation = Descriptor::of(media_type::MANIFEST, image.digest.to_string().as_bytes())
        .with_platform(Platform::new("unknown", "unknown"));
    attestation.annotations = BTreeMap::from([
        (REFERENCE_TYPE.to_owned(), ATTESTATION.to_owned()),
        (REFERENCE_DIGEST.to_owned(), image.digest.to_string()),
    ]);
    Ok(Index::new(media_type::INDEX, vec![image, attestation]).to_bytes())
}
