//! Reads an ignore file's text into patterns.
//!
//! The daemon's frontend does this for a build; the client needs it where no daemon is asked.

use super::clean::clean;
use super::runes::first_rune;

/// Returns the patterns of an ignore file, cleaned, in order, each with its `!` if it has one.
pub fn parse_ignore_file(text: &[u8]) -> Vec<Vec<u8>> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    text.split(|byte| *byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

fn parse_line(line: &[u8]) -> Option<Vec<u8>> {
    // A comment starts in the first column; an indented `#` is part of a pattern.
    if line.starts_with(b"#") {
        return None;
    }
    let line = trim(line);
    let (exception, pattern) = match line.strip_prefix(b"!") {
        Some(rest) => (&b"!"[..], trim(rest)),
        None => (&b""[..], line),
    };
    if pattern.is_empty() {
        return (!exception.is_empty()).then(|| exception.to_vec());
    }
    let cleaned = clean(pattern);
    let relative = match cleaned.strip_prefix(b"/") {
        Some(rest) if !rest.is_empty() => rest,
        _ => &cleaned,
    };
    Some([exception, relative].concat())
}

/// Takes white space, Unicode's included, off both ends.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let Some((rune, width)) = first_rune(text)
        && rune.is_whitespace()
    {
        text = &text[width..];
    }
    let mut end = 0;
    let mut position = 0;
    while let Some((rune, width)) = first_rune(&text[position..]) {
        position += width;
        if !rune.is_whitespace() {
            end = position;
        }
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: &[&[u8]]) {
        assert_eq!(parse_ignore_file(text), expected);
    }

    #[test]
    fn blank_lines_comments_and_marks_are_dropped() {
        check(b"\xef\xbb\xbf# a\r\n\r\nb\r\n   \n#c", &[b"b"]);
    }

    #[test]
    fn an_indented_number_sign_is_a_pattern() {
        check(b" #a", &[b"#a"]);
    }

    #[test]
    fn patterns_are_made_relative_and_clean() {
        check(
            b"/a/b/\n./c//d\n! /e/../f\n/",
            &[b"a/b", b"c/d", b"!f", b"/"],
        );
    }

    #[test]
    fn a_lone_exclamation_mark_stays_for_the_compiler_to_refuse() {
        check(b"!", &[b"!"]);
    }

    #[test]
    fn unicode_white_space_is_trimmed_and_other_bytes_are_kept() {
        check(b"\xc2\xa0a\xe9 \xe3\x80\x80", &[b"a\xe9"]);
        assert_eq!(trim(b"\xff"), b"\xff");
    }
}
