//! One ignore-file pattern, compiled.
//!
//! The Go library turns every pattern that is not plain into a regular expression, by rules
//! with surprising corners (`[*]` is a bracket followed by anything and a bracket). The same
//! translation is made here, and `regex_text` reads what it can produce.

use super::automaton::Automaton;
use super::regex_text;
use super::runes::runes;

/// How a path is compared with a pattern.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    /// The path is exactly this.
    Exact(Vec<u8>),
    /// The path starts with this (`a/**`).
    Prefix(Vec<u8>),
    /// The path ends with this (`**/a`, which also matches `a`).
    Suffix(Vec<u8>),
    /// Anything with wildcards in it.
    Wild(Automaton),
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Wild,
}

impl Matcher {
    /// Compiles a cleaned pattern without its `!`; `None` if it is malformed.
    pub(super) fn new(pattern: &[u8]) -> Option<Self> {
        let (kind, text) = translate(pattern);
        Some(match kind {
            Kind::Exact => Self::Exact(pattern.to_vec()),
            Kind::Prefix => Self::Prefix(pattern.strip_suffix(b"**")?.to_vec()),
            Kind::Suffix => Self::Suffix(pattern.strip_prefix(b"**")?.to_vec()),
            Kind::Wild => Self::Wild(Automaton::new(regex_text::parse(&text)?)),
        })
    }

    pub(super) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(text) => path.starts_with(text),
            Self::Suffix(text) => {
                path.ends_with(text) || text.strip_prefix(b"/").is_some_and(|rest| rest == path)
            }
            Self::Wild(automaton) => automaton.matches(path),
        }
    }
}

/// Returns what kind of pattern this is and, for a wild one, its regular expression.
fn translate(pattern: &[u8]) -> (Kind, String) {
    let mut kind = Kind::Exact;
    let mut text = String::new();
    let mut rest = runes(pattern).peekable();
    let mut first = true;
    while let Some(rune) = rest.next() {
        let starting = std::mem::take(&mut first);
        match rune {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                let last = rest.peek().is_none();
                kind = match (last, kind) {
                    _ if starting => Kind::Suffix,
                    (true, Kind::Exact) => Kind::Prefix,
                    _ => Kind::Wild,
                };
                text.push_str(if last { ".*" } else { "(.*/)?" });
            }
            '*' => {
                text.push_str("[^/]*");
                kind = Kind::Wild;
            }
            '?' => {
                text.push_str("[^/]");
                kind = Kind::Wild;
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => text.extend(['\\', rune]),
            '\\' => {
                text.push('\\');
                if let Some(escaped) = rest.next() {
                    text.push(escaped);
                    kind = Kind::Wild;
                }
            }
            '[' | ']' => {
                text.push(rune);
                kind = Kind::Wild;
            }
            _ => text.push(rune),
        }
    }
    (kind, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let matcher = Matcher::new(pattern.as_bytes()).expect(pattern);
        for path in matching {
            assert!(
                matcher.matches(path.as_bytes()),
                "{pattern:?} should match {path:?}"
            );
        }
        for path in others {
            assert!(
                !matcher.matches(path.as_bytes()),
                "{pattern:?} should not match {path:?}"
            );
        }
    }

    #[test]
    fn plain_patterns_compare_whole_paths() {
        check("a.b/c^", &["a.b/c^"], &["axb/c^", "x/a.b/c^", "a.b"]);
    }

    #[test]
    fn single_stars_stay_within_a_component() {
        check("*.go", &["a.go", ".go"], &["a/b.go", "a.gox"]);
        check("a/?/c", &["a/é/c"], &["a//c", "a/bb/c"]);
    }

    #[test]
    fn double_stars_cross_components() {
        check("**", &["a", "a/b"], &[]);
        check("a/**", &["a/b", "a/b/c"], &["a", "ab"]);
        check("**/a", &["a", "x/a", "x/y/a"], &["xa", "a/x"]);
        check("**a", &["a", "xa", "x/ya"], &["ax"]);
        check("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb"]);
        check("**/*.go", &["a.go", "x/a.go"], &["a.gox"]);
        check("**/a/**", &["a/x", "x/a/y"], &["a", "xa/y"]);
    }

    #[test]
    fn a_trailing_double_star_widens_what_came_before() {
        check("a*/**", &["ab/c", "a/b/c"], &["ab", "b/c"]);
        check("***", &["a", "a/b"], &["a\n/b"]);
    }

    #[test]
    fn brackets() {
        check("[a-c]x", &["ax", "cx"], &["dx", "x"]);
        check("[^a-c]x", &["dx", "/x"], &["ax"]);
        check("[\\]]", &["]"], &["\\"]);
        check("[[:digit:]]", &["7"], &["d", "7]"]);
    }

    #[test]
    fn a_star_in_brackets_ends_them() {
        check("[*]", &["]", "[]", "^/[]"], &["*", "a]"]);
        check("[?]", &["[]", "/]"], &["?"]);
    }

    #[test]
    fn a_caret_beside_wildcards_is_an_anchor() {
        check("^a*", &["a", "ab"], &["^a"]);
        check("a^b*", &[], &["a^b", "ab"]);
    }

    #[test]
    fn escapes() {
        check("\\*", &["*"], &["a", "\\*"]);
        check("a\\d", &["a7"], &["ad"]);
    }

    #[test]
    fn what_go_cannot_compile_is_refused() {
        for pattern in ["[z-a]", "\\q", "\\é", "[[:what:]]"] {
            assert!(Matcher::new(pattern.as_bytes()).is_none(), "{pattern}");
        }
    }
}
