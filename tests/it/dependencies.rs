//! What must not be in the dependency graph is not: `Cargo.lock` against the bans of
//! `deny.toml`, on every run and without another program.

use std::collections::BTreeSet;
use std::path::Path;

fn read(name: &str) -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn names(list: &toml::Value, key: &str) -> BTreeSet<String> {
    let entries = list.as_array().unwrap().iter();
    let name = |entry: &toml::Value| entry[key].as_str().unwrap().to_owned();
    entries.map(name).collect()
}

#[test]
fn no_banned_crate_is_locked() {
    let banned = names(&read("deny.toml")["bans"]["deny"], "crate");
    let locked = names(&read("Cargo.lock")["package"], "name");
    assert!(banned.len() > 3 && locked.len() > 100, "the files are read");
    let found: Vec<_> = banned.intersection(&locked).collect();
    assert!(found.is_empty(), "banned, and yet locked: {found:?}");
}

#[test]
fn everything_comes_from_the_registry() {
    let lock = read("Cargo.lock");
    for package in lock["package"].as_array().unwrap() {
        let source = package.get("source").map(|source| source.as_str().unwrap());
        let allowed = source.is_none_or(|source| source.starts_with("registry+"));
        assert!(allowed, "{package}");
    }
}
