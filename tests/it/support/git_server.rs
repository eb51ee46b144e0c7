//! A Git server and its one repository, at an address that daemons reach: [`GitServer`].
//!
//! Each connection is answered by a `git daemon` of its own, so nothing is left running.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

/// The name of the repository.
const NAME: &str = "app.git";

/// A repository that is served with Git's own protocol.
pub(crate) struct GitServer {
    dir: TempDir,
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl GitServer {
    /// Serves a repository with nothing in it; its first branch is `main`.
    pub(crate) fn new(host: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("mbuild-git-")
            .tempdir()
            .unwrap();
        let listener = TcpListener::bind((host, 0)).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            is_over: Arc::default(),
            dir,
        };
        let path = server.dir.path().join(NAME);
        run(git(server.dir.path())
            .args(["init", "-q", "-b", "main"])
            .arg(&path));
        // Daemons ask for commits by their digests, as all big servers let them.
        server.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        let (base, is_over) = (server.dir.path().to_owned(), Arc::clone(&server.is_over));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                answer(&base, stream);
            }
        });
        server
    }

    /// The repository's address.
    pub(crate) fn url(&self) -> String {
        format!("git://{}/{NAME}", self.address)
    }

    /// The repository's directory, which is also a work tree.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join(NAME)
    }

    /// Commits these files on the current branch; gives the commit.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            let path = self.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs `git` in the work tree; gives what it prints.
    pub(crate) fn git(&self, words: &[&str]) -> String {
        let mut command = git(self.dir.path());
        run(command.arg("-C").arg(self.path()).args(words))
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes it, so that it sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

/// `git` with the user's configuration out of the way.
fn git(home: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_DIR")
        .args(["-c", "user.name=x", "-c", "user.email=x@example"]);
    command
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {problem}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn answer(base: &Path, stream: TcpStream) {
    let (input, output) = (stream.try_clone().unwrap(), stream);
    let mut command = git(base);
    command
        .args(["daemon", "--inetd", "--export-all"])
        .arg(format!("--base-path={}", base.display()))
        .stdin(Stdio::from(OwnedFd::from(input)))
        .stdout(Stdio::from(OwnedFd::from(output)))
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::spawn(move || drop(child.wait()));
}
