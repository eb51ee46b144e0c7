//! Outputs on the client's disk, from the daemon's first packet to the file in its place.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink as make_link};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mbuild::buildkit::session::{FileSinks, Services, Sink};
use mbuild::merge::MergeError;
use mbuild::merge::file::FileStage;
use mbuild::merge::local::{Layout, MergeReport, Others, PlatformTree, merge_trees};
use mbuild::merge::stage::Stage;
use mbuild::platform::Platform;
use mbuild::receive::TreeSink;
use tokio::task::spawn_blocking;

use crate::support::exporter::{
    Manner, Sent, dir, file, hard_link, send_file_output, send_tree, symlink,
};
use crate::support::session_caller::Caller;

async fn serve(sink: Sink) -> (Caller, Arc<AtomicU64>) {
    let sinks = FileSinks {
        sinks: BTreeMap::from([(0, sink)]),
        ..FileSinks::default()
    };
    let received = Arc::clone(&sinks.received);
    (
        Caller::new(Services::new().file_send(sinks)).await,
        received,
    )
}

async fn receive(tree: &Arc<TreeSink>, entries: Vec<Sent>) {
    let (caller, _) = serve(Sink::Tree(Arc::clone(tree))).await;
    send_tree(&caller.channel, "0", entries, Manner::Honest)
        .await
        .unwrap();
}

/// Builds for amd64 and arm64 and delivers, as `mbuild -o type=local` does.
async fn deliver(
    dest: &Path,
    outputs: [Vec<Sent>; 2],
    layout: Layout,
    others: Others,
) -> Result<MergeReport, MergeError> {
    let stage = Stage::create(dest).unwrap();
    let mut trees = Vec::new();
    for (entries, architecture) in outputs.into_iter().zip(["amd64", "arm64"]) {
        let tree = stage.tree().unwrap();
        receive(&tree, entries).await;
        let platforms = vec![Platform::new("linux", architecture)];
        trees.push(PlatformTree { platforms, tree });
    }
    spawn_blocking(move || merge_trees(&stage, &trees, layout, others))
        .await
        .unwrap()
}

async fn join(dest: &Path, outputs: [Vec<Sent>; 2]) -> Result<MergeReport, MergeError> {
    deliver(dest, outputs, Layout::Joined, Others::Keep).await
}

/// Every path below, with the bytes of files and the targets of links.
fn snapshot(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let value = if kind.is_dir() {
                "/".to_owned()
            } else if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else {
                fs::read_to_string(&path).unwrap()
            };
            if kind.is_dir() {
                directories.push(path.clone());
            }
            found.insert(
                path.strip_prefix(root).unwrap().display().to_string(),
                value,
            );
        }
    }
    found
}

fn assert_tree(root: &Path, expect: &[(&str, &str)]) {
    let expect: BTreeMap<String, String> = expect
        .iter()
        .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(snapshot(root), expect);
}

fn split(directory: &str, files: &[(&str, &str)]) -> Vec<Sent> {
    let files = files
        .iter()
        .map(|(name, data)| file(&format!("{directory}/{name}"), data));
    [dir(directory)].into_iter().chain(files).collect()
}

#[tokio::test]
async fn each_platform_gets_its_directory() {
    let temp = tempfile::tempdir().unwrap();
    let dest = temp.path().join("new/output");
    let outputs = [
        split("linux_amd64", &[("app", "x86"), ("info", "1")]),
        split("linux_arm64", &[("app", "arm"), ("info", "1")]),
    ];
    let report = deliver(&dest, outputs, Layout::Split, Others::Keep)
        .await
        .unwrap();
    assert_eq!(
        report,
        MergeReport {
            moved: 2,
            warnings: vec![]
        }
    );
    assert_tree(
        &dest,
        &[
            ("linux_amd64", "/"),
            ("linux_amd64/app", "x86"),
            ("linux_amd64/info", "1"),
            ("linux_arm64", "/"),
            ("linux_arm64/app", "arm"),
            ("linux_arm64/info", "1"),
        ],
    );
    let directory = fs::metadata(dest.join("linux_amd64")).unwrap();
    assert_eq!(
        (directory.mtime(), directory.mode() & 0o7777),
        (1_600_000_000, 0o755)
    );
}

