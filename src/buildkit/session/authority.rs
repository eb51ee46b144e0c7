//! The key by which a daemon knows that two sessions belong to the same user.
//!
//! [`TokenSeeds`] keeps one random seed per registry, in docker's own file so that docker's
//! client and ours are the same user. The key proves an identity for sharing cached tokens; it
//! protects nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::Ed25519KeyPair;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

/// Names of docker's own client.
const FILE: &str = ".token_seed";
const LOCK: &str = ".token_seed.lock";
const SEED_LENGTH: usize = 16;
/// How long another process may hold the file. It holds it for one read and one write.
const LOCK_LIMIT: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// One registry's seed.
pub(super) type Seed = Vec<u8>;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthorityError {
    /// The system's source of random bytes failed.
    #[error("the system gives no random bytes")]
    Random,
    /// The cryptography refused a key of the right length.
    #[error("no key can be made")]
    Key,
    /// The file's reader was cancelled.
    #[error("the token seeds cannot be read")]
    Reader(#[source] tokio::task::JoinError),
}

/// The seeds of this user, one per registry.
///
/// Where the file cannot be read or written, a seed lasts as long as this value: the daemon then
/// fetches tokens anew for the next run, and nothing else is lost.
#[derive(Debug)]
pub struct TokenSeeds {
    dir: Option<PathBuf>,
    known: Mutex<BTreeMap<String, Seed>>,
}

impl TokenSeeds {
    /// Keeps the seeds in docker's configuration directory; in memory alone with `None`.
    pub fn new(dir: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self {
            dir,
            known: Mutex::default(),
        })
    }

    /// The seed for a registry, made when there is none.
    pub(super) async fn seed(&self, host: &str) -> Result<Seed, AuthorityError> {
        // Held while the file is read, so that two calls cannot make two seeds.
        let mut known = self.known.lock().await;
        if let Some(seed) = known.get(host) {
            return Ok(seed.clone());
        }
        let mut fresh = vec![0; SEED_LENGTH];
        SystemRandom::new()
            .fill(&mut fresh)
            .map_err(|_| AuthorityError::Random)?;
        let seed = match self.dir.clone() {
            Some(dir) => {
                let host = host.to_owned();
                let keep = move || stored_seed(&dir, &host, fresh);
                tokio::task::spawn_blocking(keep)
                    .await
                    .map_err(AuthorityError::Reader)?
            }
            None => fresh,
        };
        known.insert(host.to_owned(), seed.clone());
        Ok(seed)
    }
}

/// Derives the key for a daemon's salt; without a seed, the key that all anonymous users share.
pub(super) fn authority_key(
    seed: Option<&Seed>,
    salt: &[u8],
) -> Result<Ed25519KeyPair, AuthorityError> {
    let salt = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, salt);
    let sum = ring::hmac::sign(&salt, seed.map_or(&[], Vec::as_slice));
    Ed25519KeyPair::from_seed_unchecked(sum.as_ref()).map_err(|_| AuthorityError::Key)
}

/// A signature of 64 bytes, followed by what it signs (the form of NaCl's `sign`).
pub(super) fn signed(key: &Ed25519KeyPair, payload: &[u8]) -> Bytes {
    [key.sign(payload).as_ref(), payload].concat().into()
}

/// The seed in the file, or else `fresh`, which is then put there if that is possible.
fn stored_seed(dir: &Path, host: &str, fresh: Seed) -> Seed {
    let lock = lock(dir);
    let mut seeds = read(dir);
    if let Some(seed) = seeds.get(host).and_then(decoded) {
        return seed;
    }
    seeds.insert(host.to_owned(), json!({ "Seed": STANDARD.encode(&fresh) }));
    if let Err(error) = lock.and_then(|_lock| write(dir, &seeds)) {
        tracing::debug!(%error, dir = %dir.display(), "token seed not kept");
    }
    fresh
}

