//! Looks into an image: [`Inspected`], its manifest or index, and of each platform the
//! configuration, the SBOM and the provenance.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::Value;

use super::error::StoreError;
use super::found::{CONFIG_LIMIT, attestation};
use super::place::Place;
use super::store::Store;
use crate::digest::Digest;
use crate::oci::{Descriptor, Index, ParseError, media_type};
use crate::platform::Platform;
use crate::registry::{Manifest, Registries};

/// The largest statement that is read, in bytes: an SBOM of a big image has some ten million.
const STATEMENT_LIMIT: usize = 128 << 20;
/// How many images are looked into at a time.
const AT_ONCE: usize = 4;
/// How deep indexes may lie in indexes.
const DEPTH: usize = 4;
/// The predicate of an SBOM.
const SPDX: &str = "https://spdx.dev/Document";
/// What the predicates of provenance begin with.
const SLSA: &str = "https://slsa.dev/provenance/";
/// The annotation of a layer that says what its statement is about.
const PREDICATE: &str = "in-toto.io/predicate-type";

/// What is to be looked at beside the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Nothing else.
    Manifest,
    /// The configurations.
    Images,
    /// Those and what attests them.
    Statements,
}

/// An image that was looked into.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// Its manifest or index.
    pub manifest: Manifest,
    /// What it lists; `None` when it is a manifest.
    pub index: Option<Index>,
    /// Its images, by platform; empty when only the manifest was wanted.
    pub images: Vec<Image>,
}

/// An image for one platform.
#[derive(Debug, Clone)]
pub struct Image {
    /// What it is for; `None` when its configuration does not say.
    pub platform: Option<Platform>,
    /// Its manifest's digest.
    pub digest: Digest,
    /// Its configuration.
    pub config: Value,
    /// Its SBOMs' predicates.
    pub sboms: Vec<Value>,
    /// Its provenance's predicate.
    pub provenance: Option<Value>,
}

/// Why an image cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Its store fails, or it is not there.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its index cannot be read.
    #[error("{digest} is not an index")]
    Index {
        /// The index.
        digest: Digest,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A document in it cannot be read.
    #[error("{what} {digest} cannot be read")]
    Json {
        /// What it should be.
        what: &'static str,
        /// The document.
        digest: Digest,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A signed statement has no text in it.
    #[error("the statement {0} is not in an envelope that can be opened")]
    Envelope(Digest),
    /// Indexes lie too deep in indexes.
    #[error("indexes lie too deep in indexes")]
    Depth,
}

/// What is read of a manifest.
#[derive(Deserialize)]
struct Body {
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

impl Inspected {
    /// Looks into the image at `place`.
    pub async fn load(
        registries: &Registries,
        place: &Place,
        part: Part,
    ) -> Result<Self, InspectError> {
        let store = Store::open(registries, place).await?;
        let manifest = store.find(place).await?;
        let index = match media_type::is_index(&manifest.media_type) {
            true => Some(parse_index(&manifest)?),
            false => None,
        };
        let mut inspected = Self {
            manifest,
            index,
            images: Vec::new(),
        };
        if part != Part::Manifest {
            inspected.images = inspected.load_images(&store, part).await?;
        }
        Ok(inspected)
    }

    async fn load_images(&self, store: &Store, part: Part) -> Result<Vec<Image>, InspectError> {
        let entries = match &self.index {
            Some(index) => flatten(store, index, DEPTH).await?,
            None => vec![self.manifest.descriptor()],
        };
        let images: Vec<&Descriptor> = entries.iter().filter(|entry| is_image(entry)).collect();
        let mut loaded: Vec<Image> = stream::iter(images)
            .map(|entry| load_image(store, entry, &entries, part))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        loaded.sort_by(|a, b| a.platform.cmp(&b.platform));
        Ok(loaded)
    }
}

impl InspectError {
    /// Whether the image itself is at fault and not the way to it.
    pub fn is_about_content(&self) -> bool {
        match self {
            Self::Store(error) => error.is_about_content(),
            _ => true,
        }
    }

    /// What the user can do about it, in one line, if we know.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.advice(),
            _ => None,
        }
    }
}

