//! [`FileStage`]: where a single output file is received until the build has succeeded.
//!
//! Beside its destination, and renamed. For standard output, and for pipes and devices, it is
//! spooled in the directory for temporary files and copied at the end: streaming would save the
//! space, but a build that fails would leave half an archive in the reader's hands.

use std::fs::{self, File, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, renameat, unlinkat};

use super::error::{MergeError, StageError};
use super::stage::{create_error, create_locked, remove_leftovers, stage_names};
use crate::receive::FileSink;

/// A place to receive one file. Everything here blocks on the disk.
#[derive(Debug)]
pub struct FileStage {
    target: Target,
    /// Where temporary files are made.
    directory: File,
    directory_path: PathBuf,
    attempts: Mutex<Vec<Attempt>>,
}

#[derive(Debug)]
enum Target {
    /// A regular file or nothing: replaced by renaming. The permissions are those to keep.
    Replace(PathBuf, Option<Permissions>),
    /// Something that cannot be replaced, such as a pipe.
    Into(PathBuf),
    Stdout,
}

/// A temporary file; removed with the stage.
#[derive(Debug)]
struct Attempt {
    name: String,
    sink: Arc<FileSink>,
}

impl FileStage {
    /// Prepares for a file at `dest`, or for standard output when it is `None`, which is spooled
    /// in `temp`. Links are followed, once; directories above are made.
    ///
    /// # Errors
    ///
    /// Fails when `dest` is a directory, or its own directory cannot be made or opened.
    pub fn create(dest: Option<&Path>, temp: &Path) -> Result<Self, StageError> {
        let target = dest.map_or(Ok(Target::Stdout), Target::find)?;
        let directory_path = match &target {
            Target::Replace(path, _) => {
                let parent = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                parent.unwrap_or(Path::new(".")).to_owned()
            }
            Target::Into(_) | Target::Stdout => temp.to_owned(),
        };
        fs::create_dir_all(&directory_path).map_err(create_error("create", &directory_path))?;
        let directory =
            File::open(&directory_path).map_err(create_error("open", &directory_path))?;
        remove_leftovers(directory.as_fd());
        Ok(Self {
            target,
            directory,
            directory_path,
            attempts: Mutex::default(),
        })
    }

    /// Makes an empty file to receive into. A unit that is tried again needs another one, and
    /// the last one counts.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn attempt(&self) -> Result<Arc<FileSink>, StageError> {
        let (new, name) = stage_names();
        let (new, name) = (new + ".part", name + ".part");
        let path = self.directory_path.join(&name);
        let directory = self.directory.as_fd();
        let mode = match self.target {
            Target::Replace(..) => 0o666,
            // In a directory that all users share.
            Target::Into(_) | Target::Stdout => 0o600,
        };
        let file = create_locked(directory, &new, mode)
            .and_then(|file| renameat(directory, &new, directory, &name).map(|()| file))
            .map_err(|error| create_error("create", &path)(error.into()))?;
        let sink = Arc::new(FileSink::new(file.into(), self.name()));
        let attempt = Attempt {
            name,
            sink: Arc::clone(&sink),
        };
        self.attempts().push(attempt);
        Ok(sink)
    }

    /// Checks that the file was received to its end.
    ///
    /// # Errors
    ///
    /// Fails when it was not.
    pub fn check(&self) -> Result<(), MergeError> {
        match self.attempts().last() {
            Some(attempt) if attempt.sink.is_complete() => Ok(()),
            _ => Err(self.incomplete()),
        }
    }

    /// The file that counts, where it is needed before it is put into place, or instead.
    ///
    /// # Errors
    ///
    /// Fails when it was not received to its end.
    pub fn complete(&self) -> Result<Arc<FileSink>, MergeError> {
        self.check()?;
        let attempts = self.attempts();
        let last = attempts.last().map(|attempt| Arc::clone(&attempt.sink));
        last.ok_or_else(|| self.incomplete())
    }

    /// Puts the file into place, or copies it to `stdout` if that is where it goes.
    ///
    /// # Errors
    ///
    /// Fails, without touching the destination, when the file was not received to its end; and
    /// when it cannot be put into place.
    pub fn commit(self, stdout: &mut dyn Write) -> Result<(), MergeError> {
        let Some(attempt) = self.attempts().pop() else {
            return Err(self.incomplete());
        };
        let committed = if attempt.sink.is_complete() {
            self.place(&attempt, stdout)
                .map_err(|source| MergeError::File {
                    path: self.name(),
                    source,
                })
        } else {
            Err(self.incomplete())
        };
        // Fails after a renaming, which is right.
        let _ = unlinkat(&self.directory, &attempt.name, AtFlags::empty());
        committed
    }

    fn place(&self, attempt: &Attempt, stdout: &mut dyn Write) -> io::Result<()> {
        match &self.target {
            Target::Replace(path, permissions) => {
                if let Some(permissions) = permissions {
                    attempt.sink.file().set_permissions(permissions.clone())?;
                }
                fs::rename(self.directory_path.join(&attempt.name), path)?;
                // Only makes it certain to survive a power cut; the file itself is synced.
                let _ = self.directory.sync_all();
                Ok(())
            }
            Target::Into(path) => copy(
                attempt.sink.file(),
                &mut File::options().write(true).open(path)?,
            ),
            Target::Stdout => copy(attempt.sink.file(), stdout),
        }
    }

    fn incomplete(&self) -> MergeError {
        MergeError::Incomplete {
            platform: self.name().display().to_string(),
        }
    }

    /// What the file is called in messages.
    fn name(&self) -> PathBuf {
        match &self.target {
            Target::Replace(path, _) | Target::Into(path) => path.clone(),
            Target::Stdout => PathBuf::from("standard output"),
        }
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Vec<Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FileStage {
    fn drop(&mut self) {
        for attempt in self.attempts().drain(..) {
            let _ = unlinkat(&self.directory, &attempt.name, AtFlags::empty());
        }
    }
}

impl Target {
    fn find(dest: &Path) -> Result<Self, StageError> {
        let metadata = match fs::metadata(dest) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Target::Replace(dest.to_owned(), None));
            }
            Err(error) => return Err(create_error("open", dest)(error)),
        };
        if metadata.is_dir() {
            return Err(StageError::IsADirectory(dest.to_owned()));
        }
        if !metadata.is_file() {
            return Ok(Target::Into(dest.to_owned()));
        }
        let path = dest.canonicalize().map_err(create_error("find", dest))?;
        let permissions = Permissions::from_mode(metadata.permissions().mode() & 0o777);
        Ok(Target::Replace(path, Some(permissions)))
    }
}

