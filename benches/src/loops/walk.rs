//! Lists a directory of four thousand files: for the first node, and for one more.
//!
//! The files are on a file system in memory where there is one. They are made in mixed order,
//! as a directory of a disk gives them, so that sorting the names costs what it does there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use mbuild_hot::tree::{ContextTree, Filter};
use tempfile::TempDir;

use super::patterns::patterns;
use super::project::{Item, Numbers, project};
use super::{Failure, Work};

/// A file system in memory, on Linux.
const MEMORY: &str = "/dev/shm";

/// Opens the directory and lists it.
pub(super) fn cold() -> Result<Work, Failure> {
    let directory = written()?;
    Ok(Box::new(move || {
        let tree = ContextTree::open(directory.path())?;
        listed(&tree, &Filter::default())
    }))
}

/// Lists what is known of the directory already.
pub(super) fn again() -> Result<Work, Failure> {
    let directory = written()?;
    let tree = ContextTree::open(directory.path())?;
    listed(&tree, &Filter::default())?;
    let filter = Filter {
        exclude: patterns(),
        ..Filter::default()
    };
    Ok(Box::new(move || {
        let _kept = &directory;
        listed(&tree, &filter)
    }))
}

fn listed(tree: &Arc<ContextTree>, filter: &Filter) -> Result<usize, Failure> {
    let mut view = tree.view(filter)?;
    let mut count = 0;
    while let Some(entry) = view.next_entry()? {
        count += usize::from(!entry.path.is_empty());
    }
    Ok(count)
}

fn written() -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("mbuild-loops-");
    let directory = builder.tempdir_in(MEMORY).or_else(|_| builder.tempdir())?;
    let mut items = project();
    Numbers(3).shuffle(&mut items);
    for (number, item) in items.iter().enumerate() {
        write(directory.path(), number, item)?;
    }
    Ok(directory)
}

/// Writes one file; one in fifty is a symlink, and one in fifty has two names.
fn write(root: &Path, number: usize, item: &Item) -> Result<(), Failure> {
    let path = root.join(&item.path);
    if item.directory {
        fs::create_dir_all(&path)?;
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match number % 50 {
        0 => symlink("../somewhere/else", &path)?,
        tail => {
            fs::File::create(&path)?.set_len(item.size)?;
            if tail == 1 {
                fs::hard_link(&path, path.with_extension("link"))?;
            }
        }
    }
    Ok(())
}
