//! Carries connections to a daemon: [`Bridge`] listens on a unix socket, and each connection goes
//! on to an [`Upstream`], a BuildKit inside a Docker engine among them.
//!
//! Bytes are spliced, so that what they cost is little, and none of it a client's.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;

use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};

use crate::error::{Context as _, Error};
use crate::flow::Flow;

/// How much one splice moves at most; what a pipe may hold without privileges.
const PIPE: usize = 1 << 20;
/// No answer to an upgrade has a longer head.
const HEAD: usize = 8192;

/// Where connections go on to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Upstream {
    /// The BuildKit inside the Docker engine at this socket.
    Engine(PathBuf),
    /// A unix socket, as it is.
    Unix(PathBuf),
    /// `HOST:PORT`, as it is.
    Tcp(String),
}

impl FromStr for Upstream {
    type Err = Error;

    fn from_str(endpoint: &str) -> Result<Self, Error> {
        let (scheme, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
        match scheme {
            "docker+unix" => Ok(Self::Engine(rest.into())),
            "unix" => Ok(Self::Unix(rest.into())),
            "tcp" => Ok(Self::Tcp(rest.into())),
            _ => Err(Error::Wrong(format!(
                "{endpoint}: only unix://, tcp:// and docker+unix:// can be measured"
            ))),
        }
    }
}

/// A listener that lives as long as the process.
#[derive(Debug)]
pub(crate) struct Bridge {
    /// `unix:///path`
    pub(crate) endpoint: String,
    /// What has gone through.
    pub(crate) flow: Arc<Flow>,
}

impl Bridge {
    /// Listens on a unix socket.
    pub(crate) fn unix(path: &Path, upstream: Upstream) -> Result<Self, Error> {
        let shown = path.display();
        let listener = UnixListener::bind(path).context(|| format!("cannot listen on {shown}"))?;
        let flow = Arc::new(Flow::default());
        let counted = Arc::clone(&flow);
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let (upstream, flow) = (upstream.clone(), Arc::clone(&counted));
                let near = Stream::Unix(near);
                // A daemon that cannot be reached shows to the client as a closed connection.
                thread::spawn(move || connect(&upstream).map(|far| both_ways(near, far, &flow)));
            }
        });
        let endpoint = format!("unix://{shown}");
        Ok(Self { endpoint, flow })
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn shutdown(&self, how: Shutdown) {
        // One that is closed already is as good.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        };
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

fn connect(upstream: &Upstream) -> io::Result<Stream> {
    match upstream {
        Upstream::Engine(path) => {
            let mut stream = UnixStream::connect(path)?;
            upgrade(&mut stream)?;
            Ok(Stream::Unix(stream))
        }
        Upstream::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path)?)),
        Upstream::Tcp(address) => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
    }
}

/// Makes a connection to an engine one to its BuildKit.
fn upgrade(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(
        b"POST /grpc HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    )?;
    let mut head = Vec::new();
    // Byte by byte, since what follows the head is BuildKit's already.
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
        if head.len() > HEAD {
            return Err(io::Error::other("a head without an end"));
        }
    }
    match head.starts_with(b"HTTP/1.1 101 ") {
        true => Ok(()),
        false => Err(io::Error::other("the engine did not upgrade")),
    }
}

fn both_ways(near: Stream, far: Stream, flow: &Arc<Flow>) {
    let (near, far) = (Arc::new(near), Arc::new(far));
    let back = {
        let (near, far, flow) = (Arc::clone(&near), Arc::clone(&far), Arc::clone(flow));
        thread::spawn(move || one_way(&far, &near, |bytes| flow.down(bytes)))
    };
    one_way(&near, &far, |bytes| flow.up(bytes));
    let _ = back.join();
}

fn one_way(from: &Stream, to: &Stream, count: impl Fn(usize)) {
    match carry(from, to, count) {
        Ok(()) => to.shutdown(Shutdown::Write),
        Err(_) => {
            from.shutdown(Shutdown::Both);
            to.shutdown(Shutdown::Both);
        }
    }
}

fn carry(from: &Stream, to: &Stream, count: impl Fn(usize)) -> nix::Result<()> {
    let (out, into) = io::pipe().map_err(|_| nix::Error::EMFILE)?;
    // A smaller pipe carries as well, in more turns.
    let _ = fcntl(&into, FcntlArg::F_SETPIPE_SZ(1 << 20));
    let flags = SpliceFFlags::SPLICE_F_MOVE;
    loop {
        let mut left = splice(from, None, &into, None, PIPE, flags)?;
        if left == 0 {
            return Ok(());
        }
        count(left);
        while left > 0 {
            left -= splice(&out, None, to, None, left, flags)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine that takes one connection, says this, and then gives back what it hears.
    fn engine(path: &Path, answer: &'static [u8]) {
        let listener = UnixListener::bind(path).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            assert!(head.starts_with(b"POST /grpc HTTP/1.1\r\n"));
            stream.write_all(answer).unwrap();
            let mut back = stream.try_clone().unwrap();
            io::copy(&mut stream, &mut back).unwrap();
        });
    }

    fn check(answer: &'static [u8], sent: &[u8], expect: &[u8]) {
        let work = tempfile::tempdir().unwrap();
        let (near, far) = (work.path().join("near"), work.path().join("far"));
        engine(&far, answer);
        let _bridge = Bridge::unix(&near, Upstream::Engine(far)).unwrap();
        let mut client = UnixStream::connect(&near).unwrap();
        let mut sender = client.try_clone().unwrap();
        let sent = sent.to_vec();
        let sending = thread::spawn(move || {
            // Refused by a bridge that has given up.
            let _ = sender.write_all(&sent);
            let _ = sender.shutdown(Shutdown::Write);
        });
        let mut got = Vec::new();
        let _ = client.read_to_end(&mut got);
        sending.join().unwrap();
        assert!(got == expect, "{} of {} bytes", got.len(), expect.len());
    }

    #[test]
    fn everything_after_the_upgrade_passes_both_ways() {
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let answer = b"HTTP/1.1 101 UPGRADED\r\nUpgrade: h2c\r\n\r\nfirst";
        check(answer, &bytes, &[b"first", &bytes[..]].concat());
    }

    #[test]
    fn an_engine_that_does_not_upgrade_closes_the_connection() {
        check(b"HTTP/1.1 404 Not Found\r\n\r\n", b"hello", b"");
    }

    #[test]
    fn endpoints() {
        let parse = |text: &str| text.parse::<Upstream>().ok();
        assert_eq!(
            parse("docker+unix:///a"),
            Some(Upstream::Engine("/a".into()))
        );
        assert_eq!(parse("unix:///a"), Some(Upstream::Unix("/a".into())));
        assert_eq!(parse("tcp://h:1"), Some(Upstream::Tcp("h:1".into())));
        assert_eq!(parse("ssh://h"), None);
    }
}
