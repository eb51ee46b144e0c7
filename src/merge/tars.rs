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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;

    use super::*;
    use crate::oci::archive::file_header;

    fn sink(bytes: &[u8]) -> Arc<FileSink> {
        let sink = FileSink::new(tempfile::tempfile().unwrap(), "a tar");
        sink.append(&[bytes]).unwrap();
        sink.finish().unwrap();
        Arc::new(sink)
    }

    fn received(platform: &str, bytes: &[u8]) -> Received {
        Received {
            from: format!("{platform} on a node"),
            platform: platform.parse().unwrap(),
            file: sink(bytes),
        }
    }

    /// A file with a long name and an attribute, and links to it.
    fn tar(content: &[u8]) -> Vec<u8> {
        let long = format!("{}/file", "directory".repeat(20));
        let mut tar = Builder::new(Vec::new());
        tar.append_pax_extensions([("SCHILY.xattr.user.a", &b"1"[..])])
            .unwrap();
        let mut header = file_header(content.len() as u64);
        header.set_mode(0o4711);
        header.set_uid(7);
        tar.append_data(&mut header, &long, content).unwrap();
        for (kind, name, target) in [
            (EntryType::Link, "hard", long.as_str()),
            (EntryType::Symlink, "absolute", "/etc/x"),
            (EntryType::Symlink, "relative", "../x"),
        ] {
            let mut header = file_header(0);
            header.set_entry_type(kind);
            tar.append_link(&mut header, name, target).unwrap();
        }
        tar.into_inner().unwrap()
    }

    /// Path, link, content, attributes and mode of each entry.
    fn listed(bytes: &[u8]) -> Vec<String> {
        let mut tar = Archive::new(bytes);
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let kept = attributes(&mut entry).unwrap();
            let kept: Vec<_> = kept.into_iter().map(|(key, _)| key).collect();
            let path = entry.path().unwrap().display().to_string();
            let path = path.replace(&"directory".repeat(20), "LONG");
            let link = entry.link_name().unwrap().map(|link| {
                let link = link.display().to_string();
                format!(" -> {}", link.replace(&"directory".repeat(20), "LONG"))
            });
            let (mode, uid) = (
                entry.header().mode().unwrap(),
                entry.header().uid().unwrap(),
            );
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            format!(
                "{path}{} {text:?} {kept:?} {mode:o} {uid}",
                link.unwrap_or_default()
            )
        });
        entries.collect()
    }

    #[test]
    fn each_platform_has_a_directory_and_its_links_stay_within() {
        let to = sink(b"");
        let both = [
            received("linux/arm64", &tar(b"arm")),
            received("linux/amd64", &tar(b"amd")),
        ];
        join(&both, &to).unwrap();
        let mut bytes = vec![0; usize::try_from(to.file().metadata().unwrap().len()).unwrap()];
        to.file().read_exact_at(&mut bytes, 0).unwrap();
        let half = |directory: &str, content: &str| {
            let xattr = r#"["SCHILY.xattr.user.a"]"#;
            [
                format!("{directory}/ \"\" [] 755 0"),
                format!("{directory}/LONG/file {content:?} {xattr} 4711 7"),
                format!("{directory}/hard -> {directory}/LONG/file \"\" [] 644 0"),
                format!("{directory}/absolute -> /{directory}/etc/x \"\" [] 644 0"),
                format!("{directory}/relative -> ../x \"\" [] 644 0"),
            ]
        };
        let expect = [half("linux_amd64", "amd"), half("linux_arm64", "arm")].concat();
        assert_eq!(listed(&bytes), expect);
    }

    #[test]
    fn a_tar_that_is_cut_is_refused_by_its_senders_name() {
        let whole = tar(&[b'x'; 4000]);
        let error = join(&[received("linux/arm64", &whole[..3000])], &sink(b"")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("what linux/arm64 on a node sent is not a whole tar"),
            "{text}"
        );
    }
}
