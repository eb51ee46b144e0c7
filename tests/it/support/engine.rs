//! A double of a Docker engine's API on a socket: what it has, and what is loaded into it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a double says and does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    /// Whether it has containerd's store.
    pub(crate) containerd: bool,
    /// The lines that it answers a load with.
    pub(crate) answer: &'static str,
}

/// A request: its line, and its body.
type Request = (String, Vec<u8>);

/// An engine that is none.
pub(crate) struct FakeEngine {
    path: PathBuf,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl FakeEngine {
    /// Listens in this directory, as long as the test runs.
    pub(crate) fn start(dir: &Path, behaviour: Behaviour) -> Self {
        let path = dir.join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, seen) = (stream.unwrap(), Arc::clone(&seen));
                thread::spawn(move || serve(stream, behaviour, &seen));
            }
        });
        Self { path, requests }
    }

    /// What `DOCKER_HOST` holds to reach it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// The requests so far: method and path, and the body.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: UnixStream, behaviour: Behaviour, seen: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(':').unwrap();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let what = first.rsplit_once(' ').unwrap().0.to_owned();
    let answer = match what.as_str() {
        "GET /info" if behaviour.containerd => {
            r#"{"DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]]}"#
        }
        "GET /info" => r#"{"Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"]]}"#,
        _ => behaviour.answer,
    };
    seen.lock().unwrap().push((what, body));
    let mut stream = stream;
    // Who asked may be gone already.
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    );
}