/// BuildKit 0.13 sends the tree of a single platform without its directory.
#[tokio::test]
async fn a_tree_without_its_platforms_directory_gets_it() {
    let temp = tempfile::tempdir().unwrap();
    let unsplit = vec![
        file("app", "arm"),
        dir("lib"),
        hard_link("lib/app", "app"),
        symlink("lib/away", "../../other"),
        symlink("lib/shell", "/bin/sh"),
        symlink("root", "/"),
    ];
    let outputs = [split("linux_amd64", &[("app", "x86")]), unsplit];
    let report = deliver(temp.path(), outputs, Layout::Split, Others::Keep)
        .await
        .unwrap();
    assert_eq!(report.moved, 2);
    assert_tree(
        temp.path(),
        &[
            ("linux_amd64", "/"),
            ("linux_amd64/app", "x86"),
            ("linux_arm64", "/"),
            ("linux_arm64/app", "arm"),
            ("linux_arm64/lib", "/"),
            ("linux_arm64/lib/app", "arm"),
            ("linux_arm64/lib/away", "-> ../../other"),
            ("linux_arm64/lib/shell", "-> /linux_arm64/bin/sh"),
            ("linux_arm64/root", "-> /linux_arm64"),
        ],
    );
    let attributes = |path: &str| {
        let found = fs::symlink_metadata(temp.path().join(path)).unwrap();
        (found.mtime(), found.mode() & 0o777)
    };
    assert_eq!(attributes("linux_arm64"), (0, 0o755));
    assert_eq!(attributes("linux_arm64/lib"), (1_600_000_000, 0o755));
    assert_eq!(attributes("linux_arm64/root"), (1_600_000_000, 0o777));
}

#[tokio::test]
async fn in_split_mode_a_daemon_has_only_its_directory() {
    for (sent, expect) in [
        (split("linux_amd64", &[("app", "arm")]), "linux_amd64/app"),
        (vec![dir("linux_arm64"), file("other", "arm")], "other"),
        (vec![file("linux_arm64", "arm")], "linux_arm64"),
    ] {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("linux_arm64")).unwrap();
        fs::write(temp.path().join("linux_arm64/old"), "old").unwrap();
        let outputs = [split("linux_amd64", &[("app", "x86")]), sent];
        deliver(temp.path(), outputs, Layout::Split, Others::Delete)
            .await
            .unwrap();
        let found = snapshot(temp.path());
        assert_eq!(found["linux_amd64/app"], "x86");
        assert_eq!(found[&format!("linux_arm64/{expect}")], "arm");
        let others = |path: &&String| !path.starts_with("linux_arm64");
        assert_eq!(found.keys().filter(others).count(), 2, "{found:?}");
        assert!(!found.contains_key("linux_arm64/old"));
    }
}

#[tokio::test]
async fn an_empty_tree_is_an_empty_directory() {
    let temp = tempfile::tempdir().unwrap();
    let outputs = [vec![], vec![dir("linux_arm64")]];
    deliver(temp.path(), outputs, Layout::Split, Others::Keep)
        .await
        .unwrap();
    assert_tree(temp.path(), &[("linux_amd64", "/"), ("linux_arm64", "/")]);
}

#[tokio::test]
async fn what_is_no_platforms_among_several_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dest = temp.path().join("output");
    for stray in [file("other", "x"), symlink("linux_arm64", "linux_amd64")] {
        let stage = Stage::create(&dest).unwrap();
        let tree = stage.tree().unwrap();
        receive(&tree, vec![dir("linux_amd64"), stray]).await;
        let platforms = ["amd64", "arm64"].map(|name| Platform::new("linux", name));
        let trees = [PlatformTree {
            platforms: platforms.to_vec(),
            tree,
        }];
        let error = merge_trees(&stage, &trees, Layout::Split, Others::Delete).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the daemon for linux/amd64, linux/arm64 sent "),
            "{error}"
        );
        drop(stage);
        assert!(!dest.exists());
    }
}

#[tokio::test]
async fn joined_platforms_share_what_is_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let outputs = [
        vec![
            dir("bin"),
            file("bin/x86", "1"),
            file("doc", "same"),
            symlink("l", "doc"),
        ],
        vec![
            dir("bin"),
            file("bin/arm", "2"),
            file("doc", "same"),
            symlink("l", "doc"),
        ],
    ];
    join(temp.path(), outputs).await.unwrap();
    let expect = [
        ("bin", "/"),
        ("bin/arm", "2"),
        ("bin/x86", "1"),
        ("doc", "same"),
        ("l", "-> doc"),
    ];
    assert_tree(temp.path(), &expect);
}

