//! The name that all Solves of one build share in the records of their daemons: [`BuildId`].
//!
//! A reference must be new on its daemon, and several units, or tries, of one build may meet
//! there: so each is the build's name with a number of its own, `k3…x-1`.

use super::super::session::{IdError, random_id};

/// The length of a name that [`random_id`] makes; buildx's references have it too.
const LENGTH: usize = 25;

/// What a build is called in the records of all its daemons.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId(String);

impl BuildId {
    /// Makes a new one.
    ///
    /// # Errors
    ///
    /// Fails when the system gives no random bytes.
    pub fn random() -> Result<Self, IdError> {
        random_id().map(Self)
    }

    /// The build that a Solve belongs to, by its reference. What has another form is a build of
    /// its own, and buildx's builds have one reference on all their nodes.
    pub fn of(reference: &str) -> Self {
        let is_digit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let build = reference.split_once('-').filter(|(id, number)| {
            let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            id.len() == LENGTH && id.chars().all(is_digit) && is_number
        });
        Self(build.map_or(reference, |(id, _)| id).to_owned())
    }

    /// The reference of the build's Solve of this number.
    pub fn reference(&self, number: usize) -> String {
        format!("{}-{number}", self.0)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for BuildId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lead_back_to_their_build() {
        let id = BuildId::random().unwrap();
        assert_eq!(id.as_str().len(), LENGTH);
        for number in [0, 7, 123] {
            assert_eq!(BuildId::of(&id.reference(number)), id);
        }
    }

    #[test]
    fn other_references_are_builds_of_their_own() {
        let id = "a".repeat(LENGTH);
        for reference in [
            &id,
            "mine",
            "mine-1",
            "",
            &format!("{id}-"),
            &format!("{id}-x"),
        ] {
            assert_eq!(BuildId::of(reference).as_str(), reference);
        }
    }
}
