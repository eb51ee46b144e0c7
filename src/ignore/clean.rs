//! Lexical cleaning of slash-separated paths, as Go's `path.Clean` and `path.Join` do it.
//!
//! The only place where `.`, `..` and repeated slashes are taken out of a path.

/// Returns the shortest path that names the same thing: `a//b/../c/` becomes `a/c`.
///
/// An empty path becomes `.`; `..` is kept at the start of a relative path and dropped at
/// the start of an absolute one.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match kept.last() {
                Some(last) if *last != b".." => {
                    kept.pop();
                }
                _ if rooted => {}
                _ => kept.push(part),
            },
            _ => kept.push(part),
        }
    }
    let body = kept.join(&b'/');
    match (rooted, body.is_empty()) {
        (true, _) => [b"/", body.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => body,
    }
}

/// Joins two paths with a slash and cleans the result; an empty one counts for nothing.
pub fn join(base: &[u8], rest: &[u8]) -> Vec<u8> {
    match (base.is_empty(), rest.is_empty()) {
        (true, true) => Vec::new(),
        (true, false) => clean(rest),
        (false, true) => clean(base),
        (false, false) => clean(&[base, b"/", rest].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str) {
        assert_eq!(clean(input.as_bytes()), expected.as_bytes(), "{input:?}");
    }

    #[test]
    fn relative_paths() {
        check("", ".");
        check(".", ".");
        check("./a//b/", "a/b");
        check("a/../../b", "../b");
        check("../../a", "../../a");
        check("a/..", ".");
        check("...", "...");
    }

    #[test]
    fn absolute_paths() {
        check("/", "/");
        check("//a/./b", "/a/b");
        check("/../a", "/a");
    }

    #[test]
    fn joining() {
        assert_eq!(join(b"a", b"../b"), b"b");
        assert_eq!(join(b"", b"b/"), b"b");
        assert_eq!(join(b"/", b"../../b"), b"/b");
        assert_eq!(join(b"", b""), b"");
    }
}
