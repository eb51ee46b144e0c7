//! One transfer's listing of a tree: what a filter lets through, in wire order.
//!
//! Depth first, each directory followed by what it contains, names in byte order. A
//! directory that is not selected itself appears when something in it does.

use std::collections::HashMap;
use std::sync::Arc;

use rustix::io::Errno;

use super::error::TreeError;
use super::follow::with_followed;
use super::listing::{Handle, Listing};
use super::selection::{Filter, Inherited, Selection};
use super::snapshot::{ContextTree, Nearest};
use super::stat::Stat;

/// One entry to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Relative to the root, with slashes.
    pub path: &'a [u8],
    /// What to remember to open it later with [`ContextTree::open_file`].
    pub handle: Handle,
    /// What is told of it.
    pub stat: Stat,
}

/// Lists entries one by one, reading directories as it comes to them.
#[derive(Debug)]
pub struct View {
    tree: Arc<ContextTree>,
    selection: Selection,
    /// The directories from the root down to where the walk is.
    frames: Vec<Frame>,
    /// How many of the frames have been returned; always the outermost ones.
    returned: usize,
    nearest: Nearest,
    /// The path of the entry looked at last.
    path: Vec<u8>,
    /// All frames are to be returned, then this entry of the last one.
    due: Option<Due>,
    /// The first name returned of each file that has several.
    first_names: HashMap<(u64, u64), Handle>,
}

#[derive(Debug, Clone, Copy)]
enum Due {
    Directories,
    Leaf(usize),
}

#[derive(Debug)]
struct Frame {
    /// The index of its entry in the listing of the frame above.
    index: usize,
    path_len: usize,
    /// Read when the walk goes on after the directory has been returned.
    listing: Option<Arc<Listing>>,
    next: usize,
    selected: bool,
    inherited: Inherited,
}

impl View {
    pub(super) fn new(tree: Arc<ContextTree>, filter: &Filter) -> Result<Self, TreeError> {
        let include = with_followed(&tree, &filter.include, &filter.follow)?;
        let selection = Selection::new(&include, &filter.exclude)?;
        let root = Frame {
            index: 0,
            path_len: 0,
            listing: None,
            next: 0,
            selected: true,
            inherited: Inherited::default(),
        };
        Ok(Self {
            tree,
            selection,
            frames: vec![root],
            // The root itself is never sent.
            returned: 1,
            nearest: None,
            path: Vec::new(),
            due: None,
            first_names: HashMap::new(),
        })
    }

    /// The tree that is listed.
    pub fn tree(&self) -> &Arc<ContextTree> {
        &self.tree
    }

    /// Returns the next entry, `None` after the last one.
    ///
    /// Fails if something that is to be sent cannot be read; what is left out may be
    /// unreadable.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, TreeError> {
        loop {
            if let Some(due) = self.due {
                if self.returned < self.frames.len() {
                    let depth = self.returned;
                    self.returned += 1;
                    return self.directory(depth).map(Some);
                }
                self.due = None;
                if let Due::Leaf(index) = due {
                    let last = self.frames.len() - 1;
                    return self.entry(last, index, self.path.len()).map(Some);
                }
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Looks at one more entry or leaves a directory; false at the end.
    fn advance(&mut self) -> Result<bool, TreeError> {
        let Some(listing) = self.last_listing()? else {
            return Ok(!self.frames.is_empty());
        };
        let Some(frame) = self.frames.last_mut() else {
            return Ok(false);
        };
        let index = frame.next;
        self.path.truncate(frame.path_len);
        if index == listing.len() {
            self.leave();
            return Ok(true);
        }
        frame.next += 1;
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(listing.name(index));
        let verdict = self.selection.judge(&self.path, &frame.inherited);
        if !listing.is_dir(index) {
            self.due = verdict.selected.then_some(Due::Leaf(index));
        } else if verdict.descend {
            self.due = verdict.selected.then_some(Due::Directories);
            self.frames.push(Frame {
                index,
                path_len: self.path.len(),
                listing: None,
                next: 0,
                selected: verdict.selected,
                inherited: verdict.inherited,
            });
        }
        Ok(true)
    }

    /// Returns the listing of the innermost directory, leaving it if it has none to give.
    fn last_listing(&mut self) -> Result<Option<Arc<Listing>>, TreeError> {
        let (above, last) = match self.frames.as_slice() {
            [] => return Ok(None),
            [root] => (None, root),
            [.., above, last] => (above.listing.as_ref(), last),
        };
        if let Some(listing) = &last.listing {
            return Ok(Some(Arc::clone(listing)));
        }
        let path = &self.path[..last.path_len];
        let read = match above {
            None => Some(self.tree.top()?),
            Some(above) => match self
                .tree
                .descend(above, last.index, path, &mut self.nearest)
            {
                Ok(listing) => listing,
                Err(Errno::ACCESS | Errno::PERM) if !last.selected => None,
                Err(errno) => return Err(self.tree.unreadable(path, errno)),
            },
        };
        match (read, self.frames.last_mut()) {
            (Some(listing), Some(frame)) => {
                frame.listing = Some(Arc::clone(&listing));
                Ok(Some(listing))
            }
            _ => {
                self.leave();
                Ok(None)
            }
        }
    }

    fn leave(&mut self) {
        self.frames.pop();
        self.returned = self.returned.min(self.frames.len());
    }

    /// The entry of the directory that a frame is of.
    fn directory(&mut self, depth: usize) -> Result<Entry<'_>, TreeError> {
        let Frame {
            index, path_len, ..
        } = self.frames[depth];
        self.entry(depth - 1, index, path_len)
    }

    /// The entry at `index` of a frame's listing, whose path is the start of the current one.
    fn entry(
        &mut self,
        depth: usize,
        index: usize,
        path_len: usize,
    ) -> Result<Entry<'_>, TreeError> {
        let path = &self.path[..path_len];
        let Some(listing) = &self.frames[depth].listing else {
            return Err(self.tree.unreadable(path, Errno::NOENT));
        };
        if let Some(errno) = listing.failure(index) {
            return Err(self.tree.unreadable(path, errno));
        }
        let handle = listing.handle(index);
        let mut stat = listing.stat(index);
        if let Some(inode) = listing.inode(index) {
            let first = *self.first_names.entry(inode).or_insert(handle);
            if first != handle {
                stat.linkname = self.tree.path_of(first);
            }
        }
        Ok(Entry { path, handle, stat })
    }
}
