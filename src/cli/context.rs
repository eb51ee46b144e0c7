//! `mbuild context`: what a build would send, after the ignore file, and how much it is.
//!
//! A build sends at most this: a daemon asks only for what the Dockerfile's steps use.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::ignore::parse_ignore_file;
use crate::merge::stage::is_stage_name;
use crate::tree::{ContextTree, Filter, Stat, TreeError};

use super::app::App;
use super::error::{CliError, CommandResult};
use super::exit::Exit;

/// List what a build would send to its nodes
#[derive(Debug, Clone, clap::Args)]
pub struct ContextArgs {
    /// Directory to look at
    #[arg(value_name = "CONTEXT", default_value = ".", hide_default_value = true)]
    context: PathBuf,
    /// Dockerfile whose own ignore file counts first [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// List only the N largest files, largest first
    #[arg(long, value_name = "N")]
    largest: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One entry that would be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    path: String,
    mode: String,
    size: u64,
}

/// Everything that would be sent.
#[derive(Debug, Serialize)]
struct Listing {
    /// The ignore file that was used.
    ignore_file: Option<PathBuf>,
    /// How many entries there are, directories included.
    entries: usize,
    /// The sum of the files' sizes in bytes.
    total: u64,
    files: Vec<Row>,
}

/// Prints the listing of one context.
pub(super) fn run(args: &ContextArgs, app: &App) -> CommandResult {
    let root = app.path(&args.context);
    let dockerfile = match &args.file {
        Some(file) => app.path(file),
        None => root.join("Dockerfile"),
    };
    let (ignore_file, exclude) = ignore_patterns(&root, &dockerfile)?;
    let mut listing = list(&root, exclude).map_err(CliError::usage)?;
    listing.ignore_file = ignore_file;
    if let Some(count) = args.largest {
        listing
            .files
            .sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
        listing.files.truncate(count);
    }
    let text = match args.json {
        true => serde_json::to_string_pretty(&listing).map_err(internal)? + "\n",
        false => table(&listing),
    };
    app.print(&text).map_err(internal)?;
    Ok(Exit::Done)
}

/// The Dockerfile's own ignore file if there is one, else the context's.
fn ignore_patterns(
    root: &Path,
    dockerfile: &Path,
) -> Result<(Option<PathBuf>, Vec<Vec<u8>>), CliError> {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    for path in [PathBuf::from(own), root.join(".dockerignore")] {
        match std::fs::read(&path) {
            Ok(text) => return Ok((Some(path), parse_ignore_file(&text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(CliError::usage(Unreadable { path, source })),
        }
    }
    Ok((None, Vec::new()))
}

fn list(root: &Path, exclude: Vec<Vec<u8>>) -> Result<Listing, TreeError> {
    let filter = Filter {
        exclude,
        ..Filter::default()
    };
    let mut view = ContextTree::open_without(root, is_stage_name)?.view(&filter)?;
    let mut listing = Listing {
        ignore_file: None,
        entries: 0,
        total: 0,
        files: Vec::new(),
    };
    while let Some(entry) = view.next_entry()? {
        listing.entries += 1;
        // Another name of a file that was listed before is not sent again.
        let again = entry.stat.is_requestable() && !entry.stat.linkname.is_empty();
        let size = match entry.stat.is_requestable() && !again {
            true => u64::try_from(entry.stat.size).unwrap_or(0),
            false => 0,
        };
        listing.total += size;
        let mut path = String::from_utf8_lossy(entry.path).into_owned();
        if entry.stat.is_dir() {
            path.push('/');
        } else if !entry.stat.linkname.is_empty() {
            let _ = write!(
                path,
                " -> {}",
                String::from_utf8_lossy(&entry.stat.linkname)
            );
        }
        listing.files.push(Row {
            path,
            mode: mode(&entry.stat),
            size,
        });
    }
    Ok(listing)
}

fn table(listing: &Listing) -> String {
    let mut text = String::new();
    for row in &listing.files {
        // A name may hold anything, escape sequences included.
        let path: String = row.path.chars().flat_map(shown).collect();
        let _ = writeln!(text, "{} {:>12} {path}", row.mode, row.size);
    }
    let _ = writeln!(
        text,
        "total {} bytes in {} entries{}",
        listing.total,
        listing.entries,
        listing.ignore_file.as_ref().map_or_else(
            || ", no ignore file".to_owned(),
            |path| format!(", after {}", path.display()),
        )
    );
    text
}

/// A character of a name as it is safe to print.
fn shown(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = (!c.is_control()).then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

/// A mode as `ls -l` prints it, from Go's bits.
fn mode(stat: &Stat) -> String {
    let kind = match stat.mode & Stat::TYPE_MASK {
        0 => '-',
        _ if stat.is_dir() => 'd',
        bits if bits & Stat::SYMLINK != 0 => 'l',
        _ => 'p',
    };
    let mut text = String::from(kind);
    for shift in [6, 3, 0] {
        for (bit, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
            text.push(if stat.mode >> shift & bit != 0 {
                letter
            } else {
                '-'
            });
        }
    }
    text
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> CliError {
    CliError::new(Exit::Internal, error)
}

/// An ignore file that is there and cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
struct Unreadable {
    path: PathBuf,
    source: std::io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ignore_file_decides_and_files_are_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("Dockerfile", "FROM scratch");
        write(".dockerignore", "*.log\n");
        write("a.log", "no");
        write("b", "1234");
        std::fs::hard_link(dir.path().join("b"), dir.path().join("c")).unwrap();
        let (file, exclude) = ignore_patterns(dir.path(), &dir.path().join("Dockerfile")).unwrap();
        assert_eq!(file, Some(dir.path().join(".dockerignore")));
        let listing = list(dir.path(), exclude).unwrap();
        let paths: Vec<_> = listing.files.iter().map(|row| row.path.as_str()).collect();
        assert_eq!(paths, [".dockerignore", "Dockerfile", "b", "c -> b"]);
        assert_eq!(listing.total, 6 + 12 + 4);

        write("Dockerfile.dockerignore", "b\n");
        let (file, _) = ignore_patterns(dir.path(), &dir.path().join("Dockerfile")).unwrap();
        assert_eq!(file, Some(dir.path().join("Dockerfile.dockerignore")));
    }

    #[test]
    fn a_context_that_is_not_there_is_an_error_that_names_it() {
        let error = list(Path::new("/no/such"), Vec::new()).unwrap_err();
        assert!(error.to_string().contains("/no/such"), "{error}");
    }
}
