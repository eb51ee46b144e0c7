//! Serves local directories: the call by which a daemon fetches a context.
//!
//! Reads what the daemon wants from the call's metadata; listing and sending are `tree`'s and
//! `send`'s. A directory that was not offered is refused.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use mbuild_proto::filesync::file_sync_server::SERVICE_NAME;
use mbuild_proto::fsutil::Packet;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::codec::Codec;
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataMap};
use tonic::server::NamedService;
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::Service;

use super::list::unlisted;
use super::send::send;
use super::status::failure;
use super::{MAX_MESSAGE, Services};
use crate::tree::{ContextTree, Filter};

/// Transfers at once; more wait. A build has a handful of directories, and each transfer holds
/// a few megabytes.
const MAX_TRANSFERS: usize = 16;

impl Services {
    /// Serves directories by the names that the build gives them (`context`, `dockerfile`).
    ///
    /// `sent` counts the bytes of file contents that were sent, over all directories.
    #[must_use]
    pub fn file_sync(self, dirs: BTreeMap<String, Arc<ContextTree>>, sent: Arc<AtomicU64>) -> Self {
        let server = FileSync {
            dirs: Arc::new(dirs),
            sent,
            slots: Arc::new(Semaphore::new(MAX_TRANSFERS)),
        };
        self.add(&["DiffCopy"], server)
    }
}

/// The service as a tower service: its answers are bodies of our own, which need no codec.
#[derive(Clone)]
struct FileSync {
    dirs: Arc<BTreeMap<String, Arc<ContextTree>>>,
    sent: Arc<AtomicU64>,
    slots: Arc<Semaphore>,
}

impl NamedService for FileSync {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Incoming>> for FileSync {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let answer = match request.uri().path().ends_with("/DiffCopy") {
                true => service.diff_copy(request).await,
                false => Err(Status::unimplemented("only DiffCopy is served")),
            };
            Ok(answer.unwrap_or_else(Status::into_http))
        })
    }
}

impl FileSync {
    async fn diff_copy(
        &self,
        request: http::Request<Incoming>,
    ) -> Result<http::Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let metadata = MetadataMap::from_headers(head.headers);
        let decoder = ProstCodec::<Packet, Packet>::default().decoder();
        let requests = Streaming::new_request(decoder, body, None, Some(MAX_MESSAGE));
        let tree = Arc::clone(self.dir(&metadata)?);
        let filter = filter(&metadata);
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        // Following symlinks looks at the disk.
        let view = tokio::task::spawn_blocking(move || tree.view(&filter)).await;
        let view = view.map_err(|lost| failure(Code::Internal, "", &lost))?;
        let view = view.map_err(|error| unlisted(&error))?;
        let body = send(view, requests, Arc::clone(&self.sent), slot);
        let mut answer = http::Response::new(Body::new(body));
        answer.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
        Ok(answer)
    }

    fn dir(&self, metadata: &MetadataMap) -> Result<&Arc<ContextTree>, Status> {
        let name = values(metadata, "dir-name")
            .into_iter()
            .next()
            .unwrap_or_default();
        let name = String::from_utf8_lossy(&name);
        let dir = self.dirs.get(&*name);
        dir.ok_or_else(|| Status::not_found(format!("no access allowed to dir {name:?}")))
    }
}

fn filter(metadata: &MetadataMap) -> Filter {
    Filter {
        exclude: values(metadata, "exclude-patterns"),
        follow: values(metadata, "followpaths"),
        include: values(metadata, "include-patterns"),
    }
}

/// All values of a key, in order. They are bytes: daemons before 0.12 send whatever a path is
/// made of; later ones escape all values of a key of which one is not ASCII, and say so.
fn values(metadata: &MetadataMap, key: &str) -> Vec<Vec<u8>> {
    let escaped = metadata
        .get(format!("{key}-encoded"))
        .is_some_and(|flag| flag == "1");
    let raw = metadata
        .get_all(key)
        .into_iter()
        .map(|value| value.as_encoded_bytes());
    match escaped {
        true => raw.map(unescape).collect(),
        false => raw.map(<[u8]>::to_vec).collect(),
    }
}

/// Undoes Go's `url.QueryEscape`; a value that was not escaped so is empty, as in Go.
fn unescape(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => plain.push(b' '),
            b'%' => {
                let Some(byte) = after.first_chunk().and_then(hex_byte) else {
                    return Vec::new();
                };
                plain.push(byte);
                rest = &after[2..];
            }
            byte => plain.push(*byte),
        }
    }
    plain
}

fn hex_byte(digits: &[u8; 2]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(value(digits[0])? * 16 + value(digits[1])?).ok()
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataValue;

    use super::*;

    #[test]
    fn escaped_values_are_go_query_escapes() {
        fn check(value: &str, expect: &[u8]) {
            assert_eq!(unescape(value.as_bytes()), expect, "{value}");
        }
        check("plain/path", b"plain/path");
        check("a+b%2Bc", b"a b+c");
        check("%C3%a9%ff", b"\xc3\xa9\xff");
        check("!%2A%2A%2F%2A.go", b"!**/*.go");
        check("", b"");
        check("a%2", b"");
        check("a%zz", b"");
        check("%", b"");
    }

    fn metadata(pairs: &[(&'static str, &[u8])]) -> MetadataMap {
        let mut headers = http::HeaderMap::new();
        for (key, value) in pairs {
            headers.append(*key, http::HeaderValue::from_bytes(value).unwrap());
        }
        MetadataMap::from_headers(headers)
    }

    #[test]
    fn values_keep_their_order_and_their_bytes() {
        let map = metadata(&[
            ("exclude-patterns", b"b%20+"),
            ("exclude-patterns", b"!a"),
            ("exclude-patterns", b"caf\xe9"),
            ("followpaths", b"x%20y+z"),
            ("followpaths-encoded", b"1"),
            ("include-patterns", b"%41"),
            ("include-patterns-encoded", b"0"),
        ]);
        let filter = filter(&map);
        assert_eq!(
            filter.exclude,
            [b"b%20+".to_vec(), b"!a".to_vec(), b"caf\xe9".to_vec()]
        );
        assert_eq!(filter.follow, [b"x y z"]);
        assert_eq!(filter.include, [b"%41"]);
    }

    #[test]
    fn a_directory_that_was_not_offered_is_refused() {
        let sync = FileSync {
            dirs: Arc::default(),
            sent: Arc::default(),
            slots: Arc::new(Semaphore::new(1)),
        };
        let mut map = MetadataMap::new();
        map.insert("dir-name", MetadataValue::from_static("secrets"));
        let status = sync.dir(&map).unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "no access allowed to dir \"secrets\"");
        assert!(sync.dir(&MetadataMap::new()).is_err());
    }
}
