//! Attestation manifests whose statements name the wrong tag: [`rename`] makes the right one.
//!
//! A daemon that pushes by digest does not know the tags that its image gets and writes
//! `latest`. Only names of subjects change, and with them what refers to the statements by
//! digest. Pure: whoever calls fetches the blobs, and pushes the new ones.

mod purl;
mod statement;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::statement::Outcome;
use super::Descriptor;
use crate::digest::Digest;

/// The names that an image gets: its tags in each repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(Vec<(String, Vec<String>)>);

/// An attestation manifest about the right names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renamed {
    /// The manifest and the blobs that are new; `None` when the old manifest is right.
    pub replaced: Option<Replaced>,
    /// How many statements name something else and are signed, so that they have to stay.
    pub signed: usize,
}

/// What takes the place of an attestation manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The blobs that it refers to and the old one does not.
    pub blobs: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
struct Manifest<'a> {
    #[serde(borrow)]
    config: &'a RawValue,
    #[serde(borrow)]
    layers: Vec<&'a RawValue>,
}

impl Names {
    /// Adds a repository by its short name, as users type it.
    pub fn repository(&mut self, name: &str) {
        if self.tags(name).is_none() {
            self.0.push((name.to_owned(), Vec::new()));
        }
    }

    /// Adds a tag in a repository.
    pub fn tag(&mut self, name: &str, tag: &str) {
        self.repository(name);
        let found = self.0.iter_mut().find(|(other, _)| other == name);
        if let Some((_, tags)) = found
            && !tags.iter().any(|other| other == tag)
        {
            tags.push(tag.to_owned());
        }
    }

    /// The tags in a repository; `None` if the image does not go there.
    fn tags(&self, name: &str) -> Option<&[String]> {
        let found = self.0.iter().find(|(other, _)| other == name)?;
        Some(&found.1)
    }
}

/// The blobs that have to be read for [`rename`]: the statements, and the configuration, which
/// in the older form of the manifest lists them; `None` if the bytes are no manifest.
pub fn parts(manifest: &[u8]) -> Option<Vec<Descriptor>> {
    let manifest: Manifest<'_> = serde_json::from_slice(manifest).ok()?;
    let parts = manifest.layers.iter().chain([&manifest.config]);
    parts
        .map(|part| serde_json::from_str(part.get()).ok())
        .collect()
}

/// Gives the statements of an attestation manifest about `image` the names that the image gets.
///
/// `blobs` are the manifest's parts; of one that is missing nothing changes. `None` if the bytes
/// are no manifest.
pub fn rename(
    manifest: &[u8],
    blobs: &BTreeMap<Digest, Vec<u8>>,
    image: Digest,
    names: &Names,
) -> Option<Renamed> {
    let text = std::str::from_utf8(manifest).ok()?;
    let parts: Manifest<'_> = serde_json::from_str(text).ok()?;
    let mut renamed = Renamed::default();
    let (mut edits, mut new, mut moved) = (Vec::new(), Vec::new(), Vec::new());
    for layer in &parts.layers {
        let descriptor: Descriptor = serde_json::from_str(layer.get()).ok()?;
        let Some(blob) = blobs.get(&descriptor.digest) else {
            continue;
        };
        match statement::rename(blob, image, names) {
            Outcome::Kept => {}
            Outcome::Signed => renamed.signed += 1,
            Outcome::Renamed(blob) => {
                let (old, pointer) = (descriptor.digest, pointing_to(descriptor, &blob));
                moved.push((old, pointer.digest));
                edits.push((*layer, serde_json::to_string(&pointer).ok()?));
                new.push(blob);
            }
        }
    }
    if edits.is_empty() {
        return Some(renamed);
    }
    let config: Descriptor = serde_json::from_str(parts.config.get()).ok()?;
    if let Some(blob) = blobs.get(&config.digest)
        && let Some(blob) = with_digests(blob, &moved)
    {
        let pointer = pointing_to(config, &blob);
        edits.insert(0, (parts.config, serde_json::to_string(&pointer).ok()?));
        new.push(blob);
    }
    renamed.replaced = Some(Replaced {
        manifest: splice(text, &edits).into_bytes(),
        blobs: new,
    });
    Some(renamed)
}

/// A descriptor of other bytes of the same kind.
fn pointing_to(mut descriptor: Descriptor, blob: &[u8]) -> Descriptor {
    descriptor.digest = Digest::of(blob);
    descriptor.size = blob.len() as u64;
    // The content itself, which some descriptors hold.
    descriptor.extra.remove("data");
    descriptor
}

/// The bytes with digests replaced; `None` if none of them is there.
fn with_digests(blob: &[u8], moved: &[(Digest, Digest)]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(blob).ok()?;
    let mut replaced = text.to_owned();
    for (old, new) in moved {
        replaced = replaced.replace(&old.to_string(), &new.to_string());
    }
    (replaced != text).then(|| replaced.into_bytes())
}

