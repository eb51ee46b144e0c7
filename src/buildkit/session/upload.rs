//! Serves bodies that a frontend fetches from the client, such as a context on standard input.
//!
//! Each body is a file the caller has spooled, so that every daemon can be given its own copy;
//! a session gives each body once. Nothing is kept in memory but the chunk on its way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use mbuild_proto::upload::BytesMessage;
use mbuild_proto::upload::upload_server::{self, UploadServer};
use tonic::codegen::BoxStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::Services;
use super::fill::fill;

/// Bytes in one message. Daemons before 0.14 accept 4 MiB at most.
const CHUNK: usize = 1 << 20;

impl Services {
    /// Serves these bodies at `http://buildkit-session/<id>`, each from its file's beginning,
    /// whatever the file's own position is.
    #[must_use]
    pub fn upload(self, bodies: BTreeMap<String, Arc<File>>) -> Self {
        let upload = Upload {
            bodies: Mutex::new(bodies),
        };
        self.add(&["Pull"], UploadServer::new(upload))
    }
}

struct Upload {
    bodies: Mutex<BTreeMap<String, Arc<File>>>,
}

#[tonic::async_trait]
impl upload_server::Upload for Upload {
    async fn pull(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<BoxStream<BytesMessage>>, Status> {
        let id = body_id(request.metadata())?;
        let body = self
            .bodies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        let body =
            body.ok_or_else(|| Status::not_found(format!("no upload {id}, or it was taken")))?;
        Ok(Response::new(Box::pin(chunks(id, body))))
    }
}

/// The id that the daemon asks for: the last segment of the path it was given.
fn body_id(metadata: &MetadataMap) -> Result<String, Status> {
    let path = metadata.get("urlpath").and_then(|path| path.to_str().ok());
    let path = path.ok_or_else(|| Status::invalid_argument("upload without a urlpath"))?;
    Ok(path.rsplit('/').next().unwrap_or_default().to_owned())
}

fn chunks(id: String, body: Arc<File>) -> impl Stream<Item = Result<BytesMessage, Status>> {
    stream::try_unfold((body, 0), move |(body, offset)| {
        let id = id.clone();
        async move {
            let file = Arc::clone(&body);
            let read = tokio::task::spawn_blocking(move || chunk_at(&file, offset)).await;
            let data = read.map_err(io::Error::other).flatten().map_err(|error| {
                Status::unknown(format!(
                    "upload {id} cannot be read at byte {offset}: {error}"
                ))
            })?;
            let next = offset + data.len() as u64;
            Ok((!data.is_empty()).then_some((BytesMessage { data }, (body, next))))
        }
    })
}

/// Reads one chunk; shorter only before the file's end, and empty there.
fn chunk_at(file: &File, offset: u64) -> io::Result<Bytes> {
    let mut chunk = vec![0; CHUNK];
    let (filled, end) = fill(file, &mut chunk, offset);
    end?;
    chunk.truncate(filled);
    Ok(chunk.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use futures_util::TryStreamExt;
    use tonic::metadata::MetadataValue;

    use super::*;

    #[tokio::test]
    async fn a_body_is_sent_whole_in_chunks_that_every_daemon_accepts() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..CHUNK * 2 + 5)
            .map(|at| at as u8 ^ (at >> 8) as u8)
            .collect();
        file.write_all(&bytes).unwrap();
        let sent: Vec<_> = chunks("a".into(), Arc::new(file))
            .try_collect()
            .await
            .unwrap();
        assert_eq!(
            sent.iter().map(|c| c.data.len()).collect::<Vec<_>>(),
            [CHUNK, CHUNK, 5]
        );
        assert!(sent.iter().flat_map(|c| &c.data).eq(&bytes));
    }

    #[tokio::test]
    async fn an_empty_body_is_no_message_at_all() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let sent: Vec<_> = chunks("a".into(), file).try_collect().await.unwrap();
        assert_eq!(sent, []);
    }

    #[test]
    fn the_last_segment_of_the_path_is_the_id() {
        fn check(path: &'static str, expect: &str) {
            let mut metadata = MetadataMap::new();
            metadata.insert("urlpath", MetadataValue::from_static(path));
            assert_eq!(body_id(&metadata).unwrap(), expect, "{path}");
        }
        check("/abc", "abc");
        check("abc", "abc");
        check("/x/abc", "abc");
        assert!(body_id(&MetadataMap::new()).is_err());
    }
}