#[tokio::test]
async fn joined_platforms_that_differ_are_refused_by_name() {
    async fn check(first: Sent, second: Sent, expect: &str) {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("kept"), "old").unwrap();
        let outputs = [vec![dir("d"), first], vec![dir("d"), second]];
        let error = join(temp.path(), outputs).await.unwrap_err();
        let expect =
            format!("`d/x` differs between linux/amd64 and linux/arm64: another {expect};");
        assert!(error.to_string().starts_with(&expect), "{error}");
        assert_tree(temp.path(), &[("kept", "old")]);
    }
    let executable = |mut sent: Sent| {
        sent.stat.mode |= 0o111;
        sent
    };
    check(file("d/x", "1"), file("d/x", "2"), "content").await;
    check(file("d/x", "1"), file("d/x", "12"), "content").await;
    check(file("d/x", "1"), executable(file("d/x", "1")), "mode").await;
    check(file("d/x", "1"), dir("d/x"), "type").await;
    check(symlink("d/x", "a"), symlink("d/x", "b"), "link target").await;
    let mut open = dir("d/x");
    open.stat.mode |= 0o777;
    check(dir("d/x"), open, "mode").await;
}

#[tokio::test]
async fn what_is_there_is_replaced_and_the_rest_stays() {
    let temp = tempfile::tempdir().unwrap();
    let (dest, outside) = (temp.path().join("dest"), temp.path().join("outside"));
    fs::create_dir_all(dest.join("dir/sub")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(dest.join("dir/mine"), "mine").unwrap();
    fs::write(dest.join("file"), "old").unwrap();
    fs::write(outside.join("file"), "outside").unwrap();
    fs::create_dir(dest.join("now-a-file")).unwrap();
    fs::write(dest.join("now-a-file/below"), "old").unwrap();
    fs::write(dest.join("now-a-dir"), "old").unwrap();
    make_link(&outside, dest.join("link")).unwrap();
    make_link(outside.join("file"), dest.join("link-to-file")).unwrap();
    fs::set_permissions(dest.join("dir/sub"), Permissions::from_mode(0o555)).unwrap();
    let first = vec![
        dir("dir"),
        dir("dir/sub"),
        file("dir/sub/new", "new"),
        file("file", "new"),
        dir("link"),
        file("link/file", "new"),
        file("link-to-file", "new"),
        dir("now-a-dir"),
        file("now-a-dir/below", "new"),
        file("now-a-file", "new"),
    ];
    join(&dest, [first, vec![]]).await.unwrap();
    assert_tree(
        &dest,
        &[
            ("dir", "/"),
            ("dir/mine", "mine"),
            ("dir/sub", "/"),
            ("dir/sub/new", "new"),
            ("file", "new"),
            ("link", "/"),
            ("link/file", "new"),
            ("link-to-file", "new"),
            ("now-a-dir", "/"),
            ("now-a-dir/below", "new"),
            ("now-a-file", "new"),
        ],
    );
    assert_tree(&outside, &[("file", "outside")]);
}

#[tokio::test]
async fn deleting_mirrors_each_platform_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let dest = temp.path();
    fs::create_dir_all(dest.join("linux_s390x")).unwrap();
    fs::write(dest.join("linux_s390x/app"), "ibm").unwrap();
    fs::write(dest.join("mine"), "mine").unwrap();
    for round in ["1", "2"] {
        let outputs = [
            split("linux_amd64", &[(round, round), ("app", "x86")]),
            split("linux_arm64", &[(round, round), ("app", "arm")]),
        ];
        deliver(dest, outputs, Layout::Split, Others::Delete)
            .await
            .unwrap();
        let (first, second) = (
            format!("linux_amd64/{round}"),
            format!("linux_arm64/{round}"),
        );
        assert_tree(
            dest,
            &[
                ("linux_amd64", "/"),
                ("linux_amd64/app", "x86"),
                (&first, round),
                ("linux_arm64", "/"),
                ("linux_arm64/app", "arm"),
                (&second, round),
                ("linux_s390x", "/"),
                ("linux_s390x/app", "ibm"),
                ("mine", "mine"),
            ],
        );
    }
}

#[tokio::test]
async fn deleting_without_split_mirrors_the_whole_destination() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir_all(temp.path().join("old/deep")).unwrap();
    fs::write(temp.path().join("old/deep/file"), "old").unwrap();
    for round in ["1", "2"] {
        let outputs = [vec![file("a", round)], vec![dir("d"), file("d/b", round)]];
        deliver(temp.path(), outputs, Layout::Joined, Others::Delete)
            .await
            .unwrap();
        assert_tree(temp.path(), &[("a", round), ("d", "/"), ("d/b", round)]);
    }
}

