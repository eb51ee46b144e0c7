//! Reads the few forms of Go's regular expressions that `dialect` can produce.
//!
//! Those are characters, escapes, bracketed sets, `[^/]*`, `(.*/)?`, `.*` and a stray `^`.
//! Escapes that name a Unicode class, a word boundary or a number are refused rather than
//! misread; nobody has been seen to write them in an ignore file.

use super::automaton::{Symbol, Token};
use super::charset::CharSet;

/// Returns the tokens of an expression, `None` if it is malformed or not supported.
pub(super) fn parse(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(rune) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("(.*/)?") {
            tokens.push(Token::Directories);
            rest = after;
        } else if let Some(after) = rest.strip_prefix(".*") {
            tokens.push(Token::Many(Symbol::NotNewline));
            rest = after;
        } else if let Some(after) = rest.strip_prefix("[^/]*") {
            tokens.push(Token::Many(Symbol::NotSlash));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (set, after) = parse_set(after)?;
            let (token, after) = match after.strip_prefix('*') {
                Some(after) => (Token::Many(Symbol::Set(set)), after),
                None => (Token::One(Symbol::Set(set)), after),
            };
            tokens.push(token);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('\\') {
            let (token, after) = parse_escape(after)?;
            tokens.push(token);
            rest = after;
        } else {
            tokens.push(match rune {
                '^' => Token::Start,
                _ => Token::One(Symbol::Char(rune)),
            });
            rest = &rest[rune.len_utf8()..];
        }
    }
    Some(tokens)
}

/// Reads what follows a backslash outside brackets.
fn parse_escape(text: &str) -> Option<(Token, &str)> {
    let letter = text.chars().next()?;
    let mut set = CharSet::new(false);
    if set.add_perl(letter) {
        return Some((Token::One(Symbol::Set(set)), &text[1..]));
    }
    let (rune, after) = escaped_char(text)?;
    Some((Token::One(Symbol::Char(rune)), after))
}

/// Reads what follows a backslash, if it stands for a single character.
fn escaped_char(text: &str) -> Option<(char, &str)> {
    let letter = text.chars().next()?;
    let rune = match letter {
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        _ if letter.is_ascii() && !letter.is_ascii_alphanumeric() => letter,
        _ => return None,
    };
    Some((rune, &text[1..]))
}

/// Reads a bracketed set after its `[`.
fn parse_set(text: &str) -> Option<(CharSet, &str)> {
    let negated = text.strip_prefix('^');
    let mut set = CharSet::new(negated.is_some());
    let mut rest = negated.unwrap_or(text);
    let mut first = true;
    loop {
        if !first && let Some(after) = rest.strip_prefix(']') {
            return Some((set, after));
        }
        first = false;
        rest = parse_set_item(rest, &mut set)?;
    }
}

/// Reads one named class, range or character into `set`.
fn parse_set_item<'a>(text: &'a str, set: &mut CharSet) -> Option<&'a str> {
    if let Some((name, after)) = text
        .strip_prefix("[:")
        .and_then(|rest| rest.split_once(":]"))
    {
        return set.add_posix(name).then_some(after);
    }
    if let Some(escape) = text.strip_prefix('\\')
        && escape
            .chars()
            .next()
            .is_some_and(|letter| set.add_perl(letter))
    {
        return Some(&escape[1..]);
    }
    let (low, rest) = set_char(text)?;
    let (high, rest) = match rest.strip_prefix('-') {
        Some(after) if !after.is_empty() && !after.starts_with(']') => set_char(after)?,
        _ => (low, rest),
    };
    if high < low {
        return None;
    }
    set.add(low, high);
    Some(rest)
}

fn set_char(text: &str) -> Option<(char, &str)> {
    let rune = text.chars().next()?;
    let rest = &text[rune.len_utf8()..];
    if rune == '\\' {
        escaped_char(rest)
    } else {
        Some((rune, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_text_is_refused() {
        for text in ["[", "[^", "[a", "[a-", "[a\\", "\\", "[]"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for text in ["\\b", "\\pL", "\\x41", "\\1", "\\Q", "[\\pL]"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_lone_closing_bracket_is_a_character() {
        assert_eq!(parse("]"), Some(vec![Token::One(Symbol::Char(']'))]));
    }
}
