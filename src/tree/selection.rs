//! Which entries a transfer takes, and which directories need not be looked into.
//!
//! Pure: patterns against paths. The rules are fsutil's, whose receiver expects them.

use crate::ignore::{MatchState, PatternSet};

use super::error::TreeError;

/// What the daemon asks for. An empty list does not limit anything.
///
/// Values are bytes because they may name files whose names are not text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Patterns of what is left out.
    pub exclude: Vec<Vec<u8>>,
    /// Paths that are taken together with the symlinks on the way and what these lead to.
    pub follow: Vec<Vec<u8>>,
    /// Patterns of what is taken.
    pub include: Vec<Vec<u8>>,
}

/// A compiled filter.
#[derive(Debug)]
pub(super) struct Selection {
    include: Option<Side>,
    exclude: Option<Side>,
}

#[derive(Debug)]
struct Side {
    patterns: PatternSet,
    /// The directories or files that alone can change the outcome for what lies below an
    /// unwanted directory; `None` if a wildcard makes that impossible to tell.
    decisive: Option<Vec<Vec<u8>>>,
}

/// What the directories above an entry have matched.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    include: MatchState,
    exclude: MatchState,
}

/// The verdict on one entry.
#[derive(Debug)]
pub(super) struct Verdict {
    /// The entry is sent.
    pub(super) selected: bool,
    /// If it is a directory, something in it may be sent.
    pub(super) descend: bool,
    /// For what it contains.
    pub(super) inherited: Inherited,
}

impl Selection {
    /// Compiles patterns; an empty list lets everything through.
    pub(super) fn new(include: &[Vec<u8>], exclude: &[Vec<u8>]) -> Result<Self, TreeError> {
        let side = |patterns: &[Vec<u8>], exceptions| match patterns {
            [] => Ok(None),
            _ => PatternSet::new(patterns).map(|patterns| Some(Side::new(patterns, exceptions))),
        };
        let include = side(include, false).map_err(TreeError::Include)?;
        let exclude = side(exclude, true).map_err(TreeError::Exclude)?;
        Ok(Self { include, exclude })
    }

    /// Judges an entry, given what its directory inherited and matched.
    pub(super) fn judge(&self, path: &[u8], above: &Inherited) -> Verdict {
        let mut verdict = Verdict {
            selected: true,
            descend: true,
            inherited: Inherited::default(),
        };
        if let Some(side) = &self.include {
            let (matched, state) = side.patterns.matches_below(path, &above.include);
            verdict.inherited.include = state;
            verdict.selected = matched;
            verdict.descend = matched || side.may_turn_below(path);
        }
        if let Some(side) = &self.exclude
            && verdict.descend
        {
            let (matched, state) = side.patterns.matches_below(path, &above.exclude);
            verdict.inherited.exclude = state;
            verdict.selected &= !matched;
            verdict.descend = !matched || side.may_turn_below(path);
        }
        verdict
    }
}

impl Side {
    /// `exceptions` chooses which patterns can turn a directory's verdict below it.
    fn new(patterns: PatternSet, exceptions: bool) -> Self {
        let turning = patterns
            .patterns()
            .iter()
            .filter(|p| p.is_exception() == exceptions);
        let plain = turning.map(|pattern| without_trailing_glob(pattern.text()));
        let decisive = plain
            .map(|text| (!is_special(text)).then(|| text.to_vec()))
            .collect();
        Self { patterns, decisive }
    }

    fn may_turn_below(&self, dir: &[u8]) -> bool {
        let is_below = |text: &Vec<u8>| {
            text.strip_prefix(dir)
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        self.decisive
            .as_ref()
            .is_none_or(|texts| texts.iter().any(is_below))
    }
}

fn without_trailing_glob(pattern: &[u8]) -> &[u8] {
    let pattern = pattern.strip_suffix(b"/**").unwrap_or(pattern);
    pattern.strip_suffix(b"/*").unwrap_or(pattern)
}

fn is_special(text: &[u8]) -> bool {
    text.iter().any(|byte| b"*[]?^\\".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(include: &[&str], exclude: &[&str], path: &str, selected: bool, descend: bool) {
        let bytes = |list: &[&str]| {
            list.iter()
                .map(|p| p.as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        let selection = Selection::new(&bytes(include), &bytes(exclude)).unwrap();
        let mut above = Inherited::default();
        for (end, _) in path.match_indices('/') {
            above = selection.judge(&path.as_bytes()[..end], &above).inherited;
        }
        let verdict = selection.judge(path.as_bytes(), &above);
        assert_eq!(
            (verdict.selected, verdict.descend),
            (selected, descend),
            "{path}"
        );
    }

    #[test]
    fn no_patterns_select_everything() {
        check(&[], &[], "a/b", true, true);
    }

    #[test]
    fn excluded_directories_are_entered_only_for_exceptions_below() {
        check(&[], &["a"], "a", false, false);
        check(&[], &["a", "!a/b"], "a", false, true);
        check(&[], &["a", "!a/b/*"], "a/b", false, true);
        check(&[], &["a", "!ab"], "a", false, false);
        check(&[], &["a", "!**/b"], "a", false, true);
    }

    #[test]
    fn directories_outside_the_includes_are_entered_only_on_the_way_to_one() {
        check(&["a/b"], &[], "a", false, true);
        check(&["a/b"], &[], "a/b", true, true);
        check(&["a/b"], &[], "a/c", false, false);
        check(&["a/b"], &[], "ab", false, false);
        check(&["*/b"], &[], "c", false, true);
    }

    #[test]
    fn both_sides_count() {
        check(&["a"], &["a/b"], "a/b", false, false);
        check(&["a"], &["c"], "b", false, false);
        check(&["a/*/x"], &["a/b"], "a/b", false, false);
    }

    #[test]
    fn malformed_patterns_say_which_list_they_are_in() {
        let bad = [b"[".to_vec()];
        let error = Selection::new(&bad, &[]).unwrap_err();
        assert_eq!(error.to_string(), "bad include pattern");
        let error = Selection::new(&[], &bad).unwrap_err();
        assert_eq!(error.to_string(), "bad exclude pattern");
    }
}