#[tokio::test]
async fn a_tree_that_never_came_deletes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("mine"), "mine").unwrap();
    let stage = Stage::create(temp.path()).unwrap();
    let platforms = vec![Platform::new("linux", "amd64")];
    let trees = [PlatformTree {
        platforms,
        tree: stage.tree().unwrap(),
    }];
    let error = merge_trees(&stage, &trees, Layout::Joined, Others::Delete).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the output for linux/amd64 was not received to its end"
    );
    drop(stage);
    assert_tree(temp.path(), &[("mine", "mine")]);
}

#[tokio::test]
async fn streams_of_one_exporter_share_a_tree() {
    let temp = tempfile::tempdir().unwrap();
    let stage = Stage::create(temp.path()).unwrap();
    let tree = stage.tree().unwrap();
    let (caller, received) = serve(Sink::Tree(Arc::clone(&tree))).await;
    let names = ["amd64", "arm64", "s390x", "riscv64"];
    let sending = names.map(|name| {
        let channel = caller.channel.clone();
        let mut entries = vec![dir("common"), dir(&format!("common/{name}"))];
        for number in 0..200 {
            let path = format!("common/{name}/{number:03}");
            entries.push(file(&path, &path.repeat(4000)));
        }
        entries.push(hard_link(
            &format!("common/{name}/last"),
            &format!("common/{name}/007"),
        ));
        tokio::spawn(async move { send_tree(&channel, "0", entries, Manner::Honest).await })
    });
    for sending in sending {
        sending.await.unwrap().unwrap();
    }
    let platforms = names.map(|name| Platform::new("linux", name)).to_vec();
    let trees = [PlatformTree { platforms, tree }];
    merge_trees(&stage, &trees, Layout::Joined, Others::Keep).unwrap();
    drop(stage);
    let files = snapshot(temp.path());
    assert_eq!(files.len(), 1 + 4 * 202);
    assert_eq!(
        files["common/riscv64/last"],
        "common/riscv64/007".repeat(4000)
    );
    assert!(received.load(Ordering::Relaxed) > 4 * 200 * 16 * 4000);
}

/// Prints the peak memory, which is the sender's too; it means something when run alone.
#[tokio::test]
async fn sixty_thousand_files_arrive() {
    let temp = tempfile::tempdir().unwrap();
    let mut entries = Vec::new();
    for directory in 0..60 {
        entries.push(dir(&format!("node_modules/{directory:02}")));
        let name = |number| format!("node_modules/{directory:02}/some-file-{number:04}.js");
        entries.extend((0..1000).map(|number| file(&name(number), "module.exports = 1;\n")));
    }
    entries.insert(0, dir("node_modules"));
    let report = join(temp.path(), [entries, vec![]]).await.unwrap();
    assert_eq!(report.moved, 1);
    let directories = fs::read_dir(temp.path().join("node_modules")).unwrap();
    let files = directories.map(|directory| fs::read_dir(directory.unwrap().path()).unwrap());
    assert_eq!(files.map(Iterator::count).sum::<usize>(), 60_000);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    println!("peak memory of sender and receiver: {peak}");
}

