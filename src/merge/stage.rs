//! [`Stage`]: a hidden directory in the destination that trees are received into.
//!
//! Being on the same file system, a tree gets into its place by renaming. Whatever happens, the
//! stage is removed when it is dropped; what a killed process left is removed by the next one.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, flock, mkdirat, openat, renameat, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::entries::{names, open_directory, remove};
use super::error::StageError;
use crate::receive::{FileSink, TreeSink};

/// What the names of stages start with. The rest is the process and a random number, or `new`
/// and a random number until the lock is taken.
pub const PREFIX: &str = ".mbuild-";
/// The file in a stage that is locked while its process lives.
const LOCK: &str = "lock";
/// A stage without a lock may be one that is just being made; after this it is not.
const MAKING: Duration = Duration::from_secs(60);
/// A stream may be writing one last entry while its stage is removed.
const REMOVE_ATTEMPTS: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(25);

/// A place to receive trees for one destination. Everything here blocks on the disk.
#[derive(Debug)]
pub struct Stage {
    // Dropped in this order.
    directory: StageDirectory,
    trees: Mutex<Vec<Arc<TreeSink>>>,
    made: MadeDirectories,
    dest: PathBuf,
}

impl Stage {
    /// Makes a stage in `dest`, and `dest` with the directories above it if need be; those are
    /// removed again unless a merge succeeds. A link to a directory is followed, once, here.
    ///
    /// # Errors
    ///
    /// Fails when `dest` is something else than a directory, or nothing can be made in it.
    pub fn create(dest: &Path) -> Result<Self, StageError> {
        let made = MadeDirectories::make(dest)?;
        let failed = |action| create_error(action, dest);
        let dest = dest.canonicalize().map_err(failed("find"))?;
        let root = File::open(&dest).map_err(failed("open"))?;
        remove_leftovers(root.as_fd());
        let directory = StageDirectory::create(root.into(), &dest)
            .map_err(create_error("create a directory in", &dest))?;
        Ok(Self {
            directory,
            trees: Mutex::default(),
            made,
            dest,
        })
    }

    /// Makes an empty place for one unit's tree; a unit that is tried again needs another one.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn tree(&self) -> Result<Arc<TreeSink>, StageError> {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        let name = trees.len().to_string();
        let path = self.directory.path.join(&name);
        let root = mkdirat(self.directory.fd(), &name, Mode::RWXU)
            .and_then(|()| open_directory(self.directory.fd(), name.as_bytes()));
        let root = root.map_err(|error| create_error("create", &path)(error.into()))?;
        let tree = Arc::new(TreeSink::new(root, path));
        trees.push(Arc::clone(&tree));
        Ok(tree)
    }

    /// Makes an empty file for one unit's result; a unit that is tried again needs another one.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn file(&self) -> Result<Arc<FileSink>, StageError> {
        let name = format!("{:016x}.tar", RandomState::new().build_hasher().finish());
        let path = self.directory.path.join(name);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(create_error("create", &path))?;
        Ok(Arc::new(FileSink::new(file, self.dest.clone())))
    }

    /// The user's directory, without links.
    pub fn dest(&self) -> &Path {
        &self.dest
    }

    pub(super) fn dest_fd(&self) -> BorrowedFd<'_> {
        self.directory.dest.as_fd()
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.directory.fd()
    }

    /// The stage's own directory.
    pub(super) fn path(&self) -> &Path {
        &self.directory.path
    }

    /// The destination stays, even if we made it.
    pub(super) fn keep_dest(&self) {
        self.made.keep.store(true, Ordering::SeqCst);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let trees = self.trees.get_mut().unwrap_or_else(PoisonError::into_inner);
        trees.iter().for_each(|tree| tree.close());
    }
}

/// The stage's own directory; removed when dropped.
#[derive(Debug)]
struct StageDirectory {
    dest: OwnedFd,
    name: String,
    path: PathBuf,
    directory: OwnedFd,
    _lock: File,
}