/// The text with parts of it replaced, whatever their order.
fn splice(text: &str, edits: &[(&RawValue, String)]) -> String {
    let start = text.as_ptr() as usize;
    let mut spans: Vec<(usize, usize, &str)> = edits
        .iter()
        .map(|(part, with)| {
            let at = part.get().as_ptr() as usize - start;
            (at, at + part.get().len(), with.as_str())
        })
        .collect();
    spans.sort_unstable();
    let (mut spliced, mut from) = (String::with_capacity(text.len()), 0);
    for (at, end, with) in spans {
        spliced.push_str(&text[from..at]);
        spliced.push_str(with);
        from = end;
    }
    spliced.push_str(&text[from..]);
    spliced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type;

    const EMPTY: &[u8] = b"{}";

    fn statement(image: Digest, name: &str) -> Vec<u8> {
        let hex = image.to_string().replace("sha256:", "");
        format!(
            r#"{{"subject":[{{"name":"{name}","digest":{{"sha256":"{hex}"}}}}],"predicate":{{}}}}"#
        )
        .into_bytes()
    }

    fn blobs(list: &[&[u8]]) -> BTreeMap<Digest, Vec<u8>> {
        let blobs = list.iter().map(|blob| (Digest::of(blob), blob.to_vec()));
        blobs.collect()
    }

    fn names() -> Names {
        let mut names = Names::default();
        names.tag("a", "1");
        names
    }

    /// A manifest as BuildKit writes it, with two statements.
    fn manifest(config: &[u8], statements: [&[u8]; 2], more: &str) -> String {
        let layer = |blob: &[u8]| {
            format!(
                "    {{\n      \"mediaType\": \"application/vnd.in-toto+json\",\n      \
                 \"digest\": \"{}\",\n      \"size\": {},\n      \
                 \"annotations\": {{ \"in-toto.io/predicate-type\": \"p\" }}\n    }}",
                Digest::of(blob),
                blob.len()
            )
        };
        format!(
            "{{\n  \"schemaVersion\": 2,\n  \"mediaType\": \"{}\",\n  \"config\": {{ \
             \"mediaType\": \"c\", \"digest\": \"{}\", \"size\": {} }},\n  \
             \"layers\": [\n{},\n{}\n  ]{more}\n}}",
            media_type::MANIFEST,
            Digest::of(config),
            config.len(),
            layer(statements[0]),
            layer(statements[1])
        )
    }

    fn layers(manifest: &[u8]) -> Vec<Digest> {
        let parts = parts(manifest).unwrap();
        parts.iter().map(|part| part.digest).collect()
    }

    #[test]
    fn the_older_form_lists_its_statements_in_the_configuration_too() {
        let image = Digest::of(b"image");
        let (wrong, right) = (
            statement(image, "pkg:docker/a@latest"),
            statement(image, "_"),
        );
        let config = format!(
            r#"{{"diff_ids":["{}","{}"]}}"#,
            Digest::of(&wrong),
            Digest::of(&right)
        );
        let old = manifest(config.as_bytes(), [&wrong, &right], "");
        let all = blobs(&[&wrong, &right, config.as_bytes()]);
        let renamed = rename(old.as_bytes(), &all, image, &names()).unwrap();
        let replaced = renamed.replaced.unwrap();
        let wanted = statement(image, "pkg:docker/a@1");
        let new_config = config.replace(
            &Digest::of(&wrong).to_string(),
            &Digest::of(&wanted).to_string(),
        );
        assert_eq!(
            replaced.blobs,
            [wanted.clone(), new_config.clone().into_bytes()]
        );
        let expect = [&wanted, &right, new_config.as_bytes()].map(Digest::of);
        assert_eq!(layers(&replaced.manifest), expect);
        let sizes: Vec<u64> = parts(&replaced.manifest)
            .unwrap()
            .iter()
            .map(|p| p.size)
            .collect();
        assert_eq!(sizes[0], wanted.len() as u64);
        let text = String::from_utf8(replaced.manifest).unwrap();
        assert!(
            text.contains(r#""annotations":{"in-toto.io/predicate-type":"p"}"#),
            "{text}"
        );
    }

    #[test]
    fn an_artifact_keeps_its_subject_and_its_empty_configuration() {
        let image = Digest::of(b"image");
        let (wrong, right) = (
            statement(image, "pkg:docker/a@latest"),
            statement(image, "_"),
        );
        let subject = format!(",\n  \"subject\": {{ \"digest\": \"{image}\" }}");
        let old = manifest(EMPTY, [&right, &wrong], &subject);
        let renamed = rename(
            old.as_bytes(),
            &blobs(&[&wrong, &right, EMPTY]),
            image,
            &names(),
        );
        let replaced = renamed.unwrap().replaced.unwrap();
        assert_eq!(replaced.blobs.len(), 1);
        let text = String::from_utf8(replaced.manifest).unwrap();
        assert!(text.ends_with(&format!("{subject}\n}}")), "{text}");
        assert!(text.contains(&Digest::of(EMPTY).to_string()));
    }

    #[test]
    fn what_is_right_is_not_replaced_and_signed_statements_are_counted() {
        use base64::Engine;
        let image = Digest::of(b"image");
        let right = statement(image, "pkg:docker/a@1");
        let payload = statement(image, "pkg:docker/a@latest");
        let payload = base64::engine::general_purpose::STANDARD.encode(payload);
        let signed = format!(r#"{{"payload":"{payload}","signatures":[{{}}]}}"#);
        let old = manifest(EMPTY, [&right, signed.as_bytes()], "");
        let all = blobs(&[&right, signed.as_bytes(), EMPTY]);
        let renamed = rename(old.as_bytes(), &all, image, &names()).unwrap();
        assert_eq!((renamed.replaced, renamed.signed), (None, 1));
        assert_eq!(rename(b"[]", &all, image, &names()), None);
    }
}
