//! Daemons that try to write elsewhere, lie about files, or go away: nothing may remain.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use mbuild::buildkit::session::{FileSinks, Services, Sink};
use mbuild::merge::local::{Layout, Others, PlatformTree, merge_trees};
use mbuild::merge::stage::Stage;
use mbuild::platform::Platform;
use mbuild::receive::{TreeSink, TreeState};
use mbuild_proto::fsutil::packet::PacketType;
use tempfile::TempDir;
use tonic::{Code, Status};

use crate::support::exporter::{
    Export, Manner, Sent, dir, file, hard_link, send_file_output, send_tree, symlink,
};
use crate::support::session_caller::Caller;

/// A destination with a neighbour that must stay as it is.
struct Output {
    temp: TempDir,
    stage: Stage,
    tree: Arc<TreeSink>,
    caller: Caller,
}

impl Output {
    async fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("outside")).unwrap();
        fs::write(temp.path().join("outside/secret"), "secret").unwrap();
        let stage = Stage::create(&temp.path().join("dest")).unwrap();
        let tree = stage.tree().unwrap();
        let sinks = BTreeMap::from([(0, Sink::Tree(Arc::clone(&tree)))]);
        let sinks = FileSinks {
            sinks,
            ..FileSinks::default()
        };
        let caller = Caller::new(Services::new().file_send(sinks)).await;
        Self {
            temp,
            stage,
            tree,
            caller,
        }
    }

    /// Tries to deliver, and checks that all that was there before is all there is now.
    async fn assert_untouched(self) {
        let platforms = vec![Platform::new("linux", "amd64")];
        let trees = [PlatformTree {
            platforms,
            tree: Arc::clone(&self.tree),
        }];
        merge_trees(&self.stage, &trees, Layout::Joined, Others::Keep).unwrap_err();
        drop(self.stage);
        let left = all_paths(self.temp.path());
        assert_eq!(left, ["outside", "outside/secret"].map(PathBuf::from));
        assert_eq!(
            fs::read(self.temp.path().join("outside/secret")).unwrap(),
            b"secret"
        );
    }
}

fn all_paths(root: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            }
            paths.push(entry.path().strip_prefix(root).unwrap().to_owned());
        }
    }
    paths.sort();
    paths
}

async fn check(entries: Vec<Sent>, expect: &str) {
    check_manner(entries, Manner::Honest, Code::InvalidArgument, expect).await;
}

async fn check_manner(entries: Vec<Sent>, manner: Manner, code: Code, expect: &str) {
    let output = Output::new().await;
    let sent = send_tree(&output.caller.channel, "0", entries, manner).await;
    let status = sent.expect_err(expect);
    assert_eq!((status.code(), status.message()), (code, expect));
    output.assert_untouched().await;
}

#[tokio::test]
async fn paths_that_lead_out_are_refused() {
    let why = "which contains . or .. as a name";
    check(
        vec![file("../x", "x")],
        &format!("the daemon sent ../x, {why}"),
    )
    .await;
    let climbing = vec![dir("a"), file("a/../../outside/secret", "x")];
    check(
        climbing,
        &format!("the daemon sent a/../../outside/secret, {why}"),
    )
    .await;
    check(vec![dir("..")], &format!("the daemon sent .., {why}")).await;
    check(vec![dir(".")], &format!("the daemon sent ., {why}")).await;
    check(
        vec![file("/x", "x")],
        "the daemon sent /x, which is an absolute path",
    )
    .await;
    let nul = "the daemon sent a\\u{0}b, which contains a NUL byte";
    check(vec![file("a\0b", "x")], nul).await;
    let empty = "the daemon sent an empty path, which has an empty name in its path";
    check(vec![file("", "x")], empty).await;
    let double = "the daemon sent a//b, which has an empty name in its path";
    check(vec![dir("a"), file("a//b", "x")], double).await;
}

#[tokio::test]
async fn nothing_is_written_through_a_link() {
    let why = "which lies in something that was not sent as a directory";
    let below = vec![symlink("a", "../../../outside"), file("a/secret", "x")];
    check(below, &format!("the daemon sent a/secret, {why}")).await;
    let twice = vec![symlink("a", "../../../outside/secret"), file("a", "x")];
    check(
        twice,
        "the daemon sent a, which is a duplicate or out of order",
    )
    .await;
    let below = vec![file("a", "x"), file("a/b", "x")];
    check(below, &format!("the daemon sent a/b, {why}")).await;
}

#[tokio::test]
async fn two_streams_cannot_plant_a_link_for_each_other() {
    let output = Output::new().await;
    let channel = &output.caller.channel;
    let planted = vec![symlink("a", "../../../outside")];
    send_tree(channel, "0", planted, Manner::Honest)
        .await
        .unwrap();
    let below = vec![dir("a"), file("a/secret", "x")];
    let status = send_tree(channel, "0", below, Manner::Honest)
        .await
        .unwrap_err();
    assert_eq!(
        status.message(),
        "cannot create the directory a: Not a directory (os error 20)"
    );
    let through = vec![file("a", "x")];
    let status = send_tree(channel, "0", through, Manner::Honest)
        .await
        .unwrap_err();
    assert_eq!(
        status.message(),
        "cannot create a: File exists (os error 17)"
    );
    output.assert_untouched().await;
}

