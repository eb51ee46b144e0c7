//! What a session serves, as a real daemon takes it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use mbuild::buildkit::session::{
    FileSinks, SecretSource, Services, Session, SessionEnd, Sink, random_id,
};
use mbuild::buildkit::{ExporterSpec, SolveSpec};
use mbuild::receive::TreeSink;
use mbuild::tree::ContextTree;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::real::{self, Env};

/// A build of one directory, whose result comes back to another one.
struct Build {
    context: TempDir,
    output: TempDir,
    shared_key: String,
    services: Services,
    attrs: BTreeMap<String, String>,
}

impl Build {
    fn new(dockerfile: &str) -> Self {
        let context = tempfile::tempdir().unwrap();
        fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
        Self {
            context,
            output: tempfile::tempdir().unwrap(),
            shared_key: random_id().unwrap(),
            services: Services::new(),
            attrs: BTreeMap::new(),
        }
    }

    fn file(&self, path: &str, contents: impl AsRef<[u8]>) -> &Self {
        let path = self.context.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
        self
    }

    /// Builds on the daemon called `AMD64`, and returns how many bytes of files were sent.
    async fn run(&mut self, env: &Env) -> u64 {
        self.output = tempfile::tempdir().unwrap();
        let connection = env.connect("AMD64").await;
        let tree = ContextTree::open(self.context.path()).unwrap();
        let dirs = ["context", "dockerfile"].map(|name| (name.to_owned(), Arc::clone(&tree)));
        let sent = Arc::new(AtomicU64::new(0));
        let output = fs::File::open(self.output.path()).unwrap();
        let sink = Sink::Tree(Arc::new(TreeSink::new(output.into(), self.output.path())));
        let sinks = FileSinks {
            sinks: BTreeMap::from([(0, sink)]),
            ..FileSinks::default()
        };
        let services = self
            .services
            .clone()
            .file_sync(dirs.into(), Arc::clone(&sent));
        let session = Session::new(&self.shared_key, services.file_send(sinks)).unwrap();

        let spec = SolveSpec {
            reference: random_id().unwrap(),
            session: session.id.clone(),
            frontend: "dockerfile.v0".into(),
            frontend_attrs: self.attrs.clone(),
            exporters: vec![ExporterSpec {
                kind: "local".into(),
                attrs: BTreeMap::new(),
            }],
            ..SolveSpec::default()
        };
        let pipe = connection
            .open_session(&session.opening())
            .await
            .unwrap()
            .stream;
        let (liveness, close) = (connection.line().liveness.clone(), CancellationToken::new());
        let served = tokio::spawn(session.serve(pipe, liveness, close.clone()));
        let solved = connection.solve(&spec).await;
        close.cancel();
        let end = served.await.unwrap();
        solved.unwrap();
        assert!(matches!(end, SessionEnd::Closed), "{end:?}");
        sent.load(Ordering::Relaxed)
    }

    fn output(&self, path: &str) -> Vec<u8> {
        fs::read(self.output.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

#[tokio::test]
async fn a_context_comes_back_as_it_was() {
    let Some(env) = real::env() else { return };
    let mut build = Build::new("FROM scratch\nCOPY . /\n");
    let big: Vec<u8> = (0..5_000_003)
        .map(|at: u32| (at ^ (at >> 8)) as u8)
        .collect();
    build
        .file("dir/big", &big)
        .file("dir-x", "")
        .file("dir/café au lait", "☕")
        .file("gone/a", "a");
    // Otherwise the daemon could use an earlier run's copy, with that one's times.
    build.file("unique", random_id().unwrap());
    let context = build.context.path().to_owned();
    fs::set_permissions(context.join("dir-x"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(context.join("dir/big"), context.join("dir/again")).unwrap();
    symlink("dir/big", context.join("link")).unwrap();
    // 100 kB of patterns, one of them not ASCII, so that all of them travel escaped.
    let mut ignored = String::from("gone\nnicht/da/ü\n");
    (0..2000).for_each(|n| ignored.push_str(&format!("some/rather/long/ignored/path/{n:018}\n")));
    build.file(".dockerignore", ignored);
    build.run(&env).await;

    assert!(build.output("dir/big") == big && build.output("dir/again") == big);
    assert_eq!(build.output("dir/café au lait"), "☕".as_bytes());
    let at = |path: &str| fs::symlink_metadata(build.output.path().join(path));
    assert_eq!(at("dir-x").unwrap().permissions().mode() & 0o7777, 0o4751);
    assert_eq!(
        fs::read_link(build.output.path().join("link")).unwrap(),
        Path::new("dir/big")
    );
    let original = fs::metadata(context.join("dir/big")).unwrap();
    assert_eq!(at("dir/big").unwrap().mtime_nsec(), original.mtime_nsec());
    assert!(at("gone").is_err());
}

#[tokio::test]
async fn a_second_build_sends_what_changed() {
    let Some(env) = real::env() else { return };
    let mut build = Build::new("FROM scratch\nCOPY a* /\n");
    build.file("a1", vec![1; 100_000]).file("a2", "two");
    let dockerfile = fs::metadata(build.context.path().join("Dockerfile"))
        .unwrap()
        .len();
    assert_eq!(build.run(&env).await, dockerfile + 100_003);
    // The Dockerfile is always asked for.
    assert_eq!(build.run(&env).await, dockerfile);
    build.file("a2", "three");
    assert_eq!(build.run(&env).await, dockerfile + 5);
    assert_eq!(build.output("a2"), b"three");
}

#[tokio::test]
async fn thousands_of_small_files_arrive() {
    let Some(env) = real::env() else { return };
    let mut build = Build::new("FROM scratch\nCOPY many /\n");
    for number in 0..2000 {
        build.file(&format!("many/{}/{number}", number % 7), number.to_string());
    }
    build.run(&env).await;
    for number in [0, 1234, 1999] {
        let path = format!("{}/{number}", number % 7);
        assert_eq!(build.output(&path), number.to_string().as_bytes());
    }
}

#[tokio::test]
async fn secrets_are_read_by_steps_that_ask_for_them() {
    let Some(env) = real::env() else { return };
    let dockerfile = format!(
        "FROM {} AS run\n\
         RUN --mount=type=secret,id=token --mount=type=secret,id=none \
         wc -c < /run/secrets/token > /length; test ! -e /run/secrets/none\n\
         FROM scratch\nCOPY --from=run /length /\n",
        env.get("BASE")
    );
    let mut build = Build::new(&dockerfile);
    let token = SecretSource::Value(Bytes::from_static(b"hunter2"));
    build.services = build
        .services
        .secrets(BTreeMap::from([("token".to_owned(), token)]));
    build.run(&env).await;
    assert_eq!(build.output("length"), b"7\n");
}

#[tokio::test]
async fn a_tar_is_a_context() {
    let Some(env) = real::env() else { return };
    let mut archive = tar::Builder::new(tempfile::tempfile().unwrap());
    for (path, contents) in [
        ("Dockerfile", "FROM scratch\nCOPY file /\n"),
        ("file", "in a tar"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, path, contents.as_bytes())
            .unwrap();
    }
    let mut file = archive.into_inner().unwrap();
    file.flush().unwrap();
    let mut build = Build::new("not this one");
    build.services = build
        .services
        .upload(BTreeMap::from([("body".to_owned(), Arc::new(file))]));
    build
        .attrs
        .insert("context".into(), "http://buildkit-session/body".into());
    build.run(&env).await;
    assert_eq!(build.output("file"), b"in a tar");
}
