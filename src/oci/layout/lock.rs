//! [`IndexLock`]: the lock on `index.json` that buildx and buildctl take as well.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::LayoutError;

/// The file that is locked; the Go client's name for it.
const LOCK_FILE: &str = "index.json.lock";
/// How long another program may take: it only reads and writes one small file.
const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps others from changing an `index.json` until it is dropped.
pub(super) struct IndexLock {
    path: PathBuf,
    _file: File,
}

impl IndexLock {
    /// Waits for the lock.
    pub(super) fn take(dir: &Path) -> Result<Self, LayoutError> {
        let path = dir.join(LOCK_FILE);
        let deadline = Instant::now() + LIMIT;
        loop {
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(LayoutError::io("lock", &path))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Who had it before may have removed the file that we opened.
                Ok(()) if is_at(&file, &path) => return Ok(Self { path, _file: file }),
                Ok(()) => continue,
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => sleep(PAUSE),
                Err(Errno::WOULDBLOCK) => return Err(LayoutError::Locked(path)),
                // A file system without locks: then nobody else locks there either.
                Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS) => {
                    return Ok(Self { path, _file: file });
                }
                Err(error) => return Err(LayoutError::io("lock", &path)(error.into())),
            }
        }
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        // While it is held, so that nobody can have locked this file since.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (ours, theirs) = (file.metadata().map(id), fs::metadata(path).map(id));
    matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
}
