//! Hides the logins of a unit's caches from what its daemon says: it may repeat what it was told.

use crate::attrs::secret::{HIDDEN, is_secret};
use crate::event::StatusUpdate;
use crate::unit::UnitCaches;

use super::super::error::UnitError;

/// Shorter values are no secrets, and would hide parts of words.
const SHORTEST: usize = 6;

/// The texts that are not to be shown.
#[derive(Default)]
pub(in crate::run) struct Mask {
    secrets: Vec<String>,
}

impl Mask {
    /// Hides the logins of these caches.
    pub(in crate::run) fn of(caches: &UnitCaches) -> Self {
        let caches = caches.exports.iter().chain(&caches.imports);
        let attrs = caches.flat_map(|cache| &cache.attrs);
        let secrets = attrs.filter(|(key, value)| is_secret(key) && value.len() >= SHORTEST);
        let mut secrets: Vec<String> = secrets.map(|(_, value)| value.clone()).collect();
        secrets.sort_unstable();
        secrets.dedup();
        Self { secrets }
    }

    /// Hides them in the names and faults of steps, as far as a daemon makes them up itself: what
    /// a step prints is the build's own.
    pub(in crate::run) fn update(&self, update: &mut StatusUpdate) {
        if self.secrets.is_empty() {
            return;
        }
        for vertex in &mut update.vertexes {
            self.text(&mut vertex.name);
            self.text(&mut vertex.error);
        }
        for status in &mut update.statuses {
            self.text(&mut status.id);
            self.text(&mut status.name);
        }
    }

    /// Hides them in the words of a daemon that refused or failed.
    pub(in crate::run) fn error(&self, mut error: UnitError) -> UnitError {
        if let UnitError::Solve(solve) = &mut error {
            self.text(&mut solve.message);
        }
        error
    }

    fn text(&self, text: &mut String) {
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), HIDDEN);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Vertex;
    use crate::unit::UnitCache;

    #[test]
    fn what_a_daemon_repeats_is_hidden() {
        let attrs = [
            ("token", "hunter2"),
            ("ref", "app:cache"),
            ("session_token", "a"),
        ];
        let attrs = attrs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let cache = UnitCache {
            spec: 0,
            kind: "gha".to_owned(),
            attrs: attrs.into(),
            ignore_error: false,
            local: None,
        };
        let caches = UnitCaches {
            exports: vec![cache.clone()],
            imports: vec![cache],
        };
        let mut update = StatusUpdate {
            vertexes: vec![Vertex {
                name: "importing app:cache".to_owned(),
                error: "bad token hunter2, hunter2".to_owned(),
                ..Vertex::default()
            }],
            ..StatusUpdate::default()
        };
        Mask::of(&caches).update(&mut update);
        assert_eq!(update.vertexes[0].name, "importing app:cache");
        assert_eq!(update.vertexes[0].error, "bad token ***, ***");
    }
}