fn copy(mut from: &File, to: &mut dyn Write) -> io::Result<()> {
    from.rewind()?;
    io::copy(&mut from, to)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(stage: &FileStage, bytes: &[u8]) {
        let sink = stage.attempt().unwrap();
        assert!(sink.take() && !sink.take());
        sink.append(&[bytes]).unwrap();
        sink.finish().unwrap();
    }

    fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(path).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read(path).unwrap(),
            )
        });
        entries.collect()
    }

    #[test]
    fn a_complete_file_replaces_the_old_one_and_keeps_its_mode() {
        let temp = tempfile::tempdir().unwrap();
        let dest = temp.path().join("out.tar");
        fs::write(&dest, "old").unwrap();
        fs::set_permissions(&dest, Permissions::from_mode(0o600)).unwrap();
        let stage = FileStage::create(Some(&dest), Path::new("/nowhere")).unwrap();
        receive(&stage, b"first try");
        receive(&stage, b"new");
        assert_eq!(fs::read(&dest).unwrap(), b"old");
        stage.commit(&mut io::sink()).unwrap();
        assert_eq!(
            files(temp.path()),
            [("out.tar".to_owned(), b"new".to_vec())]
        );
        assert_eq!(
            fs::metadata(&dest).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn an_incomplete_file_leaves_the_old_one_and_no_trace() {
        let temp = tempfile::tempdir().unwrap();
        let dest = temp.path().join("out.tar");
        fs::write(&dest, "old").unwrap();
        for committed in [true, false] {
            let stage = FileStage::create(Some(&dest), temp.path()).unwrap();
            stage.attempt().unwrap().append(&[b"ne"]).unwrap();
            if committed {
                let error = stage.commit(&mut io::sink()).unwrap_err();
                assert!(
                    error
                        .to_string()
                        .ends_with("out.tar was not received to its end")
                );
            }
        }
        assert_eq!(
            files(temp.path()),
            [("out.tar".to_owned(), b"old".to_vec())]
        );
    }

    #[test]
    fn links_and_devices_are_written_through_by_the_users_choice() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("d")).unwrap();
        fs::write(temp.path().join("d/real"), "old").unwrap();
        let link = temp.path().join("link");
        std::os::unix::fs::symlink("d/real", &link).unwrap();
        let stage = FileStage::create(Some(&link), temp.path()).unwrap();
        receive(&stage, b"new");
        stage.commit(&mut io::sink()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            files(&temp.path().join("d")),
            [("real".to_owned(), b"new".to_vec())]
        );
        let stage = FileStage::create(Some(Path::new("/dev/null")), temp.path()).unwrap();
        receive(&stage, b"new");
        stage.commit(&mut io::sink()).unwrap();
    }

    #[test]
    fn standard_output_gets_only_a_complete_file() {
        let temp = tempfile::tempdir().unwrap();
        let mut stdout = Vec::new();
        let stage = FileStage::create(None, temp.path()).unwrap();
        stage.attempt().unwrap().append(&[b"half"]).unwrap();
        stage.commit(&mut stdout).unwrap_err();
        assert_eq!(stdout, b"");
        let stage = FileStage::create(None, temp.path()).unwrap();
        receive(&stage, b"whole");
        stage.commit(&mut stdout).unwrap();
        assert_eq!(stdout, b"whole");
        assert_eq!(files(temp.path()), []);
    }

    #[test]
    fn directories_are_no_destination_and_missing_ones_are_made() {
        let temp = tempfile::tempdir().unwrap();
        let error = FileStage::create(Some(temp.path()), temp.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("is a directory, and the output is one file")
        );
        let dest = temp.path().join("a/b/out.tar");
        let stage = FileStage::create(Some(&dest), temp.path()).unwrap();
        receive(&stage, b"x");
        stage.commit(&mut io::sink()).unwrap();
        assert_eq!(fs::read(dest).unwrap(), b"x");
    }
}
