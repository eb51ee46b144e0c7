//! A running program as a byte stream: [`CommandStream`].
//!
//! Its stdin and stdout are the stream; the end of its stderr is the error that ends it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

/// How much of a program's stderr is kept: its last lines.
const STDERR_TAIL: usize = 4 * 1024;
/// How long a program may take to exit after it closed its stdout.
const EXIT_DEADLINE: Duration = Duration::from_secs(2);
/// How long stderr is read on after the exit; a helper of ssh may hold it open for ever.
const STDERR_DEADLINE: Duration = Duration::from_millis(300);
type Exit = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// The pipes of a running program as one stream; dropping it kills the program.
pub(super) struct CommandStream {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// What is left to do once stdout has ended; `None` after that.
    exit: Option<Exit>,
}

impl CommandStream {
    pub(super) fn new(program: String, mut child: Child) -> io::Result<Self> {
        let missing = || io::Error::other("its pipes are missing");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = Tail::of(child.stderr.take().ok_or_else(missing)?);
        Ok(Self {
            stdin,
            stdout,
            exit: Some(Box::pin(exit(program, child, stderr))),
        })
    }
}

/// Waits for the end of a program and says how it failed, if it did.
async fn exit(program: String, mut child: Child, stderr: Tail) -> io::Result<()> {
    let status = match tokio::time::timeout(EXIT_DEADLINE, child.wait()).await {
        Ok(status) => status?,
        // It closed its end and lives on; that is an end of the stream all the same.
        Err(_) => return Ok(()),
    };
    let said = stderr.text().await;
    if status.success() {
        return Ok(());
    }
    let how = match status.code() {
        Some(code) => format!("`{program}` ended with exit code {code}"),
        None => format!("`{program}` was killed ({status})"),
    };
    Err(io::Error::other(if said.is_empty() {
        how
    } else {
        format!("{how}: {said}")
    }))
}

impl AsyncRead for CommandStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stdout).poll_read(cx, buf))?;
        if buf.filled().len() > before || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let Some(exit) = &mut self.exit else {
            return Poll::Ready(Ok(()));
        };
        let outcome = ready!(exit.as_mut().poll(cx));
        self.exit = None;
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for CommandStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = match &mut self.stdin {
            Some(stdin) => ready!(Pin::new(stdin).poll_write(cx, buf)),
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        // The program is gone: why is worth more than that the pipe is broken.
        if let (Err(_), Some(exit)) = (&outcome, &mut self.exit) {
            let reason = ready!(exit.as_mut().poll(cx));
            self.exit = None;
            reason?;
        }
        Poll::Ready(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Closes stdin, which `dial-stdio` passes on as a half-close.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

/// The last bytes of a program's stderr, read as they come.
struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    reader: JoinHandle<()>,
}

impl Tail {
    fn of(mut stderr: ChildStderr) -> Self {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let sink = Arc::clone(&kept);
        let reader = tokio::spawn(async move {
            let mut chunk = [0; 1024];
            while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                sink.extend(&chunk[..count]);
                let excess = sink.len().saturating_sub(STDERR_TAIL);
                sink.drain(..excess);
            }
        });
        Self { kept, reader }
    }

    /// What was said, on one line, once the program is gone.
    async fn text(mut self) -> String {
        let _ = tokio::time::timeout(STDERR_DEADLINE, &mut self.reader).await;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(kept.make_contiguous()).into_owned();
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        lines.join("; ")
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
