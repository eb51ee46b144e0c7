//! Hears that the user or the system wants the program to end: [`watch`] gives one token that
//! every phase of a build looks at.
//!
//! Once it watches, a signal ends nothing by itself; so reading stdin, too, has to look.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How often a reader of stdin that waits for more looks at the token.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Gives a token that is cancelled at the first signal to end.
pub(in crate::cli) fn watch() -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let token = CancellationToken::new();
    let heard = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        heard.cancel();
    });
    Ok(token)
}

/// Stdin, which ends with an error when the token is cancelled.
pub(in crate::cli) struct Stdin {
    file: File,
    interrupt: CancellationToken,
}

impl Stdin {
    /// Opens stdin once more, without a buffer: what is ready is what the system says.
    pub(in crate::cli) fn open(interrupt: &CancellationToken) -> io::Result<Self> {
        Ok(Self {
            file: File::from(io::stdin().as_fd().try_clone_to_owned()?),
            interrupt: interrupt.clone(),
        })
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.interrupt.is_cancelled() {
                return Err(io::Error::other("interrupted"));
            }
            let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut fds, Some(&TICK)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return self.file.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
