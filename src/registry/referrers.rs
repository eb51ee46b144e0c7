//! What refers to an image: signatures, SBOMs, attestations. [`Referrers`].
//!
//! Asked through the referrers API (OCI distribution-spec 1.1); where a registry has none,
//! through the tag that the specification gives to such registries, which clients keep.

use http::Method;
use http::header::{CONTENT_TYPE, LINK};

use super::answer::body;
use super::error::{Problem, RegistryError};
use super::host::Call;
use super::repository::{At, MANIFEST_LIMIT, Manifest, Repository};
use crate::digest::Digest;
use crate::oci::{Descriptor, Index, media_type};
use crate::retry::{Backoff, retry};

/// How many pages of a list are read: a registry that always names a next one must not keep
/// us busy for ever.
const PAGES: usize = 100;

/// What refers to an image, and who keeps the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrers {
    /// Points to the manifests that refer to it.
    pub list: Vec<Descriptor>,
    /// Who keeps the list.
    pub keeper: Keeper,
}

/// Who keeps the list of referrers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// The registry: it learns of a referrer when its manifest is written.
    Registry,
    /// The clients: the list is an index under [`referrers_tag`].
    Clients,
}

/// The tag under which clients keep the list of what refers to `subject`.
pub fn referrers_tag(subject: Digest) -> String {
    format!("sha256-{}", subject.hex())
}

impl Repository {
    /// Lists what refers to `subject`; nothing is no error.
    pub async fn referrers(&self, subject: Digest) -> Result<Referrers, RegistryError> {
        if let Some(list) = self.referrers_by_api(subject).await? {
            return Ok(Referrers {
                list,
                keeper: Keeper::Registry,
            });
        }
        Ok(Referrers {
            list: self.referrers_by_tag(subject).await?.manifests,
            keeper: Keeper::Clients,
        })
    }

    /// Makes `entries`, whose manifests are here, known as referrers of `subject`: does nothing
    /// where the registry does it by itself.
    ///
    /// Two clients that do this at the same time may lose one of their entries; the
    /// specification has no remedy.
    pub async fn add_referrers(
        &self,
        subject: Digest,
        entries: &[Descriptor],
    ) -> Result<(), RegistryError> {
        if self.referrers_by_api(subject).await?.is_some() {
            return Ok(());
        }
        let mut index = self.referrers_by_tag(subject).await?;
        let before = index.manifests.len();
        for entry in entries {
            if index
                .manifests
                .iter()
                .all(|other| other.digest != entry.digest)
            {
                index.manifests.push(entry.clone());
            }
        }
        if index.manifests.len() == before {
            return Ok(());
        }
        let manifest = Manifest::new(media_type::INDEX, index.to_bytes());
        self.put_manifest(At::Tag(&referrers_tag(subject)), &manifest)
            .await
    }

    /// The list that the registry keeps; `None` when it keeps none.
    async fn referrers_by_api(
        &self,
        subject: Digest,
    ) -> Result<Option<Vec<Descriptor>>, RegistryError> {
        let operation = format!("list what refers to {}@{subject}", self.name);
        let mut call = self.call(&operation, Method::GET, &format!("referrers/{subject}"));
        let mut list = Vec::new();
        for _ in 0..PAGES {
            // Soon, since what asks can often do without.
            let page = retry(
                Backoff::CHECK,
                || self.referrers_page(&call),
                RegistryError::verdict,
            )
            .await?;
            let Some((mut entries, next)) = page else {
                return Ok(None);
            };
            list.append(&mut entries);
            match next {
                Some(next) => call.path = next,
                None => return Ok(Some(list)),
            }
        }
        let message = "its list does not end";
        Err(self.blob_error(&operation, Problem::Answer, message.to_owned()))
    }

    async fn referrers_page(
        &self,
        call: &Call<'_>,
    ) -> Result<Option<(Vec<Descriptor>, Option<String>)>, RegistryError> {
        let answer = match self.host.send(call).await {
            Err(error) if is_absent(&error) => return Ok(None),
            answer => answer?,
        };
        let header = |name| {
            let value: Option<&http::HeaderValue> = answer.headers().get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or("")
        };
        // Whoever does not know the address may answer with a page for people.
        if media_type::of_header(header(CONTENT_TYPE)) != media_type::INDEX {
            return Ok(None);
        }
        let next = next_page(header(LINK)).map(str::to_owned);
        let bytes = body(self.host(), call.operation, answer, MANIFEST_LIMIT).await?;
        let index = Index::parse(&bytes).map_err(|error| {
            let message = "its list cannot be read".to_owned();
            self.blob_error(call.operation, Problem::Answer, message)
                .because(error)
        })?;
        Ok(Some((index.manifests, next)))
    }

    /// The list that clients keep; empty when there is none.
    async fn referrers_by_tag(&self, subject: Digest) -> Result<Index, RegistryError> {
        let tag = referrers_tag(subject);
        let Some(manifest) = self.get_manifest(At::Tag(&tag)).await? else {
            return Ok(Index::new(media_type::INDEX, Vec::new()));
        };
        Index::parse(&manifest.bytes).map_err(|error| {
            let operation = format!("list what refers to {}@{subject}", self.name);
            let message = format!("what is under the tag {tag} is no list of referrers");
            self.blob_error(&operation, Problem::Answer, message)
                .because(error)
        })
    }
}

/// Whether a refusal means that the registry has no such API.
fn is_absent(error: &RegistryError) -> bool {
    error.problem == Problem::NotFound || matches!(error.status, Some(405 | 501))
}

/// The address of the next page in a `Link` header (RFC 8288).
fn next_page(header: &str) -> Option<&str> {
    let (target, parameters) = header.split_once('>')?;
    let next = parameters
        .split([';', ','])
        .any(|one| matches!(one.trim(), "rel=\"next\"" | "rel=next"));
    next.then(|| target.trim().strip_prefix('<'))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_taken_from_its_header() {
        let check = |header: &str, expect: Option<&str>| {
            assert_eq!(next_page(header), expect, "{header}");
        };
        check(
            "</v2/a/referrers/x?n=1>; rel=\"next\"",
            Some("/v2/a/referrers/x?n=1"),
        );
        check("</v2/a>; rel=next", Some("/v2/a"));
        check("</v2/a>; rel=\"prev\"", None);
        check("/v2/a; rel=\"next\"", None);
        check("", None);
    }

    #[test]
    fn the_tag_is_a_valid_one() {
        let tag = referrers_tag(Digest::of(b""));
        assert!(
            tag.starts_with("sha256-e3b0c442") && tag.len() == 71,
            "{tag}"
        );
    }
}
