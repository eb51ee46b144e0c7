//! A list of patterns in order, the last one that matches deciding.
//!
//! A path is matched if a pattern matches it or one of its ancestors and no later `!` pattern
//! takes it back. A walker that passes each directory's results down to its entries gets a
//! slightly different answer in rare cases, and it is the one the daemon counts on.

use super::clean::clean;
use super::dialect::Matcher;
use super::glob;
use super::ignorefile::trim;

/// Why a list of patterns cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A `!` with nothing behind it.
    #[error("pattern \"!\" names nothing")]
    Empty,
    /// Unbalanced brackets, a trailing backslash, a reversed range or the like.
    #[error("pattern {0:?} is malformed")]
    Malformed(String),
}

/// One compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Vec<u8>,
    exception: bool,
    matcher: Matcher,
}

impl Pattern {
    /// Compiles one pattern; `None` if it is blank.
    pub fn new(source: &[u8]) -> Result<Option<Self>, PatternError> {
        let trimmed = trim(source);
        if trimmed.is_empty() {
            return Ok(None);
        }
        let cleaned = clean(trimmed);
        let (text, exception) = match cleaned.strip_prefix(b"!") {
            Some(b"") => return Err(PatternError::Empty),
            Some(rest) => (rest.to_vec(), true),
            None => (cleaned, false),
        };
        let malformed = || PatternError::Malformed(String::from_utf8_lossy(source).into_owned());
        if !glob::is_valid(&text) {
            return Err(malformed());
        }
        let matcher = Matcher::new(&text).ok_or_else(malformed)?;
        Ok(Some(Self {
            text,
            exception,
            matcher,
        }))
    }

    /// The cleaned pattern without its `!`.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether the pattern takes back what earlier ones matched (`!`).
    pub fn is_exception(&self) -> bool {
        self.exception
    }

    fn matches_any(&self, path: &[u8], ancestors: &[Vec<u8>]) -> bool {
        self.matcher.matches(path) || ancestors.iter().any(|dir| self.matcher.matches(dir))
    }
}

/// Which patterns of a set matched a path or one of its ancestors.
///
/// The default is that of the root: nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchState(Box<[bool]>);

/// Patterns in order of evaluation.
#[derive(Debug, Clone, Default)]
pub struct PatternSet {
    patterns: Vec<Pattern>,
}

