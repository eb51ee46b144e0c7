//! Shell globs as Go's `filepath.Match` reads them: `*`, `?`, brackets and backslashes.
//!
//! Two uses: ignore patterns must be valid globs, and a wildcard in a followed path selects
//! directory entries this way and not by the ignore dialect.

use super::automaton::{Automaton, Symbol, Token};
use super::charset::CharSet;
use super::runes::first_rune;

/// A compiled glob.
#[derive(Debug, Clone)]
pub struct Glob(Automaton);

impl Glob {
    /// Compiles a glob; `None` if it is malformed.
    pub fn new(pattern: &[u8]) -> Option<Self> {
        Some(Self(Automaton::new(parse(pattern)?)))
    }

    /// Reports whether the whole of `name` matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.matches(name)
    }

    /// Reports whether `text` holds an unescaped `*`, `?` or `[`.
    pub fn is_wild(text: &[u8]) -> bool {
        let mut rest = text.iter();
        while let Some(byte) = rest.next() {
            match byte {
                b'\\' => {
                    rest.next();
                }
                b'*' | b'?' | b'[' => return true,
                _ => {}
            }
        }
        false
    }
}

/// Reports whether `pattern` is well formed.
pub(super) fn is_valid(pattern: &[u8]) -> bool {
    parse(pattern).is_some()
}

fn parse(pattern: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some((rune, width)) = first_rune(rest) {
        rest = &rest[width..];
        tokens.push(match rune {
            '*' => Token::Many(Symbol::NotSlash),
            '?' => Token::One(Symbol::NotSlash),
            '[' => {
                let (set, after) = parse_set(rest)?;
                rest = after;
                Token::One(Symbol::Set(set))
            }
            '\\' => {
                let (escaped, width) = first_rune(rest)?;
                rest = &rest[width..];
                Token::One(Symbol::Char(escaped))
            }
            _ => Token::One(Symbol::Char(rune)),
        });
    }
    Some(tokens)
}

/// Reads a bracketed set after its `[`. Unlike a shell's, it cannot start with `]`.
fn parse_set(text: &[u8]) -> Option<(CharSet, &[u8])> {
    let negated = text.strip_prefix(b"^");
    let mut set = CharSet::new(negated.is_some());
    let mut rest = negated.unwrap_or(text);
    let mut first = true;
    loop {
        if !first && let Some(after) = rest.strip_prefix(b"]") {
            return Some((set, after));
        }
        first = false;
        let (low, after) = set_char(rest)?;
        let (high, after) = match after.strip_prefix(b"-") {
            Some(after) => set_char(after)?,
            None => (low, after),
        };
        set.add(low, high);
        rest = after;
    }
}

/// Reads one end of a range; something must follow it.
fn set_char(text: &[u8]) -> Option<(char, &[u8])> {
    let text = match text.first()? {
        b'-' | b']' => return None,
        b'\\' => &text[1..],
        _ => text,
    };
    let (rune, width) = first_rune(text)?;
    let invalid = rune == char::REPLACEMENT_CHARACTER && width == 1;
    let rest = &text[width..];
    (!invalid && !rest.is_empty()).then_some((rune, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, name: &str, expected: Option<bool>) {
        let found = Glob::new(pattern.as_bytes()).map(|glob| glob.matches(name.as_bytes()));
        assert_eq!(found, expected, "{pattern} {name}");
    }

    #[test]
    fn wildcards() {
        check("*.go", "a.go", Some(true));
        check("*.go", "a.gox", Some(false));
        check("a*b*c", "axbxbxc", Some(true));
        check("a?c", "aéc", Some(true));
        check("*", "a/b", Some(false));
        check("[a-c]", "b", Some(true));
        check("[^a-c]", "b", Some(false));
        check("[*]", "*", Some(true));
        check("\\*", "*", Some(true));
    }

    #[test]
    fn malformed_globs_are_refused() {
        for pattern in [
            "[", "[]", "[]a]", "[a", "[-a]", "[a-]", "a\\", "[a\\", "[^]",
        ] {
            check(pattern, "a", None);
        }
        assert!(Glob::new(b"[\xff]").is_none());
    }

    #[test]
    fn escaped_wildcards_are_not_wild() {
        assert!(Glob::is_wild(b"a*") && Glob::is_wild(b"[a") && Glob::is_wild(b"\\\\?"));
        assert!(!Glob::is_wild(b"a\\*") && !Glob::is_wild(b"a]") && !Glob::is_wild(b"\\"));
    }
}
