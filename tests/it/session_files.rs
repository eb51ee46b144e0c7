//! Contexts as a daemon fetches them, and daemons that do it wrong.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mbuild::buildkit::session::Services;
use mbuild::tree::ContextTree;
use mbuild_proto::fsutil::packet::PacketType;
use mbuild_proto::health::HealthCheckRequest;
use mbuild_proto::health::health_client::HealthClient;
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::Code;

use crate::support::session_caller::{Caller, DiffCopy, LIMIT, receive, text};

/// A directory that is served as `context`.
struct Served {
    dir: TempDir,
    tree: Arc<ContextTree>,
    sent: Arc<AtomicU64>,
    caller: Caller,
}

/// Serves what `fill` puts into a new directory.
async fn serve(fill: impl FnOnce(&Path)) -> Served {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let tree = ContextTree::open(dir.path()).unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let dirs = BTreeMap::from([("context".to_owned(), Arc::clone(&tree))]);
    let caller = Caller::new(Services::new().file_sync(dirs, Arc::clone(&sent))).await;
    Served {
        dir,
        tree,
        sent,
        caller,
    }
}

impl Served {
    async fn open(&self) -> DiffCopy {
        DiffCopy::open(&self.caller.channel, "context", &[])
            .await
            .unwrap()
    }
}

/// Waits until a tree has no more than so many holders: no work on it is left.
async fn wait_until_idle(tree: &Arc<ContextTree>, holders: usize) {
    let idle = async {
        while Arc::strong_count(tree) > holders {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, idle).await.expect("a transfer goes on");
}

/// Bytes that differ from place to place.
fn noise(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8)
        .collect()
}

fn small_tree(dir: &Path) {
    fs::create_dir_all(dir.join("foo/deep")).unwrap();
    fs::write(dir.join("foo/bar"), "bar").unwrap();
    fs::write(dir.join("foo-bar"), "").unwrap();
    fs::write(dir.join("foo/deep/big"), noise(700_001)).unwrap();
    fs::hard_link(dir.join("foo/bar"), dir.join("foo/deep/again")).unwrap();
    symlink("foo/bar", dir.join("link")).unwrap();
}

#[tokio::test]
async fn a_tree_arrives_as_it_is() {
    let served = serve(small_tree).await;
    let received = receive(&served.caller.channel, "context", &[])
        .await
        .unwrap();
    let paths: Vec<_> = received.keys().map(String::as_str).collect();
    let all = [
        "foo",
        "foo-bar",
        "foo/bar",
        "foo/deep",
        "foo/deep/again",
        "foo/deep/big",
        "link",
    ];
    assert_eq!(paths, all);
    assert_eq!(received["foo/bar"].1, b"bar");
    assert_eq!(received["foo-bar"].1, b"");
    assert_eq!(received["foo/deep/big"].1, noise(700_001));
    assert_eq!(text(&received["foo/deep/again"].0.linkname), "foo/bar");
    assert_eq!(text(&received["link"].0.linkname), "foo/bar");
    assert_eq!(received["foo"].0.mode & 0x8000_0000, 0x8000_0000);
    assert!(
        received
            .values()
            .all(|(stat, _)| (stat.uid, stat.gid) == (0, 0))
    );
    assert_eq!(served.sent.load(Ordering::Relaxed), 700_004);
    wait_until_idle(&served.tree, 2).await;
}

