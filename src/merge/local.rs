//! Moves the trees of all platforms into the user's directory: [`check`], [`Checked::commit`].
//!
//! First everything is checked, then entries are renamed, then directories get their modes and
//! times. Nothing is sent to a daemon: `mode=delete` is done here, where all platforms are known.

use std::sync::Arc;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Mode, OFlags, unlinkat};

use super::collide::{Side, common};
use super::error::MergeError;
use super::place::{Failure, Mover};
use super::split;
use super::stage::Stage;
use crate::platform::Platform;
use crate::receive::{Directory, TreeSink, TreeState, open_beneath, set_directory, shown};

/// What a unit received.
#[derive(Debug, Clone)]
pub struct PlatformTree {
    /// What its daemon built; several for a daemon that is asked for all its platforms at once.
    pub platforms: Vec<Platform>,
    /// The tree, of this stage.
    pub tree: Arc<TreeSink>,
}

/// Where each platform's files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Into a directory of its own. Newer daemons have put it into the paths.
    Split,
    /// All into one tree.
    Joined,
}

/// What becomes of files that no platform sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They stay.
    Keep,
    /// They go: from the directories of the platforms that were built, or, when the platforms
    /// are joined, from the whole destination.
    Delete,
}

/// What a merge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergeReport {
    /// Entries renamed into place; a directory that is new counts as one.
    pub moved: u64,
    /// What the user should know: files that could not be made, such as devices.
    pub warnings: Vec<String>,
}

/// Trees that can be moved into the destination, as far as can be known.
#[derive(Debug)]
pub struct Checked {
    trees: Vec<PlatformTree>,
    layout: Layout,
    others: Others,
    directories: Vec<Vec<Directory>>,
}

/// Checks received trees of this stage and makes them ready to be moved; the destination is not
/// looked at. Blocks.
///
/// # Errors
///
/// Fails when a tree is incomplete, when a daemon of several platforms sent something beside
/// their directories, when joined platforms disagree on a path, or when the disk fails.
pub fn check(
    stage: &Stage,
    trees: Vec<PlatformTree>,
    layout: Layout,
    others: Others,
) -> Result<Checked, MergeError> {
    let labels: Vec<String> = trees.iter().map(PlatformTree::label).collect();
    for (tree, label) in trees.iter().zip(&labels) {
        if tree.tree.state() != TreeState::Complete {
            return Err(MergeError::Incomplete {
                platform: label.clone(),
            });
        }
    }
    let mut directories: Vec<Vec<Directory>> =
        trees.iter().map(|tree| tree.tree.directories()).collect();
    if layout == Layout::Split {
        for ((tree, label), directories) in trees.iter().zip(&labels).zip(&mut directories) {
            split::prepare(stage, tree, label, directories)?;
        }
    }
    drop_common(&trees, &labels, &directories)?;
    Ok(Checked {
        trees,
        layout,
        others,
        directories,
    })
}

impl Checked {
    /// Moves the trees into the destination of the stage they were checked with. Blocks.
    ///
    /// # Errors
    ///
    /// Fails when an entry cannot be moved, and says what is in place; what was set aside is put
    /// back as far as possible.
    pub fn commit(self, stage: &Stage) -> Result<MergeReport, MergeError> {
        let mut mover = Mover::new(stage);
        if let Err(failure) = move_all(&mut mover, &self.trees, self.layout, self.others) {
            if mover.moved.count > 0 {
                stage.keep_dest();
            }
            return Err(mover.undo(failure));
        }
        stage.keep_dest();
        finish_directories(stage, self.directories)?;
        let warnings = self.trees.iter().flat_map(|tree| tree.tree.warnings());
        Ok(MergeReport {
            moved: mover.moved.count,
            warnings: warnings.collect(),
        })
    }
}

/// Does [`check`] and [`Checked::commit`]: for one output alone. Blocks.
///
/// # Errors
///
/// Fails as they do; before anything is touched when the trees are at fault.
pub fn merge_trees(
    stage: &Stage,
    trees: &[PlatformTree],
    layout: Layout,
    others: Others,
) -> Result<MergeReport, MergeError> {
    check(stage, trees.to_vec(), layout, others)?.commit(stage)
}

impl PlatformTree {
    fn label(&self) -> String {
        let platforms: Vec<String> = self.platforms.iter().map(Platform::to_string).collect();
        platforms.join(", ")
    }

    /// Names the directories that a split tree consists of.
    pub(super) fn directory_names(&self) -> impl Iterator<Item = String> {
        self.platforms
            .iter()
            .map(|platform| platform.normalized().local_dir_name())
    }
}

/// Compares each tree with those before it; of what is the same, the first one's is kept.
fn drop_common(
    trees: &[PlatformTree],
    labels: &[String],
    directories: &[Vec<Directory>],
) -> Result<(), MergeError> {
    let sides: Vec<Side<'_>> = trees
        .iter()
        .zip(labels)
        .zip(directories)
        .map(|((tree, label), directories)| Side::new(label, &tree.tree, directories))
        .collect();
    let mut same = Vec::new();
    for (position, second) in sides.iter().enumerate() {
        for first in &sides[..position] {
            same.extend(
                common(first, second)?
                    .into_iter()
                    .map(|path| (position, path)),
            );
        }
    }
    // A path of three platforms is here twice.
    same.sort_unstable();
    same.dedup();
    for (position, path) in same {
        let compare = |error: rustix::io::Errno| MergeError::Compare {
            path: shown(&path),
            source: error.into(),
        };
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let (above, name) =
            slash.map_or((&b""[..], &path[..]), |at| (&path[..at], &path[at + 1..]));
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent = open_beneath(trees[position].tree.root(), above, flags, Mode::empty());
        unlinkat(parent.map_err(compare)?.as_fd(), name, AtFlags::empty()).map_err(compare)?;
    }
    Ok(())
}

fn move_all(
    mover: &mut Mover<'_>,
    trees: &[PlatformTree],
    layout: Layout,
    others: Others,
) -> Result<(), Failure> {
    match (others, layout) {
        (Others::Keep, _) => {}
        (Others::Delete, Layout::Joined) => mover.clear_all()?,
        (Others::Delete, Layout::Split) => {
            for directory in trees.iter().flat_map(PlatformTree::directory_names) {
                mover.clear(directory.as_bytes())?;
            }
        }
    }
    trees
        .iter()
        .try_for_each(|tree| mover.tree(tree.tree.root()))
}

/// Gives directories their modes and times, the innermost first: what is changed in a directory
/// changes its time, and its mode may forbid changes. Of a shared one, the first tree's count.
fn finish_directories(stage: &Stage, trees: Vec<Vec<Directory>>) -> Result<(), MergeError> {
    let mut all: Vec<Directory> = trees.into_iter().flatten().collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all.dedup_by(|later, earlier| later.path == earlier.path);
    let set = |directory: &Directory| set_directory(stage.dest_fd(), directory);
    all.iter()
        .rev()
        .try_for_each(set)
        .map_err(MergeError::Attributes)
}
