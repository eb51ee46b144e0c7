//! Blobs that a daemon reads from, and writes to, a directory of the client.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mbuild::buildkit::session::{ContentStores, DirStore, Services};
use mbuild::digest::Digest;
use mbuild_proto::content::content_client::ContentClient;
use mbuild_proto::content::{
    AbortRequest, DeleteContentRequest, InfoRequest, ListContentRequest, ListStatusesRequest,
    ReadContentRequest, StatusRequest, UpdateRequest, WriteAction, WriteContentRequest,
    WriteContentResponse,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use crate::support::session_caller::{Caller, LIMIT};

const STORE: &str = "local:cache";

/// A daemon's view of one store, in a directory that is there as long as it.
struct Daemon {
    caller: Caller,
    store: Arc<DirStore>,
    temp: tempfile::TempDir,
}

impl Daemon {
    async fn new(make: fn(&Path) -> DirStore) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let store = Arc::new(make(&temp.path().join("blobs")));
        let stores = ContentStores::from([(STORE.to_owned(), Arc::clone(&store))]);
        let caller = Caller::new(Services::new().content(stores)).await;
        Self {
            caller,
            store,
            temp,
        }
    }

    async fn writable() -> Self {
        Self::new(|blobs| DirStore::read_write(blobs)).await
    }

    fn client(&self) -> ContentClient<Channel> {
        ContentClient::new(self.caller.channel.clone()).max_decoding_message_size(16 << 20)
    }

    /// Puts a blob on disk, not through the store.
    fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = self.store.path(digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        digest
    }

    /// Everything below the directory, as paths.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut open = vec![self.temp.path().to_owned()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => open.push(path),
                    false => {
                        let name = path.strip_prefix(self.temp.path()).unwrap();
                        files.push(name.to_str().unwrap().to_owned());
                    }
                }
            }
        }
        files.sort();
        files
    }

    async fn read(&self, digest: Digest, offset: i64, size: i64) -> Result<Vec<Bytes>, Status> {
        let asked = ReadContentRequest {
            digest: digest.to_string(),
            offset,
            size,
        };
        let mut stream = self.client().read(to(asked)).await?.into_inner();
        let mut pieces = Vec::new();
        while let Some(piece) = timeout(LIMIT, stream.message()).await.unwrap()? {
            pieces.push(piece.data);
        }
        Ok(pieces)
    }
}

/// A request to the store.
fn to<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let id = STORE.parse().unwrap();
    request
        .metadata_mut()
        .insert("buildkit-attachable-store-id", id);
    request
}

/// One call of `Write`, by hand.
struct Write {
    requests: mpsc::UnboundedSender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
}

impl Write {
    async fn open(daemon: &Daemon) -> Self {
        let (requests, stream) = mpsc::unbounded_channel();
        let stream = UnboundedReceiverStream::new(stream);
        let answers = daemon.client().write(to(stream)).await.unwrap();
        Self {
            requests,
            answers: answers.into_inner(),
        }
    }

    async fn say(&mut self, request: WriteContentRequest) -> Result<WriteContentResponse, Status> {
        self.requests.send(request).unwrap();
        let answer = timeout(LIMIT, self.answers.message()).await;
        answer.expect("no answer").map(Option::unwrap)
    }

    /// Opens a call and asks where to begin, as soon as no other call has the write: the server
    /// learns a little later that one broke off.
    async fn stat(daemon: &Daemon, name: &str, bytes: &[u8]) -> Result<(Self, i64), Status> {
        let once = || Self::try_stat(daemon, name, bytes);
        unless_busy(once).await
    }

    /// Opens a call and asks where to begin.
    async fn try_stat(daemon: &Daemon, name: &str, bytes: &[u8]) -> Result<(Self, i64), Status> {
        let mut write = Self::open(daemon).await;
        let stat = WriteContentRequest {
            action: WriteAction::Stat.into(),
            r#ref: name.to_owned(),
            total: bytes.len() as i64,
            expected: Digest::of(bytes).to_string(),
            ..Default::default()
        };
        let answer = write.say(stat).await?;
        Ok((write, answer.offset))
    }

