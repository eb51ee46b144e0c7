//! Moves blobs between repositories with the `oci-client` package.
//!
//! Within a registry by mounting, else by streaming; nothing is kept on disk or whole in
//! memory. Its waits get limits here: its own (reqwest's `read_timeout`) counts from a
//! request's start and would end a long upload.

use std::time::Duration;

use futures_util::TryStreamExt;
use oci_client::secrets::RegistryAuth;
use oci_client::token_cache::{RegistryToken, RegistryTokenType};
use oci_client::{Client, Reference, RegistryOperation};

use super::blob_client::{broken, explain, make_client, wire};
use super::connector::SILENCE_LIMIT;
use super::error::{Problem, RegistryError};
use super::login::Shown;
use super::repository::Repository;
use crate::digest::Digest;
use crate::oci::Descriptor;
use crate::retry::retry;

/// How long an upload may stand still: after the last byte, a registry may check gigabytes
/// or move them to its store before it answers.
pub(super) const STANDSTILL_LIMIT: Duration = Duration::from_secs(120);

impl Repository {
    /// Reads a small blob, such as a configuration, of at most `limit` bytes; its digest is
    /// verified.
    pub async fn get_blob(
        &self,
        blob: &Descriptor,
        limit: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        let operation = format!("read the blob {} of {}", blob.digest, self.name);
        let read = || async {
            let client = self.pull_client().await?;
            let from = self.blob_reference(blob.digest);
            let failed = |error| explain(self, &operation, error);
            let stream = client
                .pull_blob_stream(&from, &wire(blob))
                .await
                .map_err(failed)?;
            let mut stream = stream.stream;
            let mut bytes = Vec::new();
            while let Some(chunk) = stream
                .try_next()
                .await
                .map_err(|error| broken(self, &operation, error))?
            {
                if bytes.len() + chunk.len() > limit {
                    let message = format!("it is larger than {limit} bytes");
                    return Err(self.blob_error(&operation, Problem::Answer, message));
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(bytes)
        };
        let read = || self.within(SILENCE_LIMIT, &operation, read());
        retry(self.backoff, read, RegistryError::verdict).await
    }

    /// Whether the blob is here.
    pub async fn has_blob(&self, digest: Digest) -> Result<bool, RegistryError> {
        let operation = format!("look up the blob {digest} of {}", self.name);
        let look = || async {
            let client = self.pull_client().await?;
            let found = client
                .blob_exists(&self.blob_reference(digest), &digest.to_string())
                .await;
            found.map_err(|error| explain(self, &operation, error))
        };
        let look = || self.within(SILENCE_LIMIT, &operation, look());
        retry(self.backoff, look, RegistryError::verdict).await
    }

    /// Makes a blob of `source` available here; does nothing if it is already.
    ///
    /// A mount that the registry does not grant becomes an upload.
    pub async fn copy_blob(&self, source: &Self, blob: &Descriptor) -> Result<(), RegistryError> {
        if self.has_blob(blob.digest).await? {
            return Ok(());
        }
        // One token for mounting and uploading: several blobs move at a time, and the package
        // keeps one token per repository.
        let mut scopes = self.push_scopes();
        if self.same_registry(source) {
            scopes.push(source.pull_scope());
            if self.mount(source, blob.digest, &scopes).await? {
                return Ok(());
            }
        }
        let operation = format!("copy the blob {} to {}", blob.digest, self.name);
        let copy = || async {
            let from = source.pull_client().await?;
            let begin = async {
                from.pull_blob_stream(&source.blob_reference(blob.digest), &wire(blob))
                    .await
                    .map_err(|error| explain(source, &operation, error))
            };
            let stream = source.within(SILENCE_LIMIT, &operation, begin).await?;
            self.upload(&operation, &scopes, blob, stream.stream).await
        };
        retry(self.backoff, copy, RegistryError::verdict).await
    }

    /// Tries to mount; `false` when the registry does not, for whatever reason.
    async fn mount(
        &self,
        source: &Self,
        digest: Digest,
        scopes: &[String],
    ) -> Result<bool, RegistryError> {
        let client = self.push_client(scopes).await?;
        let (to, from) = (self.blob_reference(digest), source.blob_reference(digest));
        // 202 begins an upload instead; the package reports it as an error, and so do
        // refusals, after which the upload will say it better.
        let digest = digest.to_string();
        let mounted = client.mount_blob(&to, &from, &digest);
        let answer = tokio::time::timeout(SILENCE_LIMIT, mounted).await;
        Ok(answer.is_ok_and(|answer| answer.is_ok()))
    }

    pub(super) async fn pull_client(&self) -> Result<&Client, RegistryError> {
        self.client(&[self.pull_scope()], RegistryOperation::Pull)
            .await
    }

    pub(super) async fn push_client(&self, scopes: &[String]) -> Result<&Client, RegistryError> {
        self.client(scopes, RegistryOperation::Push).await
    }

    /// The package's client, given a token of ours for what comes next.
    async fn client(
        &self,
        scopes: &[String],
        operation: RegistryOperation,
    ) -> Result<&Client, RegistryError> {
        let client = self
            .host
            .blobs
            .get_or_try_init(|| make_client(&self.host))
            .await?;
        let reference = self.blob_reference(Digest::of(b""));
        if let Some(shown) = self.host.login(scopes).await? {
            let login = match shown {
                Shown::Basic { username, secret } => RegistryTokenType::Basic(username, secret),
                Shown::Bearer(token) => RegistryTokenType::Bearer(RegistryToken::Token { token }),
            };
            // Its token store is consulted only for registries that it has an entry for.
            client
                .store_auth_if_needed(reference.resolve_registry(), &RegistryAuth::Anonymous)
                .await;
            client.tokens.insert(&reference, operation, login).await;
        }
        Ok(client)
    }

    pub(super) fn blob_reference(&self, digest: Digest) -> Reference {
        Reference::with_digest(
            self.host.endpoint.clone(),
            self.name.clone(),
            digest.to_string(),
        )
    }

    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        operation: &str,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            Err(self.blob_error(
                operation,
                Problem::Timeout,
                "it did not answer in time".into(),
            ))
        })
    }

    pub(super) fn blob_error(
        &self,
        operation: &str,
        problem: Problem,
        message: String,
    ) -> RegistryError {
        RegistryError::new(self.host(), operation, problem, message)
    }
}