/// Whether an entry is an image, and neither an attestation nor something unknown.
fn is_image(entry: &Descriptor) -> bool {
    let stated = entry.platform.is_none() || entry.known_platform().is_some();
    entry.attests().is_none() && stated && media_type::is_manifest(&entry.media_type)
}

/// The entries of an index and of those in it.
async fn flatten(
    store: &Store,
    index: &Index,
    depth: usize,
) -> Result<Vec<Descriptor>, InspectError> {
    if depth == 0 {
        return Err(InspectError::Depth);
    }
    let mut entries = Vec::new();
    for entry in &index.manifests {
        if media_type::is_index(&entry.media_type) {
            let inner = parse_index(&store.manifest(entry.digest).await?)?;
            entries.extend(Box::pin(flatten(store, &inner, depth - 1)).await?);
        } else {
            entries.push(entry.clone());
        }
    }
    Ok(entries)
}

async fn load_image(
    store: &Store,
    entry: &Descriptor,
    entries: &[Descriptor],
    part: Part,
) -> Result<Image, InspectError> {
    let digest = entry.digest;
    let body = read_body(store, digest).await?;
    let bytes = store.blob(&body.config, CONFIG_LIMIT).await?;
    let config = parse("the configuration", body.config.digest, &bytes)?;
    let platform = entry.known_platform().or_else(|| {
        let platform = crate::oci::config_platform(&bytes).ok()?;
        Some(platform.normalized())
    });
    let mut image = Image {
        platform,
        digest,
        config,
        sboms: Vec::new(),
        provenance: None,
    };
    if part == Part::Statements {
        let beside = entries
            .iter()
            .find(|other| other.attests() == Some(digest))
            .cloned();
        let attested = match beside {
            Some(entry) => Some(entry),
            // A registry that cannot tell what refers to an image is one without any.
            None => attestation(store, digest).await.unwrap_or_default(),
        };
        if let Some(entry) = attested {
            image.load_statements(store, entry.digest).await?;
        }
    }
    Ok(image)
}

impl Image {
    async fn load_statements(&mut self, store: &Store, at: Digest) -> Result<(), InspectError> {
        let body = read_body(store, at).await?;
        for layer in &body.layers {
            let Some(kind) = layer.annotations.get(PREDICATE) else {
                continue;
            };
            let is_provenance = kind.starts_with(SLSA);
            if !is_provenance && kind != SPDX {
                continue;
            }
            let bytes = store.blob(layer, STATEMENT_LIMIT).await?;
            let bytes = open_envelope(layer, bytes)?;
            let statement: Value = parse("the statement", layer.digest, &bytes)?;
            let predicate = statement.get("predicate").cloned().unwrap_or_default();
            match is_provenance {
                true => self.provenance = Some(predicate),
                false => self.sboms.push(predicate),
            }
        }
        Ok(())
    }
}

/// Takes a statement out of its envelope, if it is signed.
fn open_envelope(layer: &Descriptor, bytes: Vec<u8>) -> Result<Vec<u8>, InspectError> {
    #[derive(Deserialize)]
    struct Envelope {
        payload: String,
    }
    if !layer.media_type.ends_with("+dsse") {
        return Ok(bytes);
    }
    let envelope: Envelope = parse("the envelope", layer.digest, &bytes)?;
    let decoded = STANDARD.decode(envelope.payload);
    decoded.map_err(|_| InspectError::Envelope(layer.digest))
}

async fn read_body(store: &Store, digest: Digest) -> Result<Body, InspectError> {
    let manifest = store.manifest(digest).await?;
    parse("the manifest", digest, &manifest.bytes)
}

fn parse_index(manifest: &Manifest) -> Result<Index, InspectError> {
    Index::parse(&manifest.bytes).map_err(|source| InspectError::Index {
        digest: manifest.digest,
        source,
    })
}

fn parse<T: serde::de::DeserializeOwned>(
    what: &'static str,
    digest: Digest,
    bytes: &[u8],
) -> Result<T, InspectError> {
    serde_json::from_slice(bytes).map_err(|source| InspectError::Json {
        what,
        digest,
        source,
    })
}
