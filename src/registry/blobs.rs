//! Moves blobs between repositories with the `oci-client` package.
//!
//! Within a registry by mounting, else by streaming; nothing is kept on disk or whole in
//! memory. Its answers are translated into ours here.

use futures_util::TryStreamExt;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};

use super::config::Security;
use super::error::{Problem, RegistryError};
use super::host::{CONNECT_LIMIT, Host, SILENCE_LIMIT, USER_AGENT};
use super::repository::Repository;
use crate::digest::Digest;
use crate::oci::Descriptor;
use crate::retry::retry;

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
        retry(self.backoff, look, RegistryError::verdict).await
    }

    /// Makes a blob of `source` available here; does nothing if it is already.
    ///
    /// A mount that the registry does not grant becomes an upload.
    pub async fn copy_blob(&self, source: &Self, blob: &Descriptor) -> Result<(), RegistryError> {
        if self.has_blob(blob.digest).await? {
            return Ok(());
        }
        if self.same_registry(source) && self.mount(source, blob.digest).await? {
            return Ok(());
        }
        let operation = format!("copy the blob {} to {}", blob.digest, self.name);
        let copy = || async {
            let from = source.pull_client().await?;
            let to = self.push_client(&self.push_scopes()).await?;
            let stream = from
                .pull_blob_stream(&source.blob_reference(blob.digest), &wire(blob))
                .await
                .map_err(|error| explain(source, &operation, error))?;
            let stream = stream.stream.map_err(OciDistributionError::from);
            let (target, digest) = (self.blob_reference(blob.digest), blob.digest.to_string());
            to.push_blob_stream(&target, stream, &digest, Some(blob.size))
                .await
                .map(drop)
                .map_err(|error| explain(self, &operation, error))
        };
        retry(self.backoff, copy, RegistryError::verdict).await
    }

    /// Tries to mount; `false` when the registry does not, for whatever reason.
    async fn mount(&self, source: &Self, digest: Digest) -> Result<bool, RegistryError> {
        // The token must allow reading there as well as writing here.
        let mut scopes = self.push_scopes();
        scopes.push(source.pull_scope());
        let client = self.push_client(&scopes).await?;
        let (to, from) = (self.blob_reference(digest), source.blob_reference(digest));
        // 202 begins an upload instead; the package reports it as an error, and so do
        // refusals, after which the upload will say it better.
        Ok(client
            .mount_blob(&to, &from, &digest.to_string())
            .await
            .is_ok())
    }

    async fn pull_client(&self) -> Result<&Client, RegistryError> {
        self.client(&[self.pull_scope()], RegistryOperation::Pull)
            .await
    }

    async fn push_client(&self, scopes: &[String]) -> Result<&Client, RegistryError> {
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
        if let Some(login) = self.host.login(scopes).await? {
            // Its token store is consulted only for registries that it has an entry for.
            client
                .store_auth_if_needed(reference.resolve_registry(), &RegistryAuth::Anonymous)
                .await;
            client.tokens.insert(&reference, operation, login).await;
        }
        Ok(client)
    }

    fn blob_reference(&self, digest: Digest) -> Reference {
        Reference::with_digest(
            self.host.endpoint.clone(),
            self.name.clone(),
            digest.to_string(),
        )
    }

    fn blob_error(&self, operation: &str, problem: Problem, message: String) -> RegistryError {
        RegistryError::new(self.host(), operation, problem, message)
    }
}

async fn make_client(host: &Host) -> Result<Client, RegistryError> {
    let operation = "move blobs";
    if host.has_identity {
        let message = "it wants a client certificate, with which blobs cannot be moved from \
                       here; have the builders push to every repository by themselves";
        return Err(RegistryError::new(
            &host.name,
            operation,
            Problem::Settings,
            message,
        ));
    }
    let protocol = match host.scheme().await? {
        "http" => ClientProtocol::Http,
        _ => ClientProtocol::Https,
    };
    let authorities = host
        .authorities
        .iter()
        .map(|der| Certificate {
            encoding: CertificateEncoding::Der,
            data: der.to_vec(),
        })
        .collect();
    Client::try_from(ClientConfig {
        protocol,
        accept_invalid_certificates: host.security == Security::Any,
        use_monolithic_push: true,
        extra_root_certificates: authorities,
        connect_timeout: Some(CONNECT_LIMIT),
        read_timeout: Some(SILENCE_LIMIT),
        user_agent: USER_AGENT,
        ..ClientConfig::default()
    })
    .map_err(|error| {
        let message = "its client cannot be made";
        RegistryError::new(&host.name, operation, Problem::Settings, message).because(error)
    })
}

fn wire(blob: &Descriptor) -> OciDescriptor {
    OciDescriptor {
        media_type: blob.media_type.clone(),
        digest: blob.digest.to_string(),
        size: i64::try_from(blob.size).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    }
}

fn broken(repository: &Repository, operation: &str, error: std::io::Error) -> RegistryError {
    repository
        .blob_error(
            operation,
            Problem::Broken,
            "the blob did not arrive whole".into(),
        )
        .because(error)
}

/// Translates the package's errors.
fn explain(repository: &Repository, operation: &str, error: OciDistributionError) -> RegistryError {
    let host = repository.host();
    let make = |problem, message: &str| repository.blob_error(operation, problem, message.into());
    match error {
        OciDistributionError::RequestError(error) => match error.status() {
            Some(status) => RegistryError::of_status(host, operation, status.as_u16(), b""),
            None => RegistryError::of_transport(host, operation, error),
        },
        OciDistributionError::ServerError { code, message, .. } => {
            RegistryError::of_status(host, operation, code, message.as_bytes())
        }
        OciDistributionError::UnauthorizedError { .. } => {
            RegistryError::of_status(host, operation, 401, b"")
        }
        OciDistributionError::RegistryError { envelope, .. } => {
            // The status is lost; the code says as much.
            let codes = || envelope.errors.iter().map(|error| &error.code);
            let status = if codes().any(|code| *code == OciErrorCode::Toomanyrequests) {
                429
            } else if codes()
                .any(|code| matches!(code, OciErrorCode::Unauthorized | OciErrorCode::Denied))
            {
                403
            } else if codes().any(|code| {
                matches!(
                    code,
                    OciErrorCode::BlobUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound
                )
            }) {
                404
            } else {
                400
            };
            let body = serde_json::to_vec(&envelope).unwrap_or_default();
            RegistryError::of_status(host, operation, status, &body)
        }
        OciDistributionError::IoError(error) => broken(repository, operation, error),
        OciDistributionError::DigestError(error) => {
            make(Problem::Digest, "the blob has another digest").because(error)
        }
        error => make(Problem::Answer, "its answer makes no sense").because(error),
    }
}
