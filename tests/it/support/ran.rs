//! The built program at work, and what came of it: [`Running`] and [`Ran`].
//!
//! Every run has a time limit and leaves no temporary file: what breaks that fails the test.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any build here takes; what takes longer hangs.
const LIMIT: Duration = Duration::from_secs(100);

/// A run that goes on; killed when dropped.
pub(crate) struct Running {
    line: String,
    child: Child,
    stdout: Shared,
    stderr: Shared,
    readers: Vec<JoinHandle<()>>,
    start: Instant,
    tmp: PathBuf,
}

impl Running {
    /// Follows a process whose output goes into pipes; `tmp` is where its temporary files are.
    pub(super) fn new(line: String, mut child: Child, tmp: PathBuf) -> Self {
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), &stdout),
            collect(child.stderr.take().unwrap(), &stderr),
        ];
        Self {
            line,
            child,
            stdout,
            stderr,
            readers,
            start: Instant::now(),
            tmp,
        }
    }

    /// Waits until stderr holds `text` as often as that.
    pub(crate) fn until(&mut self, text: &str, times: usize) -> &mut Self {
        while self.so_far().matches(text).count() < times {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || self.start.elapsed() > LIMIT {
                drop(self.child.kill());
                panic!("{}: never said {text:?}:\n{}", self.line, self.so_far());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// Sends it a signal; the time that it takes counts from here.
    pub(crate) fn signal(&mut self, signal: Signal) -> &mut Self {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        self.start_clock()
    }

    /// Lets the time that it takes count from here.
    pub(crate) fn start_clock(&mut self) -> &mut Self {
        self.start = Instant::now();
        self
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Ran {
        let status = self.status();
        let took = self.start.elapsed();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let left: Vec<_> = fs::read_dir(&self.tmp).unwrap().flatten().collect();
        assert!(left.is_empty(), "{}: temporary files: {left:?}", self.line);
        let stdout = std::mem::take(&mut *self.stdout.lock().unwrap());
        let stderr = String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned();
        Ran {
            line: self.line.clone(),
            status,
            stdout,
            stderr,
            took,
        }
    }

    fn status(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if self.start.elapsed() > LIMIT {
                drop(self.child.kill());
                panic!("{}: does not end:\n{}", self.line, self.so_far());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

type Shared = Arc<Mutex<Vec<u8>>>;

fn collect(mut from: impl Read + Send + 'static, into: &Shared) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..read]);
        }
    })
}

/// A run that has ended.
pub(crate) struct Ran {
    line: String,
    status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// Since the start, or what was waited for.
    pub(crate) took: Duration,
}

impl Ran {
    /// It ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            (self.status.code(), self.status.signal()),
            (Some(code), None),
            "mbuild {}: after {:?}\n{}",
            self.line,
            self.took,
            self.stderr
        );
        self
    }

    /// Stderr holds each of these.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            let said = self.stderr.contains(text);
            assert!(
                said,
                "mbuild {}: not said: {text:?}\n{}",
                self.line, self.stderr
            );
        }
        self
    }

    /// Stderr holds none of these.
    #[track_caller]
    pub(crate) fn says_not(self, texts: &[&str]) -> Self {
        for text in texts {
            let said = self.stderr.contains(text);
            assert!(
                !said,
                "mbuild {}: said: {text:?}\n{}",
                self.line, self.stderr
            );
        }
        self
    }

    /// It took no longer than that.
    #[track_caller]
    pub(crate) fn within(self, limit: Duration) -> Self {
        assert!(
            self.took <= limit,
            "mbuild {}: took {:?}\n{}",
            self.line,
            self.took,
            self.stderr
        );
        self
    }

    /// Stdout as text.
    pub(crate) fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Stderr as JSON, line by line; panics on a line that is none.
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line:?}"));
        self.stderr.lines().map(parse).collect()
    }

    /// Nothing went to stdout.
    #[track_caller]
    pub(crate) fn prints_nothing(self) -> Self {
        assert_eq!(self.out(), "", "mbuild {}", self.line);
        self
    }
}
