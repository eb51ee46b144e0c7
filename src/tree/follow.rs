//! Resolves followed paths: the symlinks on the way to them, and where these lead.
//!
//! The daemon names the files that a Dockerfile copies; a link among them is useless without
//! its target. The results are used as include patterns, as fsutil does, and like there a
//! path that goes through a link already taken adds nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustix::io::Errno;

use crate::ignore::{Glob, clean, join};

use super::error::TreeError;
use super::listing::Listing;
use super::snapshot::ContextTree;

/// Adds what `follow` leads to to the include patterns.
///
/// An empty result means that everything is included.
pub(super) fn with_followed(
    tree: &ContextTree,
    include: &[Vec<u8>],
    follow: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>, TreeError> {
    if follow.is_empty() {
        return Ok(include.to_vec());
    }
    let mut resolver = Resolver {
        tree,
        taken: BTreeSet::new(),
    };
    for path in follow {
        resolver.follow(path)?;
    }
    Ok(match outermost(resolver.taken) {
        Some(targets) => {
            let all = include.iter().cloned().chain(targets);
            outermost(all).unwrap_or_default()
        }
        // The root itself is followed, which limits nothing by itself.
        None => include.to_vec(),
    })
}

/// Drops each path that lies below the one kept before it; `None` if one is the root.
fn outermost(paths: impl IntoIterator<Item = Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for path in paths {
        if path == b"." {
            return None;
        }
        let last = kept.last().map_or(&b""[..], Vec::as_slice);
        let below = path
            .strip_prefix(last)
            .is_some_and(|rest| rest.first() == Some(&b'/'));
        if !below {
            kept.push(path);
        }
    }
    Some(kept)
}

struct Resolver<'a> {
    tree: &'a ContextTree,
    taken: BTreeSet<Vec<u8>>,
}

impl Resolver<'_> {
    /// Follows one path. Each turn either takes a new path or ends one, and the paths that can
    /// be taken are the links of the tree, so that loops of links end.
    fn follow(&mut self, path: &[u8]) -> Result<(), TreeError> {
        let mut waiting = vec![path.to_vec()];
        while let Some(path) = waiting.pop() {
            let (stop, targets) = self.walk(&path)?;
            if self.taken.insert(stop) {
                waiting.extend(targets.into_iter().rev());
            }
        }
        Ok(())
    }

    /// Walks to the first symlink on a path, or to its end. Returns where that is, and the
    /// paths to go on with.
    fn walk(&self, path: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>), TreeError> {
        let mut current = b".".to_vec();
        let mut rest = path;
        loop {
            let slash = rest.iter().position(|byte| *byte == b'/');
            let (component, after) = match slash {
                Some(slash) => (&rest[..slash], &rest[slash + 1..]),
                None => (rest, &b""[..]),
            };
            current = join(&current, component);
            let targets = self.targets(&current)?;
            if !targets.is_empty() {
                let onward = targets.iter().map(|target| join(target, after)).collect();
                return Ok((current, onward));
            }
            if after.is_empty() {
                return Ok((current, Vec::new()));
            }
            rest = after;
        }
    }

    /// Returns where a symlink leads, or where all symlinks that match a wildcard lead.
    fn targets(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
        let (dir, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b""[..], path),
        };
        if name == b"." || name == b".." {
            return Ok(Vec::new());
        }
        let Some(listing) = self.list(dir)? else {
            return Ok(Vec::new());
        };
        if Glob::is_wild(name) {
            let Some(glob) = Glob::new(name) else {
                return Ok(Vec::new());
            };
            let matching = (0..listing.len()).filter(|index| glob.matches(listing.name(*index)));
            let targets = matching.filter_map(|index| link_target(&listing, index, dir));
            return Ok(targets.collect());
        }
        let index = listing.find(name);
        Ok(index
            .and_then(|index| link_target(&listing, index, dir))
            .into_iter()
            .collect())
    }

    /// Lists a directory to which no symlink leads; `None` if there is none.
    fn list(&self, path: &[u8]) -> Result<Option<Arc<Listing>>, TreeError> {
        let mut listing = Some(self.tree.top()?);
        let names = path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty());
        let mut end = 0;
        for name in names {
            end += name.len();
            let Some(above) = listing else {
                return Ok(None);
            };
            let Some(index) = above.find(name) else {
                return Ok(None);
            };
            let dir = &path[..end];
            let below = self.tree.descend(&above, index, dir, &mut None);
            listing = below.map_err(|errno: Errno| self.tree.unreadable(dir, errno))?;
            end += 1;
        }
        Ok(listing)
    }
}

/// The path from the root that a link in `dir` stands for; none can leave the root.
fn link_target(listing: &Listing, index: usize, dir: &[u8]) -> Option<Vec<u8>> {
    let target = clean(listing.target(index)?);
    Some(if target.starts_with(b"/") {
        target
    } else {
        join(b"/", &join(dir, &target))
    })
}
