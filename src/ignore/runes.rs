//! Bytes to characters the way Go reads them: a byte that is not UTF-8 counts as one U+FFFD.

/// Returns the first character of `bytes` and its length, `None` at the end.
pub(super) fn first_rune(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let window = bytes.get(..4).unwrap_or(bytes);
    let valid = match std::str::from_utf8(window) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&window[..error.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(rune) => Some((rune, rune.len_utf8())),
        None => Some((char::REPLACEMENT_CHARACTER, 1)),
    }
}

/// Returns all characters of `bytes`.
pub(super) fn runes(bytes: &[u8]) -> impl Iterator<Item = char> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (rune, width) = first_rune(rest)?;
        rest = &rest[width..];
        Some(rune)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: &str) {
        assert_eq!(runes(input).collect::<String>(), expected);
    }

    #[test]
    fn valid_text_is_unchanged() {
        check("aé漢🦀z".as_bytes(), "aé漢🦀z");
        check(b"", "");
    }

    #[test]
    fn every_invalid_byte_counts_once() {
        check(b"a\xe9b", "a\u{fffd}b");
        check(b"\xe6\xbc", "\u{fffd}\u{fffd}");
        check(b"\xff\xc3\xa9", "\u{fffd}é");
    }
}