    async fn piece(&mut self, offset: i64, data: &[u8]) -> Result<i64, Status> {
        let request = WriteContentRequest {
            action: WriteAction::Write.into(),
            offset,
            data: Bytes::copy_from_slice(data),
            ..Default::default()
        };
        self.say(request).await.map(|answer| answer.offset)
    }

    async fn commit(mut self, offset: usize) -> Result<String, Status> {
        let request = WriteContentRequest {
            action: WriteAction::Commit.into(),
            offset: offset as i64,
            total: offset as i64,
            ..Default::default()
        };
        let answer = self.say(request).await?;
        assert_eq!(answer.offset, offset as i64);
        let end = timeout(LIMIT, self.answers.message()).await.unwrap();
        assert_eq!(end.unwrap(), None, "the call goes on after its commit");
        Ok(answer.digest)
    }
}

/// Calls again while another call has the write.
async fn unless_busy<T, F: Future<Output = Result<T, Status>>>(
    call: impl Fn() -> F,
) -> Result<T, Status> {
    let calls = async {
        loop {
            match call().await {
                Err(status) if status.code() == Code::Unavailable => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                result => return result,
            }
        }
    };
    timeout(LIMIT, calls).await.expect("the write stays taken")
}

fn blob_path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

#[tokio::test]
async fn parts_of_a_blob_are_read_in_large_pieces() {
    let daemon = Daemon::new(|blobs| DirStore::read_only(blobs)).await;
    let bytes: Vec<u8> = (0..(3 << 20) + 7).map(|at: u32| (at % 251) as u8).collect();
    let digest = daemon.blob(&bytes);
    let request = InfoRequest {
        digest: digest.to_string(),
    };
    let info = daemon.client().info(to(request)).await.unwrap();
    let info = info.into_inner().info.unwrap();
    assert_eq!(
        (info.digest, info.size),
        (digest.to_string(), bytes.len() as i64)
    );

    let whole = daemon.read(digest, 0, 0).await.unwrap();
    assert_eq!(whole.len(), 4);
    assert!(whole.concat() == bytes);
    let part = daemon.read(digest, 100, 50).await.unwrap();
    assert_eq!(part.concat(), &bytes[100..150]);
    let status = daemon.read(digest, bytes.len() as i64 + 1, 0).await;
    assert_eq!(status.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_daemon_that_has_enough_drops_the_stream() {
    let daemon = Daemon::new(|blobs| DirStore::read_only(blobs)).await;
    let digest = daemon.blob(&vec![7; 8 << 20]);
    for _ in 0..30 {
        let asked = ReadContentRequest {
            digest: digest.to_string(),
            ..Default::default()
        };
        let mut stream = daemon.client().read(to(asked)).await.unwrap().into_inner();
        stream.message().await.unwrap().unwrap();
    }
    let part = daemon.read(digest, 0, 5).await.unwrap();
    assert_eq!(part.concat(), [7; 5]);
}

#[tokio::test]
async fn unknown_stores_and_blobs_are_not_found() {
    let daemon = Daemon::new(|blobs| DirStore::read_only(blobs)).await;
    let digest = Digest::of(b"x");
    let status = daemon.read(digest, 0, 0).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, format!("no blob {digest}").as_str())
    );

    let request = |digest: &str| InfoRequest {
        digest: digest.to_owned(),
    };
    let mut other = to(request(&digest.to_string()));
    let id = "local:other".parse().unwrap();
    other
        .metadata_mut()
        .insert("buildkit-attachable-store-id", id);
    let status = daemon.client().info(other).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "store local:other was not given")
    );

    let without = Request::new(request(&digest.to_string()));
    let status = daemon.client().info(without).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    for bad in ["", "sha256:../../etc/passwd", "sha512:00"] {
        let status = daemon.client().info(to(request(bad))).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{bad}");
    }
}

