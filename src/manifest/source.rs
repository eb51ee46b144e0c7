//! What an index is made of, as the user names it: [`Source`]. Pure.
//!
//! A source is an image in a registry or a layout, a bare digest, a descriptor as JSON, or the
//! metadata file of an earlier build. Those that do not say where their image is are found in
//! the one repository that everything else is about.

use std::path::Path;

use serde_json::Value;

use super::place::{Place, PlaceError};
use crate::digest::{Digest, DigestError};
use crate::oci::Descriptor;
use crate::reference::{ImageRef, ReferenceError};

/// The member of a metadata file that names the image.
const DIGEST: &str = "containerimage.digest";
/// The member of a metadata file that buildx writes with older daemons' answers, too.
const DESCRIPTOR: &str = "containerimage.descriptor";
/// The member with the names under which the image was pushed, separated by commas.
const NAMES: &str = "image.name";

/// One source, and what it is called in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What the user typed, or the file's name.
    pub label: String,
    /// What it says.
    pub image: SourceImage,
}

/// What a source says about its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceImage {
    /// Where it is.
    Place(Place),
    /// Its digest, without where it is.
    Digest(Digest),
    /// Its descriptor, without where it is.
    Descriptor(Box<Descriptor>),
}

/// A source with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// What it is called in messages.
    pub label: String,
    /// Where its image is.
    pub place: Place,
    /// The descriptor that the user gave; replaces what is found. `None` when none was given.
    pub descriptor: Option<Descriptor>,
}

/// Why a source cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is none of the forms.
    #[error("source `{label}` is no image, digest, descriptor or oci-layout://DIR")]
    Place {
        /// The source.
        label: String,
        /// Why it is no place.
        source: PlaceError,
    },
    /// It begins like a digest.
    #[error("source `{label}`")]
    Digest {
        /// The source.
        label: String,
        /// What is wrong with it.
        source: DigestError,
    },
    /// It is not JSON.
    #[error("{label} is not JSON")]
    Json {
        /// The source.
        label: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It is a manifest or an index, where a pointer to one is wanted.
    #[error("{0} is a manifest or an index itself, where a descriptor is wanted")]
    Document(String),
    /// It is a JSON object without a digest.
    #[error("{0} is neither a descriptor nor a build's metadata: it has no digest")]
    NoDigest(String),
    /// It is the metadata of a build that pushed nothing.
    #[error("{0} names no image: that build failed, or made none")]
    NoImage(String),
    /// A name in it is none.
    #[error("{label}: its `image.name`")]
    Name {
        /// The source.
        label: String,
        /// What is wrong with it.
        source: ReferenceError,
    },
    /// It does not say where its image is, and nothing else does.
    #[error("source `{label}` does not say where it is, and {}", several(stores))]
    Nowhere {
        /// The source.
        label: String,
        /// The places that are named.
        stores: Vec<String>,
    },
}

impl Source {
    /// Reads one word of the command line; files are for [`Source::of_file`].
    ///
    /// # Errors
    ///
    /// When it is none of the forms.
    pub fn parse(word: &str, cwd: &Path) -> Result<Self, SourceError> {
        let label = word.to_owned();
        let image = if word.trim_start().starts_with('{') {
            return Self::of_file("the descriptor", word.as_bytes());
        } else if word.starts_with("sha256:") {
            let digest = word.parse().map_err(|source| SourceError::Digest {
                label: label.clone(),
                source,
            })?;
            SourceImage::Digest(digest)
        } else {
            let place = Place::parse(word, cwd).map_err(|source| SourceError::Place {
                label: label.clone(),
                source,
            })?;
            SourceImage::Place(place)
        };
        Ok(Self { label, image })
    }

    /// Reads a file called `label`: a descriptor, or the metadata of a build by mbuild or
    /// buildx.
    ///
    /// # Errors
    ///
    /// When it is neither, or the build made no image.
    pub fn of_file(label: &str, bytes: &[u8]) -> Result<Self, SourceError> {
        let json: Value = serde_json::from_slice(bytes).map_err(|source| SourceError::Json {
            label: label.to_owned(),
            source,
        })?;
        let has = |member: &str| json.get(member).is_some();
        let image = if has(DIGEST) || has(DESCRIPTOR) {
            metadata(label, &json)?
        } else if has("mbuild.version") || has("buildx.build.ref") {
            return Err(SourceError::NoImage(label.to_owned()));
        } else if has("schemaVersion") {
            return Err(SourceError::Document(label.to_owned()));
        } else {
            SourceImage::Descriptor(Box::new(descriptor(label, json)?))
        };
        Ok(Self {
            label: label.to_owned(),
            image,
        })
    }
}

/// Gives every source its place: those that have none are in the one store that all other
/// sources and the targets name.
///
/// # Errors
///
/// When a source has no place, and none or several are named.
pub fn locate(sources: Vec<Source>, targets: &[Place]) -> Result<Vec<Located>, SourceError> {
    let named = sources.iter().filter_map(|source| match &source.image {
        SourceImage::Place(place) => Some(place),
        _ => None,
    });
    let mut stores: Vec<Place> = Vec::new();
    for place in named.chain(targets) {
        if stores.iter().all(|other| other.store() != place.store()) {
            stores.push(place.clone());
        }
    }
    let only = |label: &str, digest| match &stores[..] {
        [store] => Ok(store.with_digest(digest)),
        _ => Err(SourceError::Nowhere {
            label: label.to_owned(),
            stores: stores.iter().map(Place::store).collect(),
        }),
    };
    let located = sources.into_iter().map(|Source { label, image }| {
        let (place, descriptor) = match image {
            SourceImage::Place(place) => (place, None),
            SourceImage::Digest(digest) => (only(&label, digest)?, None),
            SourceImage::Descriptor(given) => (only(&label, given.digest)?, Some(*given)),
        };
        Ok(Located {
            label,
            place,
            descriptor,
        })
    });
    located.collect()
}

