//! Lists a tree for a transfer: [`list_some`].
//!
//! Blocks, so it belongs on threads that may.

use std::sync::Arc;

use mbuild_proto::fsutil;
use tonic::{Code, Status};

use super::buffers::Buffers;
use super::packet;
use super::read::Listed;
use super::status::failure;
use super::wire::Messages;
use crate::tree::{Entry, TreeError, View};

/// A piece of the list.
pub(super) struct List {
    pub(super) messages: Messages,
    /// What to remember of each entry; `None` for one that has no bytes to ask for.
    pub(super) entries: Vec<Option<Listed>>,
    /// Where the list goes on; `None` at its end.
    pub(super) rest: Option<View>,
}

/// Lists on, until `length` entries are listed or all of them are.
pub(super) fn list_some(
    mut view: View,
    buffers: &Arc<Buffers>,
    length: usize,
) -> Result<List, Status> {
    let (mut messages, mut entries) = (Messages::new(buffers), Vec::with_capacity(length));
    while entries.len() < length {
        let Some(entry) = view.next_entry().map_err(|error| unlisted(&error))? else {
            messages.put(&packet::end_of_list());
            return Ok(List {
                messages,
                entries,
                rest: None,
            });
        };
        let size = u64::try_from(entry.stat.size).unwrap_or_default();
        entries.push(entry.stat.is_requestable().then_some(Listed {
            handle: entry.handle,
            size,
        }));
        messages.put(&packet::stat(wire_stat(entry)));
    }
    Ok(List {
        messages,
        entries,
        rest: Some(view),
    })
}

/// What is sent of an entry. Its owner is root, whoever runs the build: daemons compute cache
/// keys from owners.
fn wire_stat(entry: Entry<'_>) -> fsutil::Stat {
    let stat = entry.stat;
    fsutil::Stat {
        path: entry.path.to_vec().into(),
        mode: stat.mode,
        uid: 0,
        gid: 0,
        size: stat.size,
        mod_time: stat.mtime_ns,
        linkname: stat.linkname.into(),
        devmajor: stat.devmajor,
        devminor: stat.devminor,
        xattrs: stat
            .xattrs
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
    }
}

/// The status of a tree that cannot be listed.
pub(super) fn unlisted(error: &TreeError) -> Status {
    let code = match error {
        TreeError::Exclude(_) | TreeError::Include(_) => Code::InvalidArgument,
        _ => Code::FailedPrecondition,
    };
    failure(code, "", error)
}