impl StageDirectory {
    fn create(dest: OwnedFd, dest_path: &Path) -> io::Result<Self> {
        let (new, name) = stage_names();
        mkdirat(&dest, &new, Mode::RWXU)?;
        let made = open_directory(dest.as_fd(), new.as_bytes()).and_then(|directory| {
            let lock = File::from(create_locked(directory.as_fd(), LOCK, 0o600)?);
            // Only now: what bears this name and is not locked belongs to a dead process.
            renameat(&dest, &new, &dest, &name)?;
            Ok((directory, lock))
        });
        match made {
            Ok((directory, lock)) => {
                let path = dest_path.join(&name);
                Ok(Self {
                    dest,
                    name,
                    path,
                    directory,
                    _lock: lock,
                })
            }
            Err(error) => {
                let _ = remove(dest.as_fd(), new.as_bytes());
                Err(error.into())
            }
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for StageDirectory {
    fn drop(&mut self) {
        for _ in 0..REMOVE_ATTEMPTS {
            let removed = remove_contents(self.fd())
                .and_then(|()| remove(self.dest.as_fd(), self.name.as_bytes()));
            match removed {
                Ok(()) => return,
                Err(Errno::NOTEMPTY | Errno::EXIST) => sleep(REMOVE_PAUSE),
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "cannot remove");
                    return;
                }
            }
        }
        tracing::warn!(path = %self.path.display(), "cannot remove: it keeps being written to");
    }
}

/// The lock goes last, so that a removal cut short is still recognised as one.
fn remove_contents(stage: BorrowedFd<'_>) -> Result<(), Errno> {
    let inside = names(stage)?;
    inside
        .iter()
        .filter(|name| *name != LOCK.as_bytes())
        .try_for_each(|name| remove(stage, name))
}

/// The directories that had to be made for a destination; removed when dropped, if empty.
#[derive(Debug)]
struct MadeDirectories {
    /// The outermost first.
    paths: Vec<PathBuf>,
    keep: AtomicBool,
}

impl MadeDirectories {
    fn make(dest: &Path) -> Result<Self, StageError> {
        let mut made = Self {
            paths: Vec::new(),
            keep: AtomicBool::new(false),
        };
        let missing: Vec<&Path> = dest
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
            .collect();
        for path in missing.into_iter().rev() {
            match fs::DirBuilder::new().mode(0o777).create(path) {
                Ok(()) => made.paths.push(path.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                Err(error) => return Err(create_error("create", path)(error)),
            }
        }
        if dest.is_dir() {
            Ok(made)
        } else {
            Err(StageError::NotADirectory(dest.to_owned()))
        }
    }
}

impl Drop for MadeDirectories {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::SeqCst) {
            // One that somebody has put something into stays, and so do those above it.
            let _ = self.paths.iter().rev().try_for_each(fs::remove_dir);
        }
    }
}

/// Removes stages and files whose process is dead. Failures are no concern of this build.
pub(super) fn remove_leftovers(directory: BorrowedFd<'_>) {
    for name in names(directory).unwrap_or_default() {
        if is_stage_name(&name) && remove_leftover(directory, &name).is_ok() {
            tracing::debug!(name = %String::from_utf8_lossy(&name), "removed what a dead process left");
        }
    }
}

fn remove_leftover(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let made = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    let being_made = name.starts_with(b".mbuild-new-")
        && std::time::UNIX_EPOCH
            .elapsed()
            .is_ok_and(|now| now < made + MAKING);
    if being_made {
        return Err(Errno::BUSY);
    }
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let stage = open_directory(parent, name)?;
            match openat(&stage, LOCK, flags, Mode::empty()) {
                Ok(lock) => {
                    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
                    remove_contents(stage.as_fd())?;
                    remove(parent, name)
                }
                // Only if it is empty: without the lock it may be the user's.
                Err(Errno::NOENT) => unlinkat(parent, name, AtFlags::REMOVEDIR),
                Err(error) => Err(error),
            }
        }
        FileType::RegularFile => {
            let file = openat(parent, name, flags, Mode::empty())?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            unlinkat(parent, name, AtFlags::empty())
        }
        _ => Err(Errno::INVAL),
    }
}

/// Whether a name in a destination is a stage's, of any process.
pub fn is_stage_name(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX.as_bytes()) else {
        return false;
    };
    let rest = rest.strip_suffix(b".part").unwrap_or(rest);
    let mut parts = rest.split(|byte| *byte == b'-');
    let (owner, random) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let is_owner = owner == b"new" || (!owner.is_empty() && owner.iter().all(u8::is_ascii_digit));
    let is_random = random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit);
    is_owner && is_random && parts.next().is_none()
}