/// The image that a build's metadata names: by digest in the first repository it was pushed to.
fn metadata(label: &str, json: &Value) -> Result<SourceImage, SourceError> {
    let digest = json
        .get(DIGEST)
        .or_else(|| json.get(DESCRIPTOR)?.get("digest"));
    let digest = digest.and_then(Value::as_str).unwrap_or_default();
    let digest: Digest = digest.parse().map_err(|source| SourceError::Digest {
        label: label.to_owned(),
        source,
    })?;
    let names = json.get(NAMES).and_then(Value::as_str).unwrap_or_default();
    let first = names
        .split(',')
        .map(str::trim)
        .find(|name| !name.is_empty());
    let Some(first) = first else {
        return Ok(SourceImage::Digest(digest));
    };
    let image = ImageRef::parse(first).map_err(|source| SourceError::Name {
        label: label.to_owned(),
        source,
    })?;
    Ok(SourceImage::Place(Place::Image(
        image.without_tag().with_digest(digest),
    )))
}

/// A descriptor in which everything but the digest may be missing.
fn descriptor(label: &str, json: Value) -> Result<Descriptor, SourceError> {
    let Value::Object(mut members) = json else {
        return Err(SourceError::NoDigest(label.to_owned()));
    };
    let digest = members.get("digest").and_then(Value::as_str);
    if digest.unwrap_or_default().is_empty() {
        return Err(SourceError::NoDigest(label.to_owned()));
    }
    members.entry("mediaType").or_insert_with(|| "".into());
    members.entry("size").or_insert_with(|| 0.into());
    serde_json::from_value(Value::Object(members)).map_err(|source| SourceError::Json {
        label: label.to_owned(),
        source,
    })
}

fn several(stores: &[String]) -> String {
    match stores {
        [] => "no repository is named".to_owned(),
        _ => format!("several places are named: {}", stores.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> Digest {
        Digest::of(b"")
    }

    fn parse(word: &str) -> Result<Source, SourceError> {
        Source::parse(word, Path::new("/"))
    }

    fn located(words: &[&str], targets: &[&str]) -> Result<Vec<String>, String> {
        let sources = words.iter().map(|word| parse(word).unwrap()).collect();
        let place = |text: &&str| Place::parse(text, Path::new("/")).unwrap();
        let targets: Vec<_> = targets.iter().map(place).collect();
        locate(sources, &targets)
            .map(|all| all.iter().map(|one| one.place.to_string()).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_has_no_place_is_in_the_only_repository_named() {
        let digest = digest().to_string();
        let there = format!("r.io/a@{digest}");
        assert_eq!(located(&[&digest], &["r.io/a:1"]), Ok(vec![there.clone()]));
        let json = format!("{{\"digest\":\"{digest}\"}}");
        let words = ["r.io/a:2", json.as_str()];
        assert_eq!(
            located(&words, &["r.io/a:1", "r.io/a:3"]).unwrap()[1],
            there
        );
        let error = located(&words, &["r.io/b"]).unwrap_err();
        assert!(
            error.ends_with("several places are named: r.io/a, r.io/b"),
            "{error}"
        );
        let error = located(&[&digest], &[]).unwrap_err();
        assert!(error.ends_with("no repository is named"), "{error}");
    }

    #[test]
    fn a_descriptor_may_be_short_but_not_without_digest() {
        let digest = digest();
        let text = format!("{{\"digest\":\"{digest}\",\"annotations\":{{\"k\":\"v\"}}}}");
        let SourceImage::Descriptor(given) = parse(&text).unwrap().image else {
            panic!()
        };
        assert_eq!((given.digest, given.size), (digest, 0));
        assert_eq!(given.annotations["k"], "v");
        let check = |text: &str, expect: &str| {
            let error = Source::of_file("f.json", text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expect), "{error}");
        };
        check("{", "f.json is not JSON");
        check("[]", "neither a descriptor nor");
        check("{}", "neither a descriptor nor");
        check("{\"digest\":5}", "neither a descriptor nor");
        check("{\"schemaVersion\":2}", "is a manifest or an index itself");
        check("{\"digest\":\"sha256:1\"}", "is not JSON");
    }

    #[test]
    fn metadata_says_where_the_image_is() {
        let digest = digest();
        let check = |text: String, expect: &str| {
            let shown = match Source::of_file("m.json", text.as_bytes()).map(|s| s.image) {
                Ok(SourceImage::Place(place)) => place.to_string(),
                Ok(other) => format!("{other:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(shown, expect, "{text}");
        };
        let there = format!("r.io/a@{digest}");
        check(
            format!("{{\"{DIGEST}\":\"{digest}\",\"{NAMES}\":\"r.io/a:1,r.io/b:2\"}}"),
            &there,
        );
        check(
            format!("{{\"{DESCRIPTOR}\":{{\"digest\":\"{digest}\"}},\"{NAMES}\":\"r.io/a\"}}"),
            &there,
        );
        check(
            format!("{{\"{DIGEST}\":\"{digest}\"}}"),
            &format!("Digest(Digest({digest}))"),
        );
        check(
            "{\"mbuild.version\":1}".into(),
            "m.json names no image: that build failed, or made none",
        );
        check(
            format!("{{\"{DIGEST}\":\"{digest}\",\"{NAMES}\":\"-\"}}"),
            "m.json: its `image.name`",
        );
    }

    #[test]
    fn words_that_are_no_source_are_refused() {
        for word in ["sha256:12", "UPPER", "oci-layout://", ""] {
            assert!(parse(word).is_err(), "{word}");
        }
    }
}
