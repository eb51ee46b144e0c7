//! The `oci-client` package at our seam: its client made from our settings, its errors told
//! in our words, and the watch over its transfers.

use std::time::Duration;

use oci_client::Client;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use tokio::sync::Notify;

use super::config::{Security, is_loopback};
use super::connector::{CONNECT_LIMIT, USER_AGENT};
use super::error::{Problem, RegistryError};
use super::host::Host;
use super::repository::Repository;
use crate::oci::Descriptor;

/// Where no proxy leads, in the form of `NO_PROXY` (whose `*` does not cover addresses).
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// Runs `work`, unless nothing has `moved` for as long as `limit`; then `None`.
pub(super) async fn unless_still<T>(
    moved: &Notify,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return Some(outcome),
            () = moved.notified() => {}
            () = tokio::time::sleep(limit) => return None,
        }
    }
}

pub(super) async fn make_client(host: &Host) -> Result<Client, RegistryError> {
    let operation = "move blobs";
    if host.connector.has_identity {
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
        .connector
        .authorities
        .iter()
        .map(|der| Certificate {
            encoding: CertificateEncoding::Der,
            data: der.to_vec(),
        })
        .collect();
    // Only a proxy of our own, used for nothing, keeps it from those of the environment.
    let no_proxy = is_loopback(&host.name).then(|| "http://127.0.0.1:9".to_owned());
    Client::try_from(ClientConfig {
        protocol,
        accept_invalid_certificates: host.connector.security == Security::Any,
        use_monolithic_push: true,
        extra_root_certificates: authorities,
        connect_timeout: Some(CONNECT_LIMIT),
        http_proxy: no_proxy.clone(),
        https_proxy: no_proxy.clone(),
        no_proxy: no_proxy.map(|_| LOOPBACK.to_owned()),
        user_agent: USER_AGENT,
        ..ClientConfig::default()
    })
    .map_err(|error| {
        let message = "its client cannot be made";
        RegistryError::new(&host.name, operation, Problem::Settings, message).because(error)
    })
}

pub(super) fn wire(blob: &Descriptor) -> OciDescriptor {
    OciDescriptor {
        media_type: blob.media_type.clone(),
        digest: blob.digest.to_string(),
        size: i64::try_from(blob.size).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    }
}

pub(super) fn broken(
    repository: &Repository,
    operation: &str,
    error: std::io::Error,
) -> RegistryError {
    repository
        .blob_error(
            operation,
            Problem::Broken,
            "the blob did not arrive whole".into(),
        )
        .because(error)
}

/// Translates the package's errors.
pub(super) fn explain(
    repository: &Repository,
    operation: &str,
    error: OciDistributionError,
) -> RegistryError {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_goes_on_while_something_moves_and_ends_when_it_stands_still() {
        let limit = Duration::from_millis(150);
        let moved = Notify::new();
        let slow = async {
            for _ in 0..6 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                moved.notify_one();
            }
            7
        };
        assert_eq!(unless_still(&moved, limit, slow).await, Some(7));
        let never = std::future::pending::<()>();
        assert_eq!(unless_still(&moved, limit, never).await, None);
    }
}
