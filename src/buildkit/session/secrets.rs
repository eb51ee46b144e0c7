//! Serves the secrets of a build, by id, to the daemon that asks for them.
//!
//! A secret's bytes are read when asked for and kept nowhere; they appear in no message and in
//! no `Debug` output.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mbuild_proto::secrets::secrets_server::{self, SecretsServer};
use mbuild_proto::secrets::{GetSecretRequest, GetSecretResponse};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::Services;

/// The largest secret, in bytes: what docker's own client allows, and daemons may rely on.
pub const SECRET_LIMIT: usize = 500 << 10;
/// How long a secret may take to read. A pipe that nobody writes to would take for ever.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// Where the bytes of a secret come from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, read anew each time the secret is asked for.
    File(PathBuf),
    /// The bytes themselves, such as an environment variable's.
    Value(Bytes),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Value(_) => f.write_str("Value(hidden)"),
        }
    }
}

impl Services {
    /// Serves these secrets. Asking for another is answered `NotFound`, which a daemon accepts
    /// for a secret that the build does not require.
    #[must_use]
    pub fn secrets(self, secrets: BTreeMap<String, SecretSource>) -> Self {
        let secrets = Secrets {
            sources: Arc::new(secrets),
        };
        self.add(&["GetSecret"], SecretsServer::new(secrets))
    }
}

struct Secrets {
    sources: Arc<BTreeMap<String, SecretSource>>,
}

#[tonic::async_trait]
impl secrets_server::Secrets for Secrets {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let source = self
            .sources
            .get(&id)
            .ok_or_else(|| Status::not_found(format!("secret {id} was not given")))?;
        let data = match source {
            SecretSource::Value(value) => value.clone(),
            SecretSource::File(path) => read(&id, path).await?,
        };
        if data.len() > SECRET_LIMIT {
            let status = format!("secret {id} is larger than {SECRET_LIMIT} bytes");
            return Err(Status::invalid_argument(status));
        }
        Ok(Response::new(GetSecretResponse { data }))
    }
}

/// Reads a secret off the async threads, and at most one byte more than is allowed.
async fn read(id: &str, path: &Path) -> Result<Bytes, Status> {
    let failed = |error: &dyn fmt::Display| {
        Status::unknown(format!(
            "secret {id} cannot be read from {}: {error}",
            path.display()
        ))
    };
    let owned = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        File::open(owned)?
            .take(SECRET_LIMIT as u64 + 1)
            .read_to_end(&mut data)?;
        Ok(data)
    });
    match timeout(READ_LIMIT, reading).await {
        Ok(Ok(Ok(data))) => Ok(data.into()),
        Ok(Ok(Err(error))) => Err(failed(&error)),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(failed(&format_args!(
            "no end of it in {} s",
            READ_LIMIT.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::secrets_server::Secrets as _;
    use super::*;

    /// Asks for the secret `id` of a server that has one, with this source.
    async fn ask(id: &str, source: SecretSource) -> Result<Bytes, Status> {
        let sources = Arc::new(BTreeMap::from([("token".to_owned(), source)]));
        let request = GetSecretRequest {
            id: id.to_owned(),
            ..GetSecretRequest::default()
        };
        let answer = Secrets { sources }
            .get_secret(Request::new(request))
            .await?;
        Ok(answer.into_inner().data)
    }

    #[tokio::test]
    async fn a_value_and_a_file_are_served_as_they_are() {
        let bytes = Bytes::from_static(b"a\xffb\n");
        assert_eq!(
            ask("token", SecretSource::Value(bytes.clone()))
                .await
                .unwrap(),
            bytes
        );

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(ask("token", SecretSource::File(path)).await.unwrap(), bytes);
    }

    #[tokio::test]
    async fn an_unknown_id_is_not_found() {
        let status = ask("other", SecretSource::Value(Bytes::new()))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "secret other was not given");
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let path = PathBuf::from("/nonexistent/token");
        let status = ask("token", SecretSource::File(path)).await.unwrap_err();
        assert!(status.message().contains("/nonexistent/token"), "{status}");
    }

    #[tokio::test]
    async fn a_secret_at_the_limit_passes_and_one_byte_more_does_not() {
        let value = |len| SecretSource::Value(vec![7; len].into());
        assert_eq!(
            ask("token", value(SECRET_LIMIT)).await.unwrap().len(),
            SECRET_LIMIT
        );

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, vec![7; 2 * SECRET_LIMIT]).unwrap();
        for source in [value(SECRET_LIMIT + 1), SecretSource::File(path)] {
            let status = ask("token", source).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert_eq!(status.message(), "secret token is larger than 512000 bytes");
        }
    }

    #[test]
    fn a_value_is_hidden_from_debug_output() {
        let shown = format!("{:?}", SecretSource::Value(Bytes::from_static(b"hunter2")));
        assert_eq!(shown, "Value(hidden)");
    }
}
