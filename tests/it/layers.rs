//! Who may import whom: the table of ARCHITECTURE.md, held against every file under `src/`.
//!
//! One crate has no boundaries of its own, so this test draws them. A change of the table is
//! the design review of a change of direction.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module, and what it may import besides itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("attrs", &["platform", "reference"]),
    ("causes", &[]),
    ("platform", &[]),
    ("digest", &[]),
    ("reference", &["digest"]),
    ("event", &["platform"]),
    ("request", &["attrs", "digest", "platform", "reference"]),
    ("node", &["platform"]),
    (
        "unit",
        &["attrs", "digest", "event", "platform", "reference"],
    ),
    ("config", &["platform"]),
    ("retry", &[]),
    ("ssh", &[]),
    ("process_group", &[]),
    ("credentials", &["process_group"]),
    ("ignore", &[]),
    ("tree", &["ignore"]),
    ("receive", &[]),
    ("remote", &["process_group", "request"]),
    ("oci", &["digest", "platform", "reference"]),
    ("engine", &["buildkit", "node"]),
    (
        "registry",
        &[
            "config",
            "credentials",
            "digest",
            "oci",
            "reference",
            "retry",
        ],
    ),
    (
        "buildkit",
        &[
            "attrs",
            "causes",
            "credentials",
            "digest",
            "event",
            "ignore",
            "platform",
            "receive",
            "ssh",
            "tree",
        ],
    ),
    (
        "plan",
        &[
            "attrs",
            "event",
            "node",
            "platform",
            "reference",
            "request",
            "unit",
        ],
    ),
    (
        "builder",
        &["buildkit", "causes", "config", "digest", "node", "platform"],
    ),
    (
        "merge",
        &[
            "digest",
            "event",
            "oci",
            "platform",
            "receive",
            "reference",
            "registry",
            "unit",
        ],
    ),
    (
        "run",
        &[
            "attrs",
            "buildkit",
            "builder",
            "causes",
            "credentials",
            "digest",
            "engine",
            "event",
            "merge",
            "oci",
            "platform",
            "plan",
            "receive",
            "reference",
            "registry",
            "request",
            "tree",
            "unit",
        ],
    ),
    (
        "manifest",
        &[
            "digest",
            "merge",
            "oci",
            "platform",
            "reference",
            "registry",
            "unit",
        ],
    ),
    ("progress", &["event", "platform"]),
    ("cli", &["*"]),
];

/// Names of other crates, and the only places that may use them.
const FENCED: &[(&str, &[&str])] = &[
    ("mbuild_proto", &["buildkit"]),
    ("tonic", &["buildkit"]),
    ("prost", &["buildkit"]),
    ("kube", &["builder/driver/kubernetes"]),
    ("oci_client", &["registry"]),
    ("reqwest", &["registry", "remote/download.rs"]),
    ("docker_credential", &["credentials"]),
    ("clap", &["cli"]),
    ("console", &["progress", "cli"]),
    ("std::env::var", &["cli/app.rs"]),
    ("std::env::current_dir", &["cli/app.rs"]),
    ("std::process::exit", &[]),
];

/// Modules that decide and neither wait nor touch anything.
const PURE: &[&str] = &[
    "attrs",
    "causes",
    "digest",
    "event",
    "ignore",
    "node",
    "plan",
    "platform",
    "reference",
    "request",
    "ssh",
    "unit",
];
const IMPURE: &[&str] = &[
    "async fn",
    ".await",
    "std::fs",
    "TcpStream",
    "std::process",
    "tokio::",
];

struct Source {
    /// Path below `src/`, with `/`.
    path: String,
    /// Its text without comments and test modules, line by line.
    lines: Vec<String>,
}

#[test]
fn imports_point_down() {
    let mut faults = Vec::new();
    for source in sources() {
        let module = top(&source.path);
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            faults.push(format!(
                "{}: module `{module}` is not in the table",
                source.path
            ));
            continue;
        };
        for (number, line) in source.lines.iter().enumerate() {
            for used in imported(line, &source.path) {
                if used != module && !allowed.contains(&"*") && !allowed.contains(&used.as_str()) {
                    faults.push(format!(
                        "src/{}:{}: `{module}` may not import `{used}`",
                        source.path,
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn other_crates_stay_behind_their_fences() {
    let mut faults = Vec::new();
    for source in sources() {
        for (name, places) in FENCED {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            for (number, line) in source.lines.iter().enumerate() {
                if mentions(line, name) {
                    let at = number + 1;
                    faults.push(format!(
                        "src/{}:{at}: `{name}` stays in {places:?}",
                        source.path
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn deciding_modules_do_no_io() {
    let mut faults = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| PURE.contains(&top(&source.path)))
    {
        for (number, line) in source.lines.iter().enumerate() {
            if let Some(word) = IMPURE.iter().find(|word| line.contains(**word)) {
                faults.push(format!("src/{}:{}: `{word}`", source.path, number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = rust_files(&root().join("src"))
        .into_iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "no header: {silent:?}");
}

#[test]
fn every_test_file_is_compiled() {
    let main = fs::read_to_string(root().join("tests/it/main.rs")).unwrap();
    let listed: BTreeSet<&str> = main
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    for entry in fs::read_dir(root().join("tests/it")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_module =
            path.extension().is_some_and(|ext| ext == "rs") || path.join("mod.rs").exists();
        if is_module && name != "main" {
            assert!(
                listed.contains(name.as_str()),
                "tests/it/main.rs does not list {name}"
            );
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    rust_files(&src)
        .into_iter()
        .map(|file| {
            let path = file
                .strip_prefix(&src)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            Source {
                path,
                lines: code_lines(&fs::read_to_string(&file).unwrap()),
            }
        })
        .collect()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files
}

/// The lines before the first `#[cfg(test)]` module at the left margin, without comments.
fn code_lines(text: &str) -> Vec<String> {
    text.lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .map(|line| line.split("//").next().unwrap_or_default().to_owned())
        .collect()
}

fn top(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The top-level modules that a line names, through `crate::` or enough `super::`s.
fn imported(line: &str, path: &str) -> Vec<String> {
    let depth = path
        .trim_end_matches("/mod.rs")
        .trim_end_matches(".rs")
        .split('/')
        .count();
    let to_root = "super::".repeat(depth);
    let mut found = Vec::new();
    for prefix in ["crate::", to_root.as_str()] {
        for (at, _) in line.match_indices(prefix) {
            let longer = prefix != "crate::" && line[..at].ends_with("super::");
            let name: String = line[at + prefix.len()..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !longer && !name.is_empty() && name != "super" {
                found.push(name);
            }
        }
    }
    found
}

fn mentions(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + name.len()..];
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            && (after.starts_with("::") || after.starts_with('(') || name.contains("::"))
    })
}