/// Returns a stage's name while it is made, and the one it has then.
pub(super) fn stage_names() -> (String, String) {
    let random = RandomState::new().build_hasher().finish();
    let process = std::process::id();
    (
        format!("{PREFIX}new-{random:016x}"),
        format!("{PREFIX}{process}-{random:016x}"),
    )
}

/// Creates a file that others find locked while it is open. A file system without locks is
/// fine: nobody can then take the lock of a dead process either, and leftovers stay.
pub(super) fn create_locked(
    directory: BorrowedFd<'_>,
    name: &str,
    mode: u32,
) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::from_raw_mode(mode))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) | Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS) => Ok(file),
        Err(error) => Err(error),
    }
}

pub(super) fn create_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> StageError + use<'a> {
    move |source| StageError::Create {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(path: &Path) -> Vec<String> {
        let names = fs::read_dir(path).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_stage_is_removed_with_what_was_made_for_it() {
        let temp = tempfile::tempdir().unwrap();
        let dest = temp.path().join("a/b");
        let stage = Stage::create(&dest).unwrap();
        let tree = stage.tree().unwrap();
        fs::write(tree.path().join("file"), "x").unwrap();
        assert!(
            listed(&dest)
                .iter()
                .all(|name| is_stage_name(name.as_bytes()))
        );
        drop(stage);
        assert_eq!(listed(temp.path()), [""; 0]);
    }

    #[test]
    fn directories_that_were_there_or_are_used_stay() {
        let temp = tempfile::tempdir().unwrap();
        let stage = Stage::create(temp.path()).unwrap();
        drop(stage);
        assert!(temp.path().exists());
        let stage = Stage::create(&temp.path().join("a/b")).unwrap();
        fs::write(temp.path().join("a/other"), "x").unwrap();
        drop(stage);
        assert_eq!(listed(&temp.path().join("a")), ["other"]);
    }

    #[test]
    fn leftovers_of_the_dead_go_and_of_the_living_stay() {
        let temp = tempfile::tempdir().unwrap();
        let dead = temp.path().join(".mbuild-4194303-0123456789abcdef");
        fs::create_dir_all(dead.join("0/usr")).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(
            temp.path().join(".mbuild-4194303-0123456789abcdef.part"),
            "x",
        )
        .unwrap();
        let making = temp.path().join(".mbuild-new-0123456789abcdef");
        fs::create_dir(&making).unwrap();
        let users = temp.path().join(".mbuild-cache");
        fs::create_dir(&users).unwrap();
        let first = Stage::create(temp.path()).unwrap();
        assert!(!dead.exists());
        let second = Stage::create(temp.path()).unwrap();
        assert_eq!(listed(temp.path()).len(), 4, "{:?}", listed(temp.path()));
        drop((first, second));
        assert_eq!(
            listed(temp.path()),
            [".mbuild-cache", ".mbuild-new-0123456789abcdef"]
        );
    }

    #[test]
    fn only_directories_and_links_to_them_are_destinations() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("file"), "x").unwrap();
        let error = Stage::create(&temp.path().join("file")).unwrap_err();
        assert!(
            error.to_string().ends_with("file is not a directory"),
            "{error}"
        );
        let error = Stage::create(&temp.path().join("file/below")).unwrap_err();
        assert!(error.to_string().starts_with("cannot create"), "{error}");
        fs::create_dir(temp.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", temp.path().join("link")).unwrap();
        let stage = Stage::create(&temp.path().join("link")).unwrap();
        assert!(stage.dest().ends_with("real"));
    }

    #[test]
    fn names_of_stages_are_told_from_the_users() {
        fn check(name: &str, expect: bool) {
            assert_eq!(is_stage_name(name.as_bytes()), expect, "{name}");
        }
        let (new, name) = stage_names();
        check(&new, true);
        check(&name, true);
        check(&(name + ".part"), true);
        check(".mbuild-cache", false);
        check(".mbuild-1-", false);
        check(".mbuild--0123456789abcdef", false);
        check("mbuild-1-0123456789abcdef", false);
    }
}