#[tokio::test]
async fn a_daemon_cannot_list_or_delete() {
    let daemon = Daemon::writable().await;
    let digest = daemon.blob(b"x").to_string();
    let list = ListContentRequest::default();
    let status = daemon.client().list(to(list)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let delete = DeleteContentRequest { digest };
    let status = daemon.client().delete(to(delete)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(daemon.files().len(), 1);
}

#[tokio::test]
async fn a_blob_appears_when_it_is_committed_and_not_before() {
    let daemon = Daemon::writable().await;
    let bytes = b"hello, cache";
    let (mut write, offset) = Write::stat(&daemon, "layer", bytes).await.unwrap();
    assert_eq!(offset, 0);
    assert_eq!(write.piece(0, &bytes[..5]).await.unwrap(), 5);
    assert_eq!(write.piece(5, &bytes[5..]).await.unwrap(), 12);
    assert!(!daemon.store.path(Digest::of(bytes)).exists());
    let digest = write.commit(12).await.unwrap();
    assert_eq!(digest, Digest::of(bytes).to_string());
    assert_eq!(daemon.files(), [blob_path(Digest::of(bytes))]);
    assert_eq!(
        fs::read(daemon.store.path(Digest::of(bytes))).unwrap(),
        bytes
    );

    let again = Write::stat(&daemon, "layer", bytes).await;
    assert_eq!(again.err().unwrap().code(), Code::AlreadyExists);
    let info = UpdateRequest {
        info: Some(mbuild_proto::content::Info {
            digest,
            ..Default::default()
        }),
        ..Default::default()
    };
    let info = daemon.client().update(to(info)).await.unwrap();
    assert_eq!(info.into_inner().info.unwrap().size, 12);
}

#[tokio::test]
async fn a_write_that_broke_off_is_resumed() {
    let daemon = Daemon::writable().await;
    let bytes = b"hello, cache";
    let (mut write, _) = Write::stat(&daemon, "layer", bytes).await.unwrap();
    write.piece(0, &bytes[..5]).await.unwrap();
    drop(write);

    let request = StatusRequest {
        r#ref: "layer".into(),
    };
    let status = daemon.client().status(to(request)).await.unwrap();
    let status = status.into_inner().status.unwrap();
    assert_eq!((status.offset, status.total), (5, 12));
    let list = to(ListStatusesRequest::default());
    let list = daemon.client().list_statuses(list).await.unwrap();
    assert_eq!(list.into_inner().statuses, [status]);

    let (mut write, offset) = Write::stat(&daemon, "layer", bytes).await.unwrap();
    assert_eq!(offset, 5);
    let beyond = write.piece(7, b"xx").await.unwrap_err();
    assert_eq!(beyond.code(), Code::OutOfRange);
    drop(write);
    let (mut write, _) = Write::stat(&daemon, "layer", bytes).await.unwrap();
    write.piece(5, &bytes[5..]).await.unwrap();
    write.commit(12).await.unwrap();
    assert_eq!(daemon.files(), [blob_path(Digest::of(bytes))]);
}

#[tokio::test]
async fn a_write_at_the_beginning_starts_anew() {
    let daemon = Daemon::writable().await;
    let bytes = b"right";
    let (mut write, _) = Write::stat(&daemon, "layer", bytes).await.unwrap();
    write.piece(0, b"wrong start").await.unwrap();
    assert_eq!(write.piece(0, bytes).await.unwrap(), 5);
    write.commit(5).await.unwrap();
    assert_eq!(daemon.files(), [blob_path(Digest::of(bytes))]);
}

#[tokio::test]
async fn wrong_bytes_never_appear() {
    let daemon = Daemon::writable().await;
    let (mut write, _) = Write::stat(&daemon, "layer", b"right").await.unwrap();
    write.piece(0, b"wrong").await.unwrap();
    let status = write.commit(5).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let expect = format!(
        "layer: the digest is {} instead of {}",
        Digest::of(b"wrong"),
        Digest::of(b"right")
    );
    assert_eq!(status.message(), expect);
    // What was wrong is not resumed, and the name is free.
    let (mut write, offset) = Write::stat(&daemon, "layer", b"right").await.unwrap();
    assert_eq!(offset, 0);
    write.piece(0, b"rig").await.unwrap();
    let short = write.commit(3).await.unwrap_err();
    assert_eq!(short.code(), Code::InvalidArgument);
    assert!(!daemon.files().iter().any(|file| file.starts_with("blobs")));
}

#[tokio::test]
async fn one_call_at_a_time_has_a_write() {
    let daemon = Daemon::writable().await;
    let (mut first, _) = Write::stat(&daemon, "layer", b"abc").await.unwrap();
    let second = Write::try_stat(&daemon, "layer", b"abc").await;
    assert_eq!(second.err().unwrap().code(), Code::Unavailable);
    let abort = AbortRequest {
        r#ref: "layer".into(),
    };
    let status = daemon.client().abort(to(abort.clone())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);

    // Another name may write the same blob; whoever is last finds it there.
    let (mut other, _) = Write::stat(&daemon, "other", b"abc").await.unwrap();
    first.piece(0, b"abc").await.unwrap();
    other.piece(0, b"abc").await.unwrap();
    first.commit(3).await.unwrap();
    other.commit(3).await.unwrap();
    assert_eq!(daemon.files(), [blob_path(Digest::of(b"abc"))]);
    let status = daemon.client().abort(to(abort)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_write_given_up_leaves_nothing() {
    let daemon = Daemon::writable().await;
    let (mut write, _) = Write::stat(&daemon, "layer", b"abc").await.unwrap();
    write.piece(0, b"a").await.unwrap();
    drop(write);
    assert_eq!(daemon.files().len(), 1);
    let abort = || async {
        let abort = AbortRequest {
            r#ref: "layer".into(),
        };
        daemon.client().abort(to(abort)).await
    };
    unless_busy(abort).await.unwrap();
    assert_eq!(daemon.files().len(), 0);
}

#[tokio::test]
async fn what_was_not_committed_goes_with_the_store() {
    let mut daemon = Daemon::writable().await;
    let (mut write, _) = Write::stat(&daemon, "layer", b"abc").await.unwrap();
    write.piece(0, b"a").await.unwrap();
    drop(write);
    let temp = std::mem::replace(&mut daemon.temp, tempfile::tempdir().unwrap());
    let Daemon { caller, store, .. } = daemon;
    caller.end().await;
    // The thread that writes lets go of the store a little later.
    for _ in 0..1000 {
        if Arc::strong_count(&store) == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(store);
    assert!(!temp.path().join("ingest").exists());
}

#[tokio::test]
async fn a_store_that_is_only_read_takes_nothing() {
    let daemon = Daemon::new(|blobs| DirStore::read_only(blobs)).await;
    let refused = Write::stat(&daemon, "layer", b"abc").await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(daemon.files().len(), 0);
}

#[tokio::test]
async fn a_disk_that_fails_is_told_and_remembered() {
    // `blobs` cannot be made: a file is in the way.
    let daemon = Daemon::writable().await;
    fs::write(daemon.temp.path().join("blobs"), "in the way").unwrap();
    let (mut write, _) = Write::stat(&daemon, "layer", b"abc").await.unwrap();
    write.piece(0, b"abc").await.unwrap();
    let status = write.commit(3).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert!(status.message().starts_with("cannot create "), "{status}");
    assert_eq!(daemon.store.failure(), Some(status.message()));
    assert_eq!(daemon.files(), ["blobs"]);
}

#[tokio::test]
async fn a_write_says_what_it_is() {
    let daemon = Daemon::writable().await;
    let mut write = Write::open(&daemon).await;
    let nameless = write.piece(0, b"a").await.unwrap_err();
    assert_eq!(nameless.code(), Code::InvalidArgument);
    let (mut write, _) = Write::stat(&daemon, "layer", b"abc").await.unwrap();
    let other = WriteContentRequest {
        r#ref: "other".into(),
        ..Default::default()
    };
    let status = write.say(other).await.unwrap_err();
    assert_eq!(status.message(), "layer: another write in the same call");
}

#[tokio::test]
async fn stores_may_be_given_bit_by_bit() {
    let store = Arc::new(DirStore::read_only("/nonexistent"));
    let one = |id: &str| ContentStores::from([(id.to_owned(), Arc::clone(&store))]);
    let services = Services::new().content(one("oci:a")).content(one(STORE));
    let caller = Caller::new(services).await;
    for id in ["oci:a", STORE] {
        let mut request = Request::new(InfoRequest {
            digest: Digest::of(b"").to_string(),
        });
        let metadata = request.metadata_mut();
        metadata.insert("buildkit-attachable-store-id", id.parse().unwrap());
        let mut client = ContentClient::new(caller.channel.clone());
        let status = client.info(request).await.unwrap_err();
        assert_eq!(status.message(), format!("no blob {}", Digest::of(b"")));
    }
}