#[tokio::test]
async fn order_and_duplicates_are_checked() {
    let why = "which is a duplicate or out of order";
    check(
        vec![file("b", ""), file("a", "")],
        &format!("the daemon sent a, {why}"),
    )
    .await;
    check(
        vec![file("a", "1"), file("a", "2")],
        &format!("the daemon sent a, {why}"),
    )
    .await;
    let plain = vec![dir("foo"), file("foo-bar", ""), file("foo/bar", "")];
    check(plain, &format!("the daemon sent foo/bar, {why}")).await;
    let orphan = "the daemon sent a/b, which lies in something that was not sent as a directory";
    check(vec![file("a/b", "")], orphan).await;
}

#[tokio::test]
async fn hard_links_name_only_files_of_the_same_stream() {
    let why = "which is a hard link to a file that was not sent before";
    for target in ["/etc/passwd", "../../outside/secret", "later", "link", "d"] {
        let entries = vec![
            dir("d"),
            symlink("link", "/etc/passwd"),
            hard_link("z", target),
        ];
        check(entries, &format!("the daemon sent z, {why}")).await;
    }
}

#[tokio::test]
async fn impossible_names_and_depths_are_refused() {
    let long = "x".repeat(5000);
    let shown = format!("{}…", "x".repeat(200));
    let expect = format!("the daemon sent {shown}, which has a path longer than 4095 bytes");
    check(vec![file(&long, "")], &expect).await;
    let name = "x".repeat(300);
    let expect = format!("cannot create {shown}: File name too long (os error 36)");
    check_manner(
        vec![file(&name, "a")],
        Manner::Honest,
        Code::Unknown,
        &expect,
    )
    .await;
    let mut paths = vec!["d".to_owned()];
    while paths.len() <= 200 {
        paths.push(format!("{}/d", paths[paths.len() - 1]));
    }
    let entries = paths.iter().map(|path| dir(path)).collect();
    let shown: String = paths[200].chars().take(200).collect();
    let expect = format!("the daemon sent {shown}…, which lies more than 200 directories deep");
    check(entries, &expect).await;
}

#[tokio::test]
async fn files_of_another_length_are_errors() {
    let tree = || vec![dir("d"), file("d/f", "four")];
    let check = |manner, code, expect| check_manner(tree(), manner, code, expect);
    let short = "the daemon sent 3 bytes of d/f and announced 4";
    check(Manner::Short, Code::InvalidArgument, short).await;
    let long = "the daemon sent 5 bytes of d/f and announced 4";
    check(Manner::Long, Code::InvalidArgument, long).await;
    let error = "the daemon could not send its output: disk on fire";
    check(Manner::Error, Code::InvalidArgument, error).await;
    let cut = "the daemon's output ended in the middle";
    check(Manner::Cut, Code::InvalidArgument, cut).await;
}

#[tokio::test]
async fn a_session_that_breaks_in_mid_file_leaves_nothing() {
    let output = Output::new().await;
    let mut call = Export::open(&output.caller.channel, "0").await.unwrap();
    call.send(packet(file("a", "four").stat)).await;
    let request = call.answer().await.unwrap().unwrap();
    assert_eq!(request.r#type(), PacketType::Req);
    call.packet(PacketType::Data, 0, Bytes::from_static(b"fo"))
        .await;
    output.caller.served.abort();
    let status: Status = call.answer().await.unwrap_err();
    assert_ne!(status.code(), Code::Ok);
    assert_eq!(output.tree.state(), TreeState::Incomplete);
    output.assert_untouched().await;
}

#[tokio::test]
async fn packets_out_of_place_end_the_transfer() {
    for (kind, expect) in [
        (PacketType::Fin, "an end before the files were complete"),
        (PacketType::Data, "contents that were not asked for"),
        (PacketType::Req, "a packet that a sender does not send"),
    ] {
        let output = Output::new().await;
        let mut call = Export::open(&output.caller.channel, "0").await.unwrap();
        call.packet(kind, 7, Bytes::from_static(b"x")).await;
        let told = call.answer().await.unwrap().unwrap();
        assert_eq!(told.r#type(), PacketType::Err);
        let status = call.answer().await.unwrap_err();
        let expect = format!("the daemon broke the transfer's rules: {expect}");
        assert_eq!(status.message(), expect);
        assert_eq!(told.data, expect);
        output.assert_untouched().await;
    }
}

#[tokio::test]
async fn exporters_that_were_not_asked_for_are_refused() {
    let output = Output::new().await;
    let channel = &output.caller.channel;
    let status = send_tree(channel, "1", vec![], Manner::Honest)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let status = send_file_output(channel, "x", b"", 1).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    output.assert_untouched().await;
}

fn packet(stat: mbuild_proto::fsutil::Stat) -> mbuild_proto::fsutil::Packet {
    mbuild_proto::fsutil::Packet {
        stat: Some(stat),
        ..Default::default()
    }
}
