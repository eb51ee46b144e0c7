//! Which characters the parts of an image name may hold.
//!
//! The grammar of distribution/reference, checked by hand rather than by regular expressions.

/// The most characters a repository may have.
pub(super) const MAX_PATH: usize = 255;

/// The most characters a tag may have.
const MAX_TAG: usize = 128;

/// Says whether the text is 64 lower-case hexadecimal digits.
pub(super) fn is_image_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Says whether the text is a host name, an IPv4 address or an IPv6 address in brackets, and
/// perhaps a port, whose number isn't looked at.
pub(super) fn is_domain(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        let is_address = |b: u8| b.is_ascii_hexdigit() || b == b':';
        let has_address = !address.is_empty() && address.bytes().all(is_address);
        return has_address && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    match text.split_once(':') {
        Some((host, port)) => is_host(host) && is_port(port),
        None => is_host(text),
    }
}

/// Says whether the text is a repository: components of lower-case letters and digits.
///
/// Within a component they are separated by one dot, one or two underscores, or any dashes.
pub(super) fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_component)
}

/// Says whether the text is a tag: letters, digits, `_`, and then also `.` and `-`.
pub(super) fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

fn is_host(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_path_component(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_separator =
        |run: &[u8]| matches!(run, b"." | b"_" | b"__") || run.iter().all(|&b| b == b'-');
    let mut runs = text.as_bytes().chunk_by(|&a, &b| is_word(a) == is_word(b));
    let ends_in_words = |b: Option<u8>| b.is_some_and(is_word);
    ends_in_words(text.bytes().next())
        && ends_in_words(text.bytes().last())
        && runs.all(|run| run.iter().all(|&b| is_word(b)) || is_separator(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(is: fn(&str) -> bool, refused: &[&str], accepted: &[&str]) {
        for text in refused {
            assert!(!is(text), "{text}");
        }
        for text in accepted {
            assert!(is(text), "{text}");
        }
    }

    #[test]
    fn a_domain_is_a_host_with_an_optional_port() {
        check(
            is_domain,
            &[
                "", "-a", "a-.b", "a..b", "a:", "a:b", "[]", "[::1", "[::1]x", "[g]", "a_b", "ü",
            ],
            &[
                "a",
                "A-1.b",
                "a:1",
                "127.0.0.1:99999",
                "[::1]",
                "[fe80::1]:5000",
            ],
        );
    }

    #[test]
    fn a_path_has_words_between_separators() {
        check(
            is_path,
            &[
                "", "/", "a/", "/a", "a//b", "a___b", "a..b", "a._b", "a-_b", "-a", "a-", "A", "é",
            ],
            &["a", "a/b", "a.b", "a_b", "a__b", "a---b", "0"],
        );
    }

    #[test]
    fn a_tag_starts_with_a_word() {
        let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
        check(
            is_tag,
            &["", ".a", "-a", "a:b", "é", &too_long],
            &["_", "A.b-1", &longest],
        );
    }
}
