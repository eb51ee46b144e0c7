//! [`join`]: the tars of several platforms as one, each below a directory of its own.
//!
//! The directories have the names that a daemon gives when it builds all platforms itself. The
//! files of a platform stay in their order; owners, times, modes and attributes stay as they are.

use std::ffi::OsStr;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Archive, Builder, Entry, EntryType};

use super::archive::Received;
use super::error::MergeError;
use crate::oci::archive::dir_header;
use crate::receive::FileSink;

/// The attributes that a header has no place for are kept; these have one.
const IN_HEADER: [&str; 3] = ["path", "linkpath", "size"];

/// Writes the tars one after another, sorted by the names of their directories. Blocks.
///
/// # Errors
///
/// When a tar cannot be read to its end, or writing fails.
pub fn join(received: &[Received], to: &FileSink) -> Result<(), MergeError> {
    let write = |source: io::Error| MergeError::File {
        path: to.path().to_owned(),
        source,
    };
    let mut sorted: Vec<(String, &Received)> = received
        .iter()
        .map(|one| (one.platform.normalized().local_dir_name(), one))
        .collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    let out = BufWriter::with_capacity(256 << 10, to.file());
    let mut tar = Builder::new(out);
    for (directory, one) in sorted {
        tar.append_data(&mut dir_header(), format!("{directory}/"), io::empty())
            .map_err(write)?;
        append(&mut tar, &directory, &one.file).map_err(|error| match error {
            Appending::Read(source) => MergeError::Tar {
                from: one.from.clone(),
                source,
            },
            Appending::Write(source) => write(source),
        })?;
    }
    tar.into_inner()
        .and_then(|mut out| out.flush())
        .and_then(|()| to.finish())
        .map_err(write)
}

enum Appending {
    Read(io::Error),
    Write(io::Error),
}

fn append(
    tar: &mut Builder<impl Write>,
    directory: &str,
    from: &FileSink,
) -> Result<(), Appending> {
    let mut file = from.file();
    file.seek(SeekFrom::Start(0)).map_err(Appending::Read)?;
    let mut archive = Archive::new(io::BufReader::with_capacity(256 << 10, file));
    for entry in archive.entries().map_err(Appending::Read)? {
        let mut entry = entry.map_err(Appending::Read)?;
        append_entry(tar, directory, &mut entry)?;
    }
    Ok(())
}

fn append_entry<R: Read>(
    tar: &mut Builder<impl Write>,
    directory: &str,
    entry: &mut Entry<'_, R>,
) -> Result<(), Appending> {
    let path = below(directory, &entry.path_bytes());
    let mut header = entry.header().clone();
    let kept = attributes(entry).map_err(Appending::Read)?;
    if !kept.is_empty() {
        let kept = kept.iter().map(|(key, value)| (key.as_str(), &value[..]));
        tar.append_pax_extensions(kept).map_err(Appending::Write)?;
    }
    let path = Path::new(OsStr::from_bytes(&path));
    let Some(link) = entry.link_name_bytes() else {
        header.set_size(entry.size());
        return tar
            .append_data(&mut header, path, Checked(entry))
            .map_err(|error| match error.get_ref() {
                Some(inner) if inner.is::<Cut>() => Appending::Read(error),
                _ => Appending::Write(error),
            });
    };
    let link = match (header.entry_type(), link.first()) {
        (EntryType::Link, _) => below(directory, &link),
        // As a daemon does it: an absolute link stays within its platform.
        (_, Some(b'/')) => [b"/", &below(directory, &link)[..]].concat(),
        _ => link.into_owned(),
    };
    let link = Path::new(OsStr::from_bytes(&link));
    tar.append_link(&mut header, path, link)
        .map_err(Appending::Write)
}

/// The extended attributes of an entry, and what else its header has no place for.
fn attributes<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let Some(extensions) = entry.pax_extensions()? else {
        return Ok(Vec::new());
    };
    let mut kept = Vec::new();
    for extension in extensions {
        let extension = extension?;
        let key = extension.key().map_err(io::Error::other)?;
        if !IN_HEADER.contains(&key) {
            kept.push((key.to_owned(), extension.value_bytes().to_vec()));
        }
    }
    Ok(kept)
}

fn below(directory: &str, path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let start = path.iter().position(|byte| *byte != b'/');
    let path = start.map_or(&b""[..], |start| &path[start..]);
    [directory.as_bytes(), b"/", path].concat()
}

/// Turns the early end of an entry's content into an error that is told from one of writing.
struct Checked<'a, 'e, R: Read>(&'a mut Entry<'e, R>);

#[derive(Debug, thiserror::Error)]
#[error("it ends in the middle of a file")]
struct Cut;

impl<R: Read> Read for Checked<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Ok(count) => Ok(count),
            Err(_) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, Cut)),
        }
    }
}
