//! Reads a file that ought to be small, such as a key: [`read`], which neither trusts its size
//! nor waits for ever.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

/// How long it may take. A shell's `<(command)` is a pipe that the command writes to, which may
/// first have to fetch what it prints.
const LIMIT: Duration = Duration::from_secs(60);

/// Reads a file or a pipe to its end; `None` if it is larger than `limit` bytes, of which no
/// more than one is read.
pub(super) async fn read(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    read_within(LIMIT, path, limit).await
}

async fn read_within(time: Duration, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let owned = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let mut file = File::open(owned)?.take(limit as u64 + 1);
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let bytes = match timeout(time, reading).await {
        Ok(read) => read.map_err(io::Error::other).flatten()?,
        Err(_) => {
            let problem = format!("no end of it in {} s", time.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
        }
    };
    Ok(Some(bytes).filter(|bytes| bytes.len() <= limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_up_to_the_limit_and_not_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(read(&path, 3).await.unwrap(), Some(b"abc".to_vec()));
        assert_eq!(read(&path, 2).await.unwrap(), None);
        assert_eq!(read(Path::new("/dev/zero"), 1000).await.unwrap(), None);
        let missing = read(&dir.path().join("none"), 3).await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_pipe_that_nobody_writes_to_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let time = Duration::from_millis(20);
        let error = read_within(time, &path, 3).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // Lets the thread that reads it end.
        drop(File::options().write(true).open(&path).unwrap());
    }
}
