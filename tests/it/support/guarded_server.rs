//! A web server at an address that daemons reach, which shows nothing without a login: a file,
//! and a Git repository: [`GuardedServer`].

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

/// What the file holds, and the one in the repository.
pub(crate) const CONTENT: &str = "guarded content\n";

/// Serves `/file` and `/app.git`, whose branch `main` has a file `file`.
pub(crate) struct GuardedServer {
    _dir: TempDir,
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl GuardedServer {
    /// Shows them to requests with this `Authorization`, compared without regard to case of its
    /// first word.
    pub(crate) fn new(host: &str, authorization: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("mbuild-web-")
            .tempdir()
            .unwrap();
        make_repository(dir.path());
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::<AtomicBool>::default();
        let over = Arc::clone(&is_over);
        let (base, login) = (dir.path().to_owned(), normal(authorization));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (base, login) = (base.clone(), login.clone());
                // A client that goes away before the end is judged by what it says.
                std::thread::spawn(move || drop(answer(&stream, &base, &login)));
            }
        });
        Self {
            _dir: dir,
            address,
            is_over,
        }
    }

    /// The server's name and port.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for GuardedServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes it, so that it sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

fn normal(authorization: &str) -> String {
    let (kind, rest) = authorization.split_once(' ').unwrap_or_default();
    format!("{} {rest}", kind.to_ascii_lowercase())
}

fn git(home: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .current_dir(home)
        .args(["-c", "user.name=x", "-c", "user.email=x@example"]);
    command
}

fn make_repository(home: &Path) {
    fs::create_dir(home.join("work")).unwrap();
    fs::write(home.join("work/file"), CONTENT).unwrap();
    for words in [
        "init -q -b main work",
        "-C work add file",
        "-C work commit -q -m x",
        "clone -q --bare work app.git",
        "-C app.git config uploadpack.allowAnySHA1InWant true",
    ] {
        let output = git(home).args(words.split(' ')).output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {words}: {problem}");
    }
}

struct Asked {
    path: String,
    authorization: String,
    protocol: String,
    is_head: bool,
    body: Vec<u8>,
}

fn asked(stream: &TcpStream) -> std::io::Result<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let is_head = words.next() == Some("HEAD");
    let path = words.next().unwrap_or_default().to_owned();
    let (mut authorization, mut protocol, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = normal(value),
            "git-protocol" => protocol = value.to_owned(),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Asked {
        path,
        authorization,
        protocol,
        is_head,
        body,
    })
}

fn answer(mut stream: &TcpStream, base: &Path, login: &str) -> std::io::Result<()> {
    let asked = asked(stream)?;
    let (status, kind, body) = match asked.path.as_str() {
        _ if asked.authorization != login => ("401 Unauthorized", "", Vec::new()),
        "/file" => ("200 OK", "text/plain", CONTENT.into()),
        "/app.git/info/refs?service=git-upload-pack" => {
            let mut body = b"001e# service=git-upload-pack\n0000".to_vec();
            body.extend(upload_pack(base, &asked, &["--advertise-refs"]));
            (
                "200 OK",
                "application/x-git-upload-pack-advertisement",
                body,
            )
        }
        "/app.git/git-upload-pack" => {
            let body = upload_pack(base, &asked, &[]);
            ("200 OK", "application/x-git-upload-pack-result", body)
        }
        _ => ("404 Not Found", "", Vec::new()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         WWW-Authenticate: Basic realm=\"x\"\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if !asked.is_head {
        stream.write_all(&body)?;
    }
    stream.flush()
}

fn upload_pack(base: &Path, asked: &Asked, words: &[&str]) -> Vec<u8> {
    let mut command = git(base);
    command
        .env("GIT_PROTOCOL", &asked.protocol)
        .args(["upload-pack", "--stateless-rpc"])
        .args(words)
        .arg("app.git")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended before it read all of that.
    drop(stdin.write_all(&asked.body));
    drop(stdin);
    child.wait_with_output().unwrap().stdout
}
