//! Keeps what comes on stdin in a temporary file, so that every node can be sent it.
//!
//! A stream can be read once, a build has several nodes: neither the memory nor the pipe is
//! asked to hold it. [`spool`] also tells a tar from a Dockerfile by its first bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use ruzstd::decoding::StreamingDecoder;
use tempfile::TempDir;

/// How much is read before deciding what it is; a tar's first header fits.
const PEEK: usize = 1024;
/// A Dockerfile larger than this is surely something else; the daemon's own limit is 2 MiB
/// for remote ones.
const DOCKERFILE_LIMIT: u64 = 16 << 20;
/// The position and length of the checksum in a tar header.
const TAR_CHECKSUM: std::ops::Range<usize> = 148..156;
const TAR_HEADER: usize = 512;
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What stdin turned out to hold; the file lives as long as the directory.
#[derive(Debug)]
pub(super) struct Spooled {
    /// The directory that holds nothing but the file.
    pub(super) dir: TempDir,
    /// The file's name in it.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) kind: StdinKind,
}

impl Spooled {
    /// Keeps a Dockerfile that came from elsewhere.
    pub(super) fn of_dockerfile(bytes: &[u8], temp: &std::path::Path) -> Result<Self, StdinError> {
        let keep = |source| StdinError::Keep {
            path: temp.to_owned(),
            source,
        };
        let dir = tempfile::Builder::new()
            .prefix("mbuild-dockerfile-")
            .tempdir_in(temp)
            .map_err(keep)?;
        let spooled = Spooled {
            dir,
            name: "Dockerfile",
            kind: StdinKind::Dockerfile,
        };
        std::fs::write(spooled.path(), bytes).map_err(keep)?;
        Ok(spooled)
    }

    /// The file's path.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join(self.name)
    }
}

/// What stdin can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StdinKind {
    /// A tar, compressed or not.
    Archive,
    /// Anything else, and so a Dockerfile.
    Dockerfile,
}

