//! The names that platforms are made of: which are valid, which are known, which mean the same.
//!
//! Follows containerd/platforms; the lists of known words are those of Go's `syslist.go`.

/// The version and features that may follow an operating system in parentheses.
type OsParts = (String, String, Vec<String>);

/// Says whether `text` may stand for an architecture or a variant.
pub(super) fn is_component(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// Splits `os(version+feature+feature)` into its decoded parts; `None` if it is malformed.
pub(super) fn split_os(text: &str) -> Option<OsParts> {
    let (name, options) = match text.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')')?),
        None => (text, ""),
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    let mut options = options.split('+').map(decode_option);
    let version = options.next()??;
    let features: Option<Vec<String>> = options.collect();
    Some((os(name), version, features?))
}

/// Returns the canonical name of an operating system.
pub(super) fn os(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name == "macos" {
        "darwin".to_owned()
    } else {
        name
    }
}

/// Returns the canonical architecture and variant.
pub(super) fn architecture(architecture: &str, variant: &str) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

/// Says whether a canonical name is an operating system that Go knows.
pub(super) fn is_known_os(name: &str) -> bool {
    const KNOWN: [&str; 17] = [
        "aix",
        "android",
        "darwin",
        "dragonfly",
        "freebsd",
        "hurd",
        "illumos",
        "ios",
        "js",
        "linux",
        "nacl",
        "netbsd",
        "openbsd",
        "plan9",
        "solaris",
        "windows",
        "zos",
    ];
    KNOWN.contains(&name)
}

/// Says whether a canonical name is an architecture that Go knows.
pub(super) fn is_known_architecture(name: &str) -> bool {
    const KNOWN: [&str; 24] = [
        "386",
        "amd64",
        "amd64p32",
        "arm",
        "arm64",
        "arm64be",
        "armbe",
        "loong64",
        "mips",
        "mips64",
        "mips64le",
        "mips64p32",
        "mips64p32le",
        "mipsle",
        "ppc",
        "ppc64",
        "ppc64le",
        "riscv",
        "riscv64",
        "s390",
        "s390x",
        "sparc",
        "sparc64",
        "wasm",
    ];
    KNOWN.contains(&name)
}

/// Escapes the characters of a version or feature that the syntax uses itself.
pub(super) fn encode_option(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => encoded.push_str("%25"),
            '+' => encoded.push_str("%2B"),
            '(' => encoded.push_str("%28"),
            ')' => encoded.push_str("%29"),
            '/' => encoded.push_str("%2F"),
            other => encoded.push(other),
        }
    }
    encoded
}

/// Reverses `encode_option`; `None` for characters that are not allowed or a broken escape.
fn decode_option(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?].map(char::from);
                let [high, low] = digits.map(|digit| digit.to_digit(16));
                decoded.push(u8::try_from(high? * 16 + low?).ok()?);
            }
            b if b.is_ascii_alphanumeric() || b"_.-".contains(&b) => decoded.push(b),
            _ => return None,
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_malformed_options() {
        for text in [
            "", "(1)", "a(", "a(1", "a(1)b", "a(%1)", "a(%ff)", "a((1)", "a b",
        ] {
            assert_eq!(split_os(text), None, "{text}");
        }
    }

    #[test]
    fn options_may_hold_a_version_or_features_or_neither() {
        let check = |text: &str, version: &str, features: &[&str]| {
            let (_, got_version, got_features) = split_os(text).unwrap();
            assert_eq!(
                (got_version.as_str(), got_features.len()),
                (version, features.len())
            );
            assert_eq!(got_features, features);
        };
        check("linux", "", &[]);
        check("linux()", "", &[]);
        check("linux(2)", "2", &[]);
        check("linux(+a+b)", "", &["a", "b"]);
        check("linux(1%2B+a)", "1+", &["a"]);
    }

    #[test]
    fn the_name_of_an_old_architecture_decides_the_variant() {
        let check = |input: (&str, &str), expect: (&str, &str)| {
            let (architecture, variant) = architecture(input.0, input.1);
            assert_eq!((architecture.as_str(), variant.as_str()), expect);
        };
        check(("armhf", "v9"), ("arm", "v7"));
        check(("armel", "7"), ("arm", "v6"));
        check(("i386", "v3"), ("386", ""));
        check(("arm64", "7"), ("arm64", "7"));
    }
}
