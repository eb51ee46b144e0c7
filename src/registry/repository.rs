//! One repository of a registry: [`Repository`], with what is asked about its manifests.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method};

use super::answer::body;
use super::error::{Problem, RegistryError};
use super::host::{Call, Host};
use crate::digest::Digest;
use crate::oci::{Descriptor, media_type};
use crate::retry::{Backoff, Verdict, retry};

/// The largest manifest or index that is read, in bytes: what registries accept at most.
pub(super) const MANIFEST_LIMIT: usize = 4 << 20;

/// A repository, with access to its registry.
#[derive(Clone)]
pub struct Repository {
    pub(super) host: Arc<Host>,
    pub(super) name: String,
    pub(super) backoff: Backoff,
}

/// Where in a repository a manifest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At<'a> {
    /// Under a tag.
    Tag(&'a str),
    /// Under its digest.
    Digest(Digest),
}

/// A manifest or index as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type.
    pub media_type: String,
    /// Its exact bytes.
    pub bytes: Bytes,
    /// Their digest, computed here.
    pub digest: Digest,
}

impl Manifest {
    /// Takes bytes as a manifest of `media_type`.
    pub fn new(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(&bytes),
            bytes,
        }
    }

    /// The descriptor that points to it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.bytes.len() as u64)
    }
}

impl Repository {
    pub(super) fn new(host: Arc<Host>, name: &str, backoff: Backoff) -> Self {
        Self {
            host,
            name: name.to_owned(),
            backoff,
        }
    }

    /// The registry, as the user writes it.
    pub fn host(&self) -> &str {
        &self.host.name
    }

    /// The repository's name within its registry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether both are in one registry, so that blobs need not be moved.
    pub fn same_registry(&self, other: &Self) -> bool {
        self.host.name == other.host.name
    }

    /// Finds a manifest without reading it; `None` when it isn't there.
    pub async fn head_manifest(&self, at: At<'_>) -> Result<Option<Descriptor>, RegistryError> {
        let operation = format!("look up {}{at}", self.name);
        let call = self.call(
            &operation,
            Method::HEAD,
            &format!("manifests/{}", at.name()),
        );
        let answer = retry(
            self.backoff,
            || self.host.send(&call),
            RegistryError::verdict,
        )
        .await;
        let answer = match answer {
            Err(error) if error.problem == Problem::NotFound => return Ok(None),
            answer => answer?,
        };
        let headers = answer.headers();
        let size = text(headers, CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok());
        let (Some(digest), Some(size)) = (digest_header(headers), size) else {
            // Old registries leave the digest out here; then reading it is the only way.
            return Ok(self
                .get_manifest(at)
                .await?
                .map(|manifest| manifest.descriptor()));
        };
        self.expect(&operation, at, digest)?;
        let media_type = media_type::of_header(text(headers, CONTENT_TYPE.as_str()).unwrap_or(""));
        Ok(Some(Descriptor::new(media_type, digest, size)))
    }

    /// Reads a manifest or index; `None` when it isn't there. Under a digest, the bytes have
    /// that digest.
    pub async fn get_manifest(&self, at: At<'_>) -> Result<Option<Manifest>, RegistryError> {
        let operation = format!("read {}{at}", self.name);
        let call = self.call(&operation, Method::GET, &format!("manifests/{}", at.name()));
        let read = || async {
            let answer = self.host.send(&call).await?;
            let header = text(answer.headers(), CONTENT_TYPE.as_str()).unwrap_or("");
            let media_type = media_type::of_header(header).to_owned();
            let bytes = body(self.host(), &operation, answer, MANIFEST_LIMIT).await?;
            Ok(Manifest::new(&media_type, bytes))
        };
        match retry(self.backoff, read, RegistryError::verdict).await {
            Err(error) if error.problem == Problem::NotFound => Ok(None),
            Ok(manifest) => {
                self.expect(&operation, at, manifest.digest)?;
                Ok(Some(manifest))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a manifest or index, byte for byte, and makes sure that the registry has
    /// understood the same bytes.
    pub async fn put_manifest(&self, at: At<'_>, manifest: &Manifest) -> Result<(), RegistryError> {
        let operation = format!("write {}{at}", self.name);
        self.expect(&operation, at, manifest.digest)?;
        let mut call = self.call(&operation, Method::PUT, &format!("manifests/{}", at.name()));
        call.scopes = self.push_scopes();
        call.content = Some((&manifest.media_type, manifest.bytes.clone()));
        let answer = retry(
            self.backoff,
            || self.host.send(&call),
            RegistryError::verdict,
        )
        .await?;
        match digest_header(answer.headers()) {
            Some(digest) => self.expect(&operation, At::Digest(manifest.digest), digest),
            None => Ok(()),
        }
    }

    /// Looks a manifest up until it is there with `digest`: some registries answer for a
    /// short while from copies that are behind.
    pub async fn await_manifest(&self, at: At<'_>, digest: Digest) -> Result<(), RegistryError> {
        let operation = format!("find {}{at} after writing it", self.name);
        let look = || async {
            let message = match self.head_manifest(at).await? {
                Some(found) if found.digest == digest => return Ok(()),
                Some(found) => format!("it is {} and not {digest}", found.digest),
                None => "it is not there".to_owned(),
            };
            Err(RegistryError::new(
                self.host(),
                &operation,
                Problem::Digest,
                message,
            ))
        };
        let behind = |error: &RegistryError| match error.problem {
            Problem::Digest => Verdict::Again,
            // The request itself has been tried often enough.
            _ => Verdict::GiveUp,
        };
        let patience = Backoff {
            total: self.backoff.total.min(Backoff::CHECK.total),
            ..self.backoff
        };
        retry(patience, look, behind).await
    }

    /// What a token must allow to read here.
    pub(super) fn pull_scope(&self) -> String {
        format!("repository:{}:pull", self.name)
    }

    /// What a token must allow to write here.
    pub(super) fn push_scopes(&self) -> Vec<String> {
        vec![format!("repository:{}:pull,push", self.name)]
    }

    pub(super) fn call<'a>(&self, operation: &'a str, method: Method, path: &str) -> Call<'a> {
        Call {
            operation,
            method,
            path: format!("/v2/{}/{path}", self.name),
            scopes: vec![self.pull_scope()],
            content: None,
        }
    }

    fn expect(&self, operation: &str, at: At<'_>, found: Digest) -> Result<(), RegistryError> {
        match at {
            At::Digest(expected) if expected != found => {
                let message = format!("the content is {found} and not {expected}");
                Err(RegistryError::new(
                    self.host(),
                    operation,
                    Problem::Digest,
                    message,
                ))
            }
            _ => Ok(()),
        }
    }
}

impl At<'_> {
    /// The tag, or the digest.
    pub fn name(&self) -> String {
        match self {
            Self::Tag(tag) => (*tag).to_owned(),
            Self::Digest(digest) => digest.to_string(),
        }
    }
}

/// Prints what follows a repository's name: `:tag` or `@digest`.
impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, ":{tag}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl fmt::Display for Repository {
    /// Prints `host/name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host.name, self.name)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({self})")
    }
}

fn digest_header(headers: &HeaderMap) -> Option<Digest> {
    text(headers, "docker-content-digest")?.parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