fn decoded(entry: &Value) -> Option<Seed> {
    let seed = STANDARD.decode(entry.get("Seed")?.as_str()?).ok()?;
    (!seed.is_empty()).then_some(seed)
}

/// Locks the file until the result is dropped.
fn lock(dir: &Path) -> io::Result<File> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let end = Instant::now() + LOCK_LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// All entries of the file. One that is missing or damaged is as good as empty: what it held
/// is random and can be made anew.
fn read(dir: &Path) -> Map<String, Value> {
    let bytes = fs::read(dir.join(FILE)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Replaces the file at once, so that no reader sees half of it.
fn write(dir: &Path, seeds: &Map<String, Value>) -> io::Result<()> {
    let part = dir.join(format!("{FILE}.{}", std::process::id()));
    let written = || {
        let options = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part);
        options?.write_all(&serde_json::to_vec(seeds)?)?;
        fs::rename(&part, dir.join(FILE))
    };
    written().inspect_err(|_| drop(fs::remove_file(&part)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use ring::signature::KeyPair;

    use super::*;

    /// What a new process would find for a host.
    async fn seed(dir: &Path, host: &str) -> Seed {
        TokenSeeds::new(Some(dir.to_owned()))
            .seed(host)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_seed_is_kept_for_its_host_and_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = seed(dir.path(), "a.example").await;
        assert_eq!(first.len(), 16);
        assert_ne!(seed(dir.path(), "b.example:5000").await, first);
        assert_eq!(seed(dir.path(), "a.example").await, first);

        let mut names = Vec::new();
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o777,
                0o600
            );
            names.push(entry.file_name().into_string().unwrap());
        }
        names.sort();
        assert_eq!(names, [FILE, LOCK]);
    }

    #[tokio::test]
    async fn seeds_of_docker_are_used_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        fs::write(
            &file,
            r#"{"a.example":{"Seed":"AAECAwQFBgcICQoLDA0ODw=="}}"#,
        )
        .unwrap();
        assert_eq!(
            seed(dir.path(), "a.example").await,
            (0..16).collect::<Vec<u8>>()
        );
        seed(dir.path(), "b.example").await;
        let kept: Map<String, Value> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        assert_eq!(kept.len(), 2);
        assert_eq!(
            kept["a.example"],
            json!({ "Seed": "AAECAwQFBgcICQoLDA0ODw==" })
        );
    }

    #[tokio::test]
    async fn a_damaged_file_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            "{",
            "[]",
            r#"{"a.example":{"Seed":"?"}}"#,
            r#"{"a.example":7}"#,
        ] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let made = seed(dir.path(), "a.example").await;
            assert_eq!(seed(dir.path(), "a.example").await, made, "{text}");
        }
    }

    #[tokio::test]
    async fn without_a_place_to_keep_it_a_seed_lasts_as_long_as_the_process() {
        for dir in [None, Some(PathBuf::from("/nonexistent/docker"))] {
            let seeds = TokenSeeds::new(dir);
            let first = seeds.seed("a.example").await.unwrap();
            assert_eq!(seeds.seed("a.example").await.unwrap(), first);
        }
    }

    #[tokio::test]
    async fn a_file_that_stays_locked_costs_a_wait_and_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        seed(dir.path(), "a.example").await;
        assert!(!dir.path().join(FILE).exists());
        drop(held);
    }

    #[test]
    fn a_key_is_derived_from_the_seed_keyed_by_the_salt() {
        // An independent HMAC-SHA256 and ed25519 (Python's hmac and cryptography) made these.
        fn check(seed: Option<&Seed>, expect: &str) {
            let key = authority_key(seed, &[7; 32]).unwrap();
            let hex: String = key
                .public_key()
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(hex, expect);
        }
        check(
            None,
            "caa40e46d7281a0e7cf7da9ff4e5b690d33ecba8b7001c7eff7a659ace2e1543",
        );
        check(
            Some(&(0..16).collect()),
            "e04b491884482c6fe19647a8f8169d08546cf60afe3da42d9e02cb38a3bd0743",
        );
    }
}
