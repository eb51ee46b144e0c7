//! The contexts that are built: [`Contexts`] makes them once and changes them between runs.
//!
//! Their bytes come from a generator with a fixed seed: equal everywhere, and nothing that a
//! transfer could make smaller.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Context as _, Error};

/// How many files a directory has.
const PER_DIRECTORY: usize = 100;
/// With 30,000 files these are 125 MB.
const FILE: usize = 4200;
/// What the files have whose number matters and not their size.
const TINY: usize = 16;

/// Which context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// A base image, one file and one step.
    Steps,
    /// One file on no base, for any platform.
    Single,
    /// Many files.
    Files,
    /// One large file.
    Large,
    /// Very many files, all but empty.
    Many,
}

/// What is done to a context before each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing: daemons have it already.
    Nothing,
    /// Every file gets a new time, so that all of it is sent again.
    Renewed,
    /// One file grows.
    One,
}

/// How large they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) files: usize,
    pub(crate) many: usize,
    /// Bytes of the large file.
    pub(crate) large: usize,
}

impl Sizes {
    /// What the goals are about.
    pub(crate) const WHOLE: Self = Self {
        files: 30_000,
        many: 300_000,
        large: 1 << 30,
    };
    /// A tenth of it.
    pub(crate) const SMALL: Self = Self {
        files: 3_000,
        many: 30_000,
        large: 100 << 20,
    };

    /// How many files a context has, but for its Dockerfile.
    pub(crate) fn files_of(&self, context: Context) -> usize {
        match context {
            Context::Steps | Context::Single | Context::Large => 1,
            Context::Files => self.files,
            Context::Many => self.many,
        }
    }
}

/// The contexts of one run, each made when it is first asked for.
#[derive(Debug)]
pub(crate) struct Contexts {
    pub(crate) root: PathBuf,
    pub(crate) sizes: Sizes,
    /// The image that [`Context::Steps`] is built on.
    pub(crate) base: String,
}

impl Contexts {
    /// The directory of a context.
    pub(crate) fn directory(&self, context: Context) -> Result<PathBuf, Error> {
        let directory = self.root.join(format!("{context:?}").to_lowercase());
        if !directory.exists() {
            self.make(context, &directory)
                .context(|| format!("cannot make {}", directory.display()))?;
        }
        Ok(directory)
    }

    /// Changes it before a run.
    pub(crate) fn change(&self, context: Context, change: Change) -> Result<(), Error> {
        let directory = self.directory(context)?;
        match change {
            Change::Nothing => Ok(()),
            Change::Renewed => renew(&directory, SystemTime::now()),
            Change::One => grow(&directory.join("d0000/f000000")),
        }
        .context(|| format!("cannot change {}", directory.display()))
    }

    fn make(&self, context: Context, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        match context {
            Context::Steps | Context::Single => fs::write(directory.join("file"), "a\n")?,
            Context::Files => many(directory, self.sizes.files, FILE, &mut noise)?,
            Context::Many => many(directory, self.sizes.many, TINY, &mut noise)?,
            Context::Large => large(&directory.join("data"), self.sizes.large, &mut noise)?,
        }
        let dockerfile = match context {
            Context::Steps => format!("FROM {}\nCOPY file /file\nRUN echo 1\n", self.base),
            _ => "FROM scratch\nCOPY . /\n".to_owned(),
        };
        fs::write(directory.join("Dockerfile"), dockerfile)
    }
}

/// An xorshift generator: fast, and the same everywhere.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
    }
}

fn many(directory: &Path, count: usize, size: usize, noise: &mut Noise) -> io::Result<()> {
    let mut bytes = vec![0; size];
    for at in 0..count {
        let below = directory.join(format!("d{:04}", at / PER_DIRECTORY));
        if at % PER_DIRECTORY == 0 {
            fs::create_dir(&below)?;
        }
        noise.fill(&mut bytes);
        fs::write(below.join(format!("f{at:06}")), &bytes)?;
    }
    Ok(())
}

fn large(path: &Path, size: usize, noise: &mut Noise) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut bytes = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        let now = left.min(bytes.len());
        noise.fill(&mut bytes[..now]);
        file.write_all(&bytes[..now])?;
        left -= now;
    }
    file.flush()
}

fn renew(directory: &Path, now: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            renew(&entry.path(), now)?;
        } else if entry.file_name() != "Dockerfile" {
            let file = File::options().append(true).open(entry.path())?;
            file.set_modified(now)?;
        }
    }
    Ok(())
}

fn grow(path: &Path) -> io::Result<()> {
    File::options().append(true).open(path)?.write_all(b"x")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts(root: &Path) -> Contexts {
        Contexts {
            root: root.into(),
            sizes: Sizes {
                files: 201,
                many: 3,
                large: (1 << 20) + 5,
            },
            base: "base:latest".into(),
        }
    }

    #[test]
    fn a_context_has_what_its_size_says() {
        let root = tempfile::tempdir().unwrap();
        let contexts = contexts(root.path());
        let files = contexts.directory(Context::Files).unwrap();
        let last = fs::read(files.join("d0002/f000200")).unwrap();
        assert_eq!(last.len(), FILE);
        assert!(!last.ends_with(&[0; 8]));
        let large = contexts.directory(Context::Large).unwrap();
        assert_eq!(
            fs::metadata(large.join("data")).unwrap().len(),
            (1 << 20) + 5
        );
        assert_eq!(contexts.sizes.files_of(Context::Many), 3);
    }

    #[test]
    fn changes_show_in_what_a_daemon_compares() {
        let root = tempfile::tempdir().unwrap();
        let contexts = contexts(root.path());
        let file = contexts
            .directory(Context::Files)
            .unwrap()
            .join("d0000/f000000");
        let look = || fs::metadata(&file).unwrap();
        let before = look();
        contexts.change(Context::Files, Change::Nothing).unwrap();
        assert_eq!(look().modified().unwrap(), before.modified().unwrap());
        contexts.change(Context::Files, Change::One).unwrap();
        assert_eq!(look().len(), before.len() + 1);
        let grown = look().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(10));
        contexts.change(Context::Files, Change::Renewed).unwrap();
        assert!(look().modified().unwrap() > grown);
    }
}