#[tokio::test]
async fn patterns_choose_what_is_sent() {
    async fn check(metadata: &[(&'static str, &str)], expect: &[&str]) {
        let served = serve(|dir| {
            small_tree(dir);
            fs::write(dir.join("café au lait"), "").unwrap();
        });
        let received = receive(&served.await.caller.channel, "context", metadata)
            .await
            .unwrap();
        assert_eq!(received.keys().collect::<Vec<_>>(), expect, "{metadata:?}");
    }
    check(&[("followpaths", "link")], &["foo", "foo/bar", "link"]).await;
    check(&[("include-patterns", "foo-*")], &["foo-bar"]).await;
    let escaped = [
        ("exclude-patterns", "*"),
        ("exclude-patterns", "!caf%C3%A9+au+lait"),
        ("exclude-patterns-encoded", "1"),
    ];
    check(&escaped, &["café au lait"]).await;
}

#[tokio::test]
async fn an_ignore_file_of_100_kb_travels_in_headers() {
    let served = serve(small_tree).await;
    let patterns: Vec<_> = (0..2500)
        .map(|n| format!("some/rather/long/ignored/path/{n:09}"))
        .collect();
    assert!(patterns.iter().map(String::len).sum::<usize>() > 95_000);
    let mut metadata = vec![("exclude-patterns", "foo")];
    metadata.extend(
        patterns
            .iter()
            .map(|pattern| ("exclude-patterns", pattern.as_str())),
    );
    let received = receive(&served.caller.channel, "context", &metadata)
        .await
        .unwrap();
    assert_eq!(received.keys().collect::<Vec<_>>(), ["foo-bar", "link"]);
}

#[tokio::test]
async fn thousands_of_files_asked_for_at_once_all_come() {
    let served = serve(|dir| {
        for number in 0..3000 {
            fs::write(dir.join(format!("{number:04}")), number.to_string()).unwrap();
        }
    })
    .await;
    let mut call = served.open().await;
    let count = call.list().await.len() as u32;
    // Backwards, and all before anything is read.
    (0..count)
        .rev()
        .for_each(|id| call.say(PacketType::Req, id));
    let (mut ended, mut bytes) = (0, 0);
    while ended < count {
        let packet = call.next().await.unwrap().unwrap();
        bytes += packet.data.len();
        ended += u32::from(packet.data.is_empty());
    }
    assert_eq!((count, bytes), (3000, 10 + 180 + 2700 + 8000));
    call.say(PacketType::Fin, 0);
    assert_eq!(
        call.next().await.unwrap().unwrap().r#type(),
        PacketType::Fin
    );
    assert_eq!(call.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_directory_that_was_not_offered_is_refused() {
    let served = serve(small_tree).await;
    for dir in ["secrets", "", "context/..", "/"] {
        let call = DiffCopy::open(&served.caller.channel, dir, &[]).await;
        let status = call.map(drop).unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(
            status.message(),
            format!("no access allowed to dir {dir:?}")
        );
    }
}

#[tokio::test]
async fn a_daemon_that_breaks_the_rules_is_told_so() {
    async fn check(requests: &[(PacketType, u32)], expect: &str) {
        let served = serve(small_tree).await;
        let mut call = served.open().await;
        assert_eq!(call.list().await.len(), 7);
        for (r#type, id) in requests {
            call.say(*r#type, *id);
        }
        let status = call.failure().await;
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, expect)
        );
        wait_until_idle(&served.tree, 2).await;
    }
    use PacketType::{Data, Err, Req, Stat};
    check(&[(Req, 0)], "entry 0 was asked for, which is not a file").await;
    check(&[(Req, 7)], "file 7 was asked for, which was not listed").await;
    check(
        &[(Req, u32::MAX)],
        "file 4294967295 was asked for, which was not listed",
    )
    .await;
    check(&[(Req, 1), (Req, 1)], "file 1 was asked for twice").await;
    check(&[(Stat, 0)], "a receiver may not send packets of type 0").await;
    check(&[(Data, 1)], "a receiver may not send packets of type 2").await;
    check(&[(Err, 0)], "the receiver failed: ").await;
}

#[tokio::test]
async fn a_daemon_that_hangs_up_before_the_end_fails_the_call() {
    let served = serve(small_tree).await;
    let mut call = served.open().await;
    call.list().await;
    call.requests = None;
    assert_eq!(
        call.failure().await.message(),
        "the receiver went away before the end"
    );
}

#[tokio::test]
async fn files_that_are_not_what_was_listed_fail_by_name() {
    async fn check(change: impl FnOnce(&Path), expect: &str) {
        let served = serve(|dir| fs::write(dir.join("file"), noise(600_000)).unwrap()).await;
        let mut call = served.open().await;
        call.list().await;
        let path = served.dir.path().join("file");
        change(&path);
        call.say(PacketType::Req, 0);
        let status = call.failure().await;
        assert_eq!(status.code(), Code::FailedPrecondition);
        let expect = expect.replace("PATH", path.to_str().unwrap());
        assert!(
            status.message().starts_with(&expect),
            "{status} instead of {expect}"
        );
    }
    let cut = |path: &Path| fs::write(path, noise(599_999)).unwrap();
    check(
        cut,
        "PATH changed while it was being sent: 599999 of 600000 bytes are left",
    )
    .await;
    let gone = |path: &Path| fs::remove_file(path).unwrap();
    check(gone, "PATH was listed but cannot be opened: No such file").await;
    let directory = |path: &Path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    };
    check(
        directory,
        "PATH was listed but cannot be opened: it is no longer",
    )
    .await;
    let link = |path: &Path| {
        fs::remove_file(path).unwrap();
        symlink("/etc/passwd", path).unwrap();
    };
    check(link, "PATH was listed but cannot be opened: ").await;
}

#[tokio::test]
async fn a_file_that_grew_is_sent_as_it_was_listed() {
    let served = serve(|dir| fs::write(dir.join("log"), "one\n").unwrap()).await;
    let mut call = served.open().await;
    assert_eq!(call.list().await[0].size, 4);
    fs::write(served.dir.path().join("log"), "one\ntwo\n").unwrap();
    call.say(PacketType::Req, 0);
    assert_eq!(call.next().await.unwrap().unwrap().data, "one\n");
    assert_eq!(call.next().await.unwrap().unwrap().data, "");
}

/// A context whose one file is far larger than all buffers.
fn huge_file(dir: &Path) {
    let file = fs::File::create(dir.join("huge")).unwrap();
    file.set_len(1 << 30).unwrap();
}

#[tokio::test]
async fn health_is_answered_while_a_daemon_does_not_read_what_it_asked_for() {
    let served = serve(huge_file).await;
    let mut call = served.open().await;
    call.list().await;
    call.say(PacketType::Req, 0);
    call.next().await.unwrap();

    let mut health = HealthClient::new(served.caller.channel.clone());
    for _ in 0..20 {
        let check = health.check(HealthCheckRequest::default());
        let answer = timeout(Duration::from_secs(5), check)
            .await
            .expect("no answer")
            .unwrap();
        assert_eq!(answer.into_inner().status, 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(served.caller.liveness.idle() < Duration::from_secs(1));
    // What was passed on is what windows and queues hold, not the file.
    let passed_on = served.sent.load(Ordering::Relaxed);
    assert!(passed_on < 8 << 20, "{passed_on} bytes");
}

#[tokio::test]
async fn a_cancelled_transfer_leaves_nothing_behind() {
    let served = serve(huge_file).await;
    let mut call = served.open().await;
    call.list().await;
    call.say(PacketType::Req, 0);
    call.next().await.unwrap();
    assert!(Arc::strong_count(&served.tree) > 2);
    drop(call);
    wait_until_idle(&served.tree, 2).await;
    // The session goes on.
    assert_eq!(served.open().await.list().await.len(), 1);
}

#[tokio::test]
async fn a_session_that_drops_in_mid_transfer_leaves_nothing_behind() {
    let served = serve(huge_file).await;
    let mut call = served.open().await;
    call.list().await;
    call.say(PacketType::Req, 0);
    call.next().await.unwrap();
    served.caller.served.abort();
    assert!(served.caller.served.await.unwrap_err().is_cancelled());
    assert!(call.failure().await.message().len() > 1);
    wait_until_idle(&served.tree, 1).await;
}

#[tokio::test]
async fn a_daemon_that_is_gone_in_mid_transfer_ends_the_session() {
    let served = serve(huge_file).await;
    let mut call = served.open().await;
    call.list().await;
    call.say(PacketType::Req, 0);
    call.next().await.unwrap();
    drop(call);
    let tree = served.tree;
    served.caller.end().await;
    wait_until_idle(&tree, 1).await;
}