#[tokio::test]
async fn a_file_is_complete_or_absent() {
    let temp = tempfile::tempdir().unwrap();
    let dest = temp.path().join("out.tar");
    let bytes: Vec<u8> = (0..40_000_000_u32)
        .map(|at| (at ^ (at >> 11)) as u8)
        .collect();
    let stage = FileStage::create(Some(&dest), temp.path()).unwrap();
    let (caller, received) = serve(Sink::File(stage.attempt().unwrap())).await;
    send_file_output(&caller.channel, "0", &bytes, (16 << 20) - 100)
        .await
        .unwrap();
    let again = send_file_output(&caller.channel, "0", b"x", 1)
        .await
        .unwrap_err();
    assert_eq!(again.message(), "exporter 0 has sent its file before");
    assert!(!dest.exists());
    stage.commit(&mut io::sink()).unwrap();
    assert!(fs::read(&dest).unwrap() == bytes);
    assert!(received.load(Ordering::Relaxed) > 40_000_000);

    let stage = FileStage::create(Some(&dest), temp.path()).unwrap();
    let (caller, _) = serve(Sink::File(stage.attempt().unwrap())).await;
    let channel = caller.channel.clone();
    let sending = tokio::spawn(async move {
        let endless = vec![0; 1 << 30];
        send_file_output(&channel, "0", &endless, 1 << 20).await
    });
    while fs::read_dir(temp.path()).unwrap().count() < 2 {
        tokio::task::yield_now().await;
    }
    caller.served.abort();
    sending.await.unwrap().unwrap_err();
    stage.commit(&mut io::sink()).unwrap_err();
    assert_eq!(fs::metadata(&dest).unwrap().len(), 40_000_000);
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

/// A file system of its own; unmounted when dropped, whatever is still open on it.
struct Mounted(PathBuf);

impl Mounted {
    /// Mounts a tmpfs; `None` where that is not allowed, which under `CI=true` is a failure.
    fn new(path: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", options, "mbuild-test"])
            .arg(&path);
        let output = mount.output();
        if output.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        let text = format!("a test needs the right to mount a tmpfs: {output:?}");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{text}");
        // Not through the test's own output, which is hidden where it passes.
        drop(writeln!(std::io::stderr(), "skipped: {text}"));
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_left_clean() {
    let temp = tempfile::tempdir().unwrap();
    let Some(full) = Mounted::new(temp.path().join("full"), "size=1m") else {
        return;
    };
    let stage = Stage::create(&full.0).unwrap();
    let (caller, _) = serve(Sink::Tree(stage.tree().unwrap())).await;
    let entries = vec![dir("d"), file("d/big", &"x".repeat(4 << 20))];
    let status = send_tree(&caller.channel, "0", entries, Manner::Honest)
        .await
        .unwrap_err();
    assert_eq!(
        status.message(),
        "cannot write d/big: No space left on device (os error 28)"
    );
    drop(stage);
    // Files that come together, of which only some fit.
    let stage = Stage::create(&full.0).unwrap();
    let tree = stage.tree().unwrap();
    let (caller, _) = serve(Sink::Tree(Arc::clone(&tree))).await;
    let small = |number| file(&format!("{number:04}"), &"x".repeat(4 << 10));
    let status = send_tree(
        &caller.channel,
        "0",
        (0..1000).map(small).collect(),
        Manner::Honest,
    );
    let message = status.await.unwrap_err().message().to_owned();
    let number = message.strip_prefix("cannot write ").unwrap();
    let number = number.strip_suffix(": No space left on device (os error 28)");
    let number: u32 = number.unwrap().parse().unwrap();
    assert!(number <= 256, "{message}");
    assert_eq!(tree.failure(), Some(message));
    drop(stage);
    let stage = FileStage::create(Some(&full.0.join("out.tar")), temp.path()).unwrap();
    let (caller, _) = serve(Sink::File(stage.attempt().unwrap())).await;
    let status = send_file_output(&caller.channel, "0", &vec![0; 4 << 20], 1 << 20)
        .await
        .unwrap_err();
    let message = status.message();
    assert!(
        message.ends_with("full/out.tar: No space left on device (os error 28)"),
        "{message}"
    );
    drop(stage);
    assert_tree(&full.0, &[]);
}

#[tokio::test]
async fn a_destination_that_is_read_only_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let Some(locked) = Mounted::new(temp.path().join("locked"), "ro") else {
        return;
    };
    let error = Stage::create(&locked.0).unwrap_err();
    let dest = locked.0.display().to_string();
    assert_eq!(
        error.to_string(),
        format!("cannot create a directory in {dest}")
    );
    let error = Stage::create(&locked.0.join("a/b")).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create {dest}/a"));
    let error = FileStage::create(Some(&locked.0.join("out.tar")), temp.path())
        .unwrap()
        .attempt()
        .unwrap_err();
    assert!(error.to_string().starts_with("cannot create "), "{error}");
}

#[tokio::test]
async fn a_failure_while_moving_says_what_is_there_and_puts_the_rest_back() {
    let temp = tempfile::tempdir().unwrap();
    let dest = temp.path().join("dest");
    fs::create_dir_all(&dest).unwrap();
    fs::write(dest.join("z-mine"), "mine").unwrap();
    // What is mounted cannot be set aside, so the file in its place cannot be moved.
    let Some(_busy) = Mounted::new(dest.join("m"), "size=1m") else {
        return;
    };
    let outputs = [
        vec![file("a", "new"), file("m", "new"), file("z-mine", "new")],
        vec![],
    ];
    let error = join(&dest, outputs).await.unwrap_err();
    let expect = format!("cannot move m into {}; already there: a", dest.display());
    assert_eq!(error.to_string(), expect);
    assert_tree(&dest, &[("a", "new"), ("m", "/"), ("z-mine", "mine")]);
    let outputs = [vec![file("a", "newer")], vec![]];
    deliver(&dest, outputs, Layout::Joined, Others::Delete)
        .await
        .unwrap_err();
    assert_tree(&dest, &[("a", "new"), ("m", "/"), ("z-mine", "mine")]);
}
