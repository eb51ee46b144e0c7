//! How a layout lists what refers to an image: entries of `index.json` without a name.
//!
//! An annotation of ours and containerd's tells whose they are; what other tools list is told
//! by the manifest's own `subject`. Blocks on the disk.

use serde::Deserialize;

use crate::digest::Digest;
use crate::oci::layout::{Layout, LayoutError};
use crate::oci::{Descriptor, Index, media_type, names};
use crate::registry::referrers_tag;

/// The annotation of an entry that names what its manifest is about (containerd's).
const SUBJECT: &str = "io.containerd.manifest.subject";

/// The members of a manifest that make it a referrer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// Lists what refers to `subject`.
pub(super) fn referrers(layout: &Layout, subject: Digest) -> Result<Vec<Descriptor>, LayoutError> {
    let index = layout.index()?;
    let mut found: Vec<Descriptor> = Vec::new();
    let mut add = |entry: Descriptor| {
        if found.iter().all(|other| other.digest != entry.digest) {
            found.push(entry);
        }
    };
    for entry in &index.manifests {
        match entry.annotations.get(SUBJECT) {
            Some(about) if *about == subject.to_string() => add(bare(entry)),
            Some(_) => {}
            None => {
                if let Some(entry) = about(layout, entry, subject) {
                    add(entry);
                }
            }
        }
    }
    // Tools that copy tags bring the list of a registry that keeps none.
    if let Some(list) = names::find(&index, &referrers_tag(subject)) {
        let bytes = layout.read_manifest(list)?;
        for entry in Index::parse(&bytes)
            .map(|index| index.manifests)
            .unwrap_or_default()
        {
            add(entry);
        }
    }
    Ok(found)
}

/// Lists `entries` as referring to `subject`.
pub(super) fn add_referrers(
    layout: &Layout,
    subject: Digest,
    entries: &[Descriptor],
) -> Result<(), LayoutError> {
    layout.update(|index| {
        for entry in entries {
            let mut entry = bare(entry);
            entry
                .annotations
                .insert(SUBJECT.to_owned(), subject.to_string());
            names::put_unnamed(index, &entry);
        }
    })
}

/// The entry as a registry would list it, if its manifest is about `subject`.
fn about(layout: &Layout, entry: &Descriptor, subject: Digest) -> Option<Descriptor> {
    if media_type::is_index(&entry.media_type) && entry.artifact_type.is_none() {
        return None;
    }
    // What cannot be read is told when it is asked for.
    let bytes = layout.read_manifest(entry).ok()?;
    let document: About = serde_json::from_slice(&bytes).ok()?;
    if document.subject?.digest != subject {
        return None;
    }
    let mut entry = bare(entry);
    entry.artifact_type = entry.artifact_type.or(document.artifact_type);
    for (key, value) in document.annotations {
        entry.annotations.entry(key).or_insert(value);
    }
    Some(entry)
}

fn bare(entry: &Descriptor) -> Descriptor {
    let mut entry = names::unnamed(entry);
    entry.annotations.remove(SUBJECT);
    entry
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(layout: &Layout, about: Option<&Descriptor>) -> Descriptor {
        let document = json!({"schemaVersion": 2, "config": {}, "layers": [],
            "artifactType": "a/signature", "subject": about});
        let bytes = document.to_string().into_bytes();
        layout.put_blob(&bytes).unwrap();
        Descriptor::of(media_type::MANIFEST, &bytes)
    }

    #[test]
    fn what_was_listed_is_found_as_it_was() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(temp.path().join("l")).unwrap();
        let image = manifest(&layout, None);
        let mut signature = manifest(&layout, Some(&image));
        signature.artifact_type = Some("a/signature".to_owned());
        assert_eq!(referrers(&layout, image.digest).unwrap(), []);
        for _ in 0..2 {
            add_referrers(&layout, image.digest, std::slice::from_ref(&signature)).unwrap();
        }
        assert_eq!(layout.index().unwrap().manifests.len(), 1);
        assert_eq!(
            referrers(&layout, image.digest).unwrap(),
            [signature.clone()]
        );
        assert_eq!(referrers(&layout, signature.digest).unwrap(), []);
    }

    #[test]
    fn what_others_list_is_found_by_its_subject_or_under_the_tag() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(temp.path().join("l")).unwrap();
        let image = manifest(&layout, None);
        let signature = manifest(&layout, Some(&image));
        layout
            .update(|index| names::put_unnamed(index, &signature))
            .unwrap();
        let found = referrers(&layout, image.digest).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].artifact_type.as_deref(), Some("a/signature"));
        let other = Descriptor::of(media_type::MANIFEST, b"by tag");
        let list = Index::new(media_type::INDEX, vec![other.clone()]).to_bytes();
        layout.put_blob(&list).unwrap();
        let name = names::EntryName::Tag(referrers_tag(image.digest));
        layout
            .tag(&Descriptor::of(media_type::INDEX, &list), &name)
            .unwrap();
        assert!(referrers(&layout, image.digest).unwrap().contains(&other));
    }
}