/// Why stdin could not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StdinError {
    /// It could not be read.
    #[error("cannot read stdin")]
    Read(#[source] io::Error),
    /// It could not be kept.
    #[error("cannot keep the build's input in {path}")]
    Keep { path: PathBuf, source: io::Error },
    /// There was nothing.
    #[error("stdin is empty: it must hold a Dockerfile or a tar")]
    Empty,
    /// It begins like zstd data and is none.
    #[error("stdin holds zstd data that cannot be read")]
    Zstd(#[source] io::Error),
    /// It is compressed, and no tar.
    #[error("stdin holds zstd data, and no tar is in it")]
    ZstdWithoutTar,
    /// It is no tar and far too large for a Dockerfile.
    #[error("stdin holds neither a tar nor a Dockerfile: more than {DOCKERFILE_LIMIT} bytes")]
    TooLarge,
}

/// Reads `input` to its end into a file below `temp`.
///
/// Daemons know gzip, bzip2 and xz by themselves, but not zstd: that is decoded on the way.
pub(super) fn spool(mut input: impl Read, temp: &std::path::Path) -> Result<Spooled, StdinError> {
    let head = peek(&mut input).map_err(StdinError::Read)?;
    if !head.starts_with(ZSTD) {
        return keep(head, input, temp);
    }
    let compressed = io::Cursor::new(head).chain(input);
    let mut plain = StreamingDecoder::new(compressed)
        .map_err(|error| StdinError::Zstd(io::Error::other(error.to_string())))?;
    let head = peek(&mut plain).map_err(StdinError::Zstd)?;
    match is_tar_header(&head) {
        true => keep(head, plain, temp),
        false => Err(StdinError::ZstdWithoutTar),
    }
}

/// Whether a file holds an archive; zstd data counts as one, though no daemon reads it.
pub(super) fn is_archive(mut file: impl Read) -> io::Result<bool> {
    let head = peek(&mut file)?;
    Ok(head.starts_with(ZSTD) || detect(&head) == StdinKind::Archive)
}

/// What zstd data of a file holds, in a file below `temp`; `None` if it holds no such data.
pub(super) fn unpacked(
    mut file: impl Read,
    temp: &std::path::Path,
) -> Result<Option<Spooled>, StdinError> {
    let head = peek(&mut file).map_err(StdinError::Read)?;
    match head.starts_with(ZSTD) {
        true => spool(io::Cursor::new(head).chain(file), temp).map(Some),
        false => Ok(None),
    }
}

fn peek(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(PEEK);
    input.take(PEEK as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Writes what was read already and the rest into a file.
fn keep(
    head: Vec<u8>,
    mut input: impl Read,
    temp: &std::path::Path,
) -> Result<Spooled, StdinError> {
    if head.is_empty() {
        return Err(StdinError::Empty);
    }
    let kind = detect(&head);
    let keep = |source| StdinError::Keep {
        path: temp.to_owned(),
        source,
    };
    let dir = tempfile::Builder::new()
        .prefix("mbuild-stdin-")
        .tempdir_in(temp)
        .map_err(keep)?;
    let name = match kind {
        StdinKind::Archive => "context.tar",
        StdinKind::Dockerfile => "Dockerfile",
    };
    let mut file = File::create_new(dir.path().join(name)).map_err(keep)?;
    file.write_all(&head).map_err(keep)?;
    copy(&mut input, &mut file, kind).map_err(|error| match error {
        CopyError::Read(source) => StdinError::Read(source),
        CopyError::Write(source) => keep(source),
        CopyError::TooLarge => StdinError::TooLarge,
    })?;
    Ok(Spooled { dir, name, kind })
}

enum CopyError {
    Read(io::Error),
    Write(io::Error),
    TooLarge,
}

fn copy(input: &mut impl Read, file: &mut File, kind: StdinKind) -> Result<(), CopyError> {
    let mut buffer = vec![0; 64 << 10];
    let mut copied = 0;
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        copied += read as u64;
        if kind == StdinKind::Dockerfile && copied > DOCKERFILE_LIMIT {
            return Err(CopyError::TooLarge);
        }
        file.write_all(&buffer[..read]).map_err(CopyError::Write)?;
    }
}

fn detect(head: &[u8]) -> StdinKind {
    const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
    const BZIP2: &[u8] = b"BZh";
    const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0x00];
    let compressed = [GZIP, BZIP2, XZ]
        .iter()
        .any(|magic| head.starts_with(magic));
    match compressed || is_tar_header(head) {
        true => StdinKind::Archive,
        false => StdinKind::Dockerfile,
    }
}

/// Whether the bytes begin with a tar header: the checksum in it is right.
fn is_tar_header(head: &[u8]) -> bool {
    let Some(header) = head.get(..TAR_HEADER) else {
        return false;
    };
    let text = String::from_utf8_lossy(&header[TAR_CHECKSUM]);
    let digits = text.trim_matches(|c: char| c == ' ' || c == '\0');
    let Ok(stored) = u32::from_str_radix(digits, 8) else {
        return false;
    };
    let sum = header
        .iter()
        .enumerate()
        // The checksum counts its own field as blanks.
        .map(|(at, byte)| {
            if TAR_CHECKSUM.contains(&at) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum::<u32>();
    stored == sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(bytes: &[u8]) -> Result<StdinKind, StdinError> {
        let temp = tempfile::tempdir().unwrap();
        let spooled = spool(bytes, temp.path())?;
        assert_eq!(
            std::fs::read(spooled.path()).unwrap(),
            bytes,
            "kept as it came"
        );
        Ok(spooled.kind)
    }

    fn tar_of(name: &str, data: &[u8]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, data).unwrap();
        tar.into_inner().unwrap()
    }

    #[test]
    fn a_tar_is_told_from_a_dockerfile_by_its_bytes() {
        assert_eq!(
            kind_of(&tar_of("Dockerfile", b"FROM x")).unwrap(),
            StdinKind::Archive
        );
        assert_eq!(
            kind_of(&tar_of("big", &vec![7; 300_000])).unwrap(),
            StdinKind::Archive
        );
        assert_eq!(
            kind_of(&[0x1f, 0x8b, 0x08, 0, 0]).unwrap(),
            StdinKind::Archive
        );
        assert_eq!(kind_of(b"FROM scratch\n").unwrap(), StdinKind::Dockerfile);
        assert_eq!(kind_of(&[b'#'; 5000]).unwrap(), StdinKind::Dockerfile);
    }

    #[test]
    fn zstd_is_decoded_since_no_daemon_knows_it() {
        let tar = tar_of("Dockerfile", b"FROM x");
        let fast = ruzstd::encoding::CompressionLevel::Fastest;
        let packed = ruzstd::encoding::compress_to_vec(&tar[..], fast);
        let temp = tempfile::tempdir().unwrap();
        let spooled = spool(&packed[..], temp.path()).unwrap();
        assert_eq!(spooled.kind, StdinKind::Archive);
        assert_eq!(std::fs::read(spooled.path()).unwrap(), tar);
        let text = ruzstd::encoding::compress_to_vec(&b"FROM x"[..], fast);
        let refused = spool(&text[..], temp.path());
        assert!(
            matches!(refused, Err(StdinError::ZstdWithoutTar)),
            "{refused:?}"
        );
    }

    #[test]
    fn what_no_daemon_can_use_is_refused() {
        assert!(matches!(kind_of(b""), Err(StdinError::Empty)));
        assert!(matches!(
            kind_of(&[0x28, 0xb5, 0x2f, 0xfd, 0]),
            Err(StdinError::Zstd(_))
        ));
        let endless = io::repeat(b'x').take(DOCKERFILE_LIMIT + 4096);
        let temp = tempfile::tempdir().unwrap();
        assert!(matches!(
            spool(endless, temp.path()),
            Err(StdinError::TooLarge)
        ));
        assert_eq!(
            std::fs::read_dir(temp.path()).unwrap().count(),
            0,
            "nothing is left behind"
        );
    }
}