impl PatternSet {
    /// Compiles patterns, leaving out blank ones; the first malformed one is the error.
    pub fn new<P: AsRef<[u8]>>(sources: &[P]) -> Result<Self, PatternError> {
        let compiled = sources.iter().map(|source| Pattern::new(source.as_ref()));
        let patterns = compiled
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    /// The patterns in order.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Reports whether a path is matched, trying all its ancestors.
    pub fn matches(&self, path: &[u8]) -> bool {
        let ancestors = ancestors(path);
        let mut matched = false;
        for pattern in &self.patterns {
            if pattern.exception == matched && pattern.matches_any(path, &ancestors) {
                matched = !pattern.exception;
            }
        }
        matched
    }

    /// Reports whether an entry of a directory is matched, given the directory's results.
    ///
    /// The second value is the entry's own results, to be passed to what it contains.
    pub fn matches_below(&self, path: &[u8], parent: &MatchState) -> (bool, MatchState) {
        // Without results from above the ancestors are tried, as for a path on its own.
        let ancestors = if parent.0.is_empty() {
            ancestors(path)
        } else {
            Vec::new()
        };
        let mut matched = false;
        let mut results = vec![false; self.patterns.len()];
        for (index, pattern) in self.patterns.iter().enumerate() {
            let inherited = parent.0.get(index).is_some_and(|matched| *matched);
            // A pattern that could not change the outcome counts as not matching, also for
            // the children: this is where the two evaluations differ.
            let matches = inherited
                || (pattern.exception == matched && pattern.matches_any(path, &ancestors));
            results[index] = matches;
            if matches {
                matched = !pattern.exception;
            }
        }
        (matched, MatchState(results.into_boxed_slice()))
    }
}

/// The directories above a path as Go's `filepath.Dir` names them, outermost first, without
/// the root.
fn ancestors(path: &[u8]) -> Vec<Vec<u8>> {
    let Some(last) = path.iter().rposition(|byte| *byte == b'/') else {
        return Vec::new();
    };
    let parent = clean(&path[..=last]);
    if parent == b"." {
        return Vec::new();
    }
    let slashes = parent.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let ends = slashes.map(|(position, _)| position).chain([parent.len()]);
    ends.map(|end| parent[..end].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(patterns: &[&str]) -> PatternSet {
        PatternSet::new(patterns).unwrap()
    }

    /// The walker's answer for a path none of whose ancestors was pruned.
    fn walk(set: &PatternSet, path: &[u8]) -> bool {
        let mut state = MatchState::default();
        for dir in ancestors(path) {
            (_, state) = set.matches_below(&dir, &state);
        }
        set.matches_below(path, &state).0
    }

    fn check(patterns: &[&str], path: &str, expected: bool) {
        let set = set(patterns);
        assert_eq!(
            set.matches(path.as_bytes()),
            expected,
            "{patterns:?} {path}"
        );
        assert_eq!(
            walk(&set, path.as_bytes()),
            expected,
            "walking {patterns:?} {path}"
        );
    }

    #[test]
    fn what_lies_in_a_matched_directory_is_matched() {
        check(&["a"], "a/b/c", true);
        check(&["a"], "ab", false);
        check(&["a/b"], "a", false);
    }

    #[test]
    fn the_last_match_decides() {
        check(&["a", "!a/b"], "a/b", false);
        check(&["a", "!a/b"], "a/b/c", false);
        check(&["a", "!a/b", "a/b/c"], "a/b/c", true);
        check(&["!a", "a"], "a", true);
    }

    #[test]
    fn blank_patterns_are_left_out() {
        assert!(set(&["", "  ", "a"]).patterns().len() == 1);
    }

    #[test]
    fn patterns_are_trimmed_and_cleaned_once_more() {
        check(&[" ./a//b/ "], "a/b", true);
        check(&["/a"], "a", false);
    }

    #[test]
    fn malformed_patterns_are_errors() {
        let error = |pattern: &str| PatternSet::new(&["a", pattern]).unwrap_err();
        assert_eq!(error("!"), PatternError::Empty);
        assert_eq!(error("[").to_string(), "pattern \"[\" is malformed");
        assert_eq!(error("a\\"), PatternError::Malformed("a\\".into()));
        assert_eq!(error("[z-a]"), PatternError::Malformed("[z-a]".into()));
    }

    #[test]
    fn names_need_not_be_text() {
        let set = PatternSet::new(&[b"caf\xe9"]).unwrap();
        assert!(set.matches(b"caf\xe9") && !set.matches(b"caf\xe8"));
        assert!(PatternSet::new(&["caf?"]).unwrap().matches(b"caf\xe9"));
    }

    #[test]
    fn hostile_patterns_end_quickly() {
        let pattern = "*a".repeat(200) + "*b";
        let deep = "**/a*/".repeat(50) + "b";
        let path = "a".repeat(4000);
        let dirs = "a/".repeat(2000) + "c";
        let set = set(&[&pattern, &deep, "***a*b*", "**/**/**/**/x"]);
        assert!(!set.matchers_match(path.as_bytes()) && !set.matchers_match(dirs.as_bytes()));
    }

    impl PatternSet {
        /// Without ancestors, which would make long paths quadratic.
        fn matchers_match(&self, path: &[u8]) -> bool {
            self.patterns
                .iter()
                .any(|pattern| pattern.matcher.matches(path))
        }
    }

    proptest! {
        #[test]
        fn any_bytes_either_compile_or_are_refused(
            patterns in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 0..6),
            path in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Ok(set) = PatternSet::new(&patterns) {
                set.matches(&path);
                walk(&set, &path);
            }
        }

        #[test]
        fn any_special_characters_either_compile_or_are_refused(
            patterns in prop::collection::vec("[*?\\[\\]^!a-c/\\\\.-]{0,16}", 0..4),
            path in "[a-c/\\[\\]*]{0,24}",
        ) {
            if let Ok(set) = PatternSet::new(&patterns) {
                set.matches(path.as_bytes());
                walk(&set, path.as_bytes());
            }
        }
    }
}
