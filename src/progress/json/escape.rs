//! Strings in JSON as Go's encoder writes them, so that lines are equal byte for byte.

use std::io;

use serde_json::ser::{CompactFormatter, Formatter};

/// Escapes what Go escapes beyond need, lest JSON in HTML or JavaScript should end early.
#[derive(Debug)]
pub(super) struct GoEscapes;

impl Formatter for GoEscapes {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let special = ['<', '>', '&', '\u{2028}', '\u{2029}'];
        for piece in fragment.split_inclusive(special) {
            let Some(last) = piece
                .chars()
                .next_back()
                .filter(|last| special.contains(last))
            else {
                CompactFormatter.write_string_fragment(writer, piece)?;
                continue;
            };
            writer.write_all(&piece.as_bytes()[..piece.len() - last.len_utf8()])?;
            write!(writer, "\\u{:04x}", u32::from(last))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize as _;

    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut json = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, GoEscapes);
        "<a>&\u{2028}\"\n\u{1}ü".serialize(&mut serializer).unwrap();
        let expected = r#""\u003ca\u003e\u0026\u2028\"\n\u0001ü""#;
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }
}
