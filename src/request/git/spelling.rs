//! The parts of a repository's address, and the percent signs in them.

use std::fmt::Write as _;

use super::Transport;

/// An address in its parts, as they were written.
pub(super) struct Spelling<'a> {
    pub(super) remote: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) fragment: Option<&'a str>,
    pub(super) transport: Transport,
    /// Whether percent signs in the fragment mean something.
    is_url: bool,
}

impl Spelling<'_> {
    /// Undoes the fragment's percent signs, if it has any that mean something.
    pub(super) fn decode(&self, text: &str) -> String {
        match self.is_url {
            true => decode(text),
            false => text.to_owned(),
        }
    }
}

/// Takes an address apart; `None` when it names no repository.
pub(super) fn split(text: &str) -> Option<Spelling<'_>> {
    let (rest, fragment) = cut(text, '#');
    let (remote, query) = cut(rest, '?');
    let transport = match text.split_once("://") {
        Some(("git", _)) => Transport::Git,
        Some(("ssh", _)) => Transport::Ssh,
        // Other files on the web are no repositories.
        Some(("http" | "https", _)) if remote.ends_with(".git") => Transport::Http,
        Some(_) => return None,
        None if is_short(text) => Transport::Http,
        None if is_scp_like(text) => Transport::Ssh,
        None => return None,
    };
    let is_url = text.contains("://") || is_short(text);
    Some(Spelling {
        remote,
        query,
        fragment,
        transport,
        is_url,
    })
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

pub(super) fn is_short(text: &str) -> bool {
    text.starts_with("github.com/")
}

/// Says whether a word looks like `user@host:path`, with no slash before the colon.
pub fn is_scp_like(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else {
        return false;
    };
    let Some((host, _)) = rest.split_once(':') else {
        return false;
    };
    let is_word = |text: &str, more: &[u8]| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || more.contains(&b);
        !text.is_empty() && text.bytes().all(allowed)
    };
    is_word(user, b"_-") && is_word(host, b".-")
}

/// Undoes percent signs; those that mean nothing stay.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes
            .get(at + 1..at + 3)
            .and_then(byte)
            .filter(|_| bytes[at] == b'%')
        {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// The byte that two hexadecimal digits stand for.
fn byte(digits: &[u8]) -> Option<u8> {
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    let value = value(&digits[0])? * 16 + value(&digits[1])?;
    u8::try_from(value).ok()
}

/// Writes what has a meaning of its own in a URL with a percent sign, where `is_url`.
pub(super) fn encode(text: &str, is_url: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b if !is_url && b.is_ascii() => encoded.push(char::from(b)),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'/' | b'@' | b'^' => encoded.push(char::from(byte)),
            // A String takes any text.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    match is_url {
        true => encoded,
        false => text.to_owned(),
    }
}
