//! What a tree promises, tried on real directories.

mod entries;
mod faults;
mod following;
mod naive;
mod scale;
mod sharing;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{ContextTree, Filter, Handle, Stat, TreeError};

/// A temporary directory with the files named, parents included; a final slash makes a
/// directory.
fn directory(paths: &[&str]) -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    for path in paths {
        create(temp.path(), path);
    }
    temp
}

fn create(root: &Path, path: &str) {
    let full = root.join(path);
    let dir = if path.ends_with('/') {
        Some(full.as_path())
    } else {
        full.parent()
    };
    fs::create_dir_all(dir.unwrap()).unwrap();
    if !path.ends_with('/') {
        fs::write(&full, path).unwrap();
    }
}

fn open(temp: &TempDir) -> Arc<ContextTree> {
    ContextTree::open(temp.path()).unwrap()
}

fn list(text: &[&str]) -> Vec<Vec<u8>> {
    text.iter().map(|item| item.as_bytes().to_vec()).collect()
}

fn excluding(patterns: &[&str]) -> Filter {
    Filter {
        exclude: list(patterns),
        ..Filter::default()
    }
}

fn following(paths: &[&str]) -> Filter {
    Filter {
        follow: list(paths),
        ..Filter::default()
    }
}

/// All entries of a view.
fn entries(
    tree: &Arc<ContextTree>,
    filter: &Filter,
) -> Result<Vec<(Vec<u8>, Handle, Stat)>, TreeError> {
    let mut view = tree.view(filter)?;
    let mut found = Vec::new();
    while let Some(entry) = view.next_entry()? {
        found.push((entry.path.to_vec(), entry.handle, entry.stat));
    }
    Ok(found)
}

/// The paths of a view.
fn paths(tree: &Arc<ContextTree>, filter: &Filter) -> Vec<String> {
    let found = entries(tree, filter).unwrap();
    found
        .into_iter()
        .map(|(path, ..)| String::from_utf8(path).unwrap())
        .collect()
}

/// The only entry with this path.
fn stat_of(tree: &Arc<ContextTree>, path: &str) -> Stat {
    let found = entries(tree, &Filter::default()).unwrap();
    let mut matching = found
        .into_iter()
        .filter(|(found, ..)| found == path.as_bytes());
    matching.next().unwrap().2
}
