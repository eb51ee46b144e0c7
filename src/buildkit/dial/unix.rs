//! A daemon on a socket of this machine.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::net::UnixStream;

use super::{ByteStream, CONNECT_DEADLINE, Dial, DialError, within};

/// Dials a Unix socket.
#[derive(Debug, Clone)]
pub struct UnixDialer {
    path: PathBuf,
    endpoint: String,
}

impl UnixDialer {
    /// Dials `path`; `endpoint` is its name in messages.
    pub fn new(path: &Path, endpoint: String) -> Self {
        Self {
            path: path.to_path_buf(),
            endpoint,
        }
    }
}

#[async_trait]
impl Dial for UnixDialer {
    async fn dial(&self) -> Result<ByteStream, DialError> {
        let connect = async {
            match UnixStream::connect(&self.path).await {
                Ok(stream) => Ok(Box::new(stream) as ByteStream),
                Err(source) => Err(DialError::Connect {
                    endpoint: self.endpoint.clone(),
                    source,
                }),
            }
        };
        within(CONNECT_DEADLINE, &self.endpoint, connect).await
    }

    fn describe(&self) -> String {
        self.endpoint.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_reach_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let dialer = UnixDialer::new(&path, "unix:///x.sock".into());
        let mut near = dialer.dial().await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        near.write_all(b"x").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_missing_socket_is_named_with_a_hint() {
        let dialer = UnixDialer::new(
            Path::new("/nowhere/x.sock"),
            "unix:///nowhere/x.sock".into(),
        );
        let Err(error) = dialer.dial().await else {
            panic!("nothing listens there")
        };
        assert_eq!(
            error.to_string(),
            "cannot connect to unix:///nowhere/x.sock"
        );
        assert!(error.hint().unwrap().contains("is the daemon running?"));
    }
}
