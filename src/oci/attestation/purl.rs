//! The names of subjects: images as package URLs, `pkg:docker/r.io%3A5000/app@1?platform=…`.
//!
//! Only as much as it takes to give an image another tag; everything else stays as it is.

/// What all of them begin with.
const SCHEME: &str = "pkg:docker/";

/// An image's name in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ImageUrl<'a> {
    /// Up to the tag, as it is written.
    name: &'a str,
    /// What comes after the tag, with its `?` or `#`; often empty.
    rest: &'a str,
}

impl<'a> ImageUrl<'a> {
    /// Takes the URL apart; `None` if it names no image.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        text.strip_prefix(SCHEME)?;
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let (body, rest) = text.split_at(end);
        // A port's colon is written %3A, and an `@` of a name %40.
        let name = body.split_once('@').map_or(body, |(name, _)| name);
        Some(Self { name, rest })
    }

    /// The repository's short name, as a user types it; `None` if it is no text.
    pub(super) fn repository(&self) -> Option<String> {
        decode(self.name.strip_prefix(SCHEME)?)
    }

    /// The same image under another tag, or under none.
    pub(super) fn with_tag(&self, tag: Option<&str>) -> String {
        // Tags have no letters that would have to be escaped.
        let tag = tag.map(|tag| format!("@{tag}")).unwrap_or_default();
        format!("{}{tag}{}", self.name, self.rest)
    }
}

/// Undoes percent signs.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let [high, low, tail @ ..] = tail else {
            return None;
        };
        bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_put_in_place_of_another() {
        let check = |text: &str, repository: &str, expect: &str| {
            let url = ImageUrl::parse(text).unwrap();
            assert_eq!(url.repository().as_deref(), Some(repository));
            assert_eq!(url.with_tag(Some("1.2")), expect);
        };
        check(
            "pkg:docker/10.0.0.1%3A5000/team/app@latest?platform=linux%2Farm64",
            "10.0.0.1:5000/team/app",
            "pkg:docker/10.0.0.1%3A5000/team/app@1.2?platform=linux%2Farm64",
        );
        check("pkg:docker/alpine", "alpine", "pkg:docker/alpine@1.2");
        let url = ImageUrl::parse("pkg:docker/a@b?digest=sha256:0").unwrap();
        assert_eq!(url.with_tag(None), "pkg:docker/a?digest=sha256:0");
    }

    #[test]
    fn other_names_are_none() {
        assert_eq!(ImageUrl::parse("pkg:golang/x@1"), None);
        assert_eq!(ImageUrl::parse("_"), None);
        let broken = ImageUrl::parse("pkg:docker/a%4").unwrap();
        assert_eq!(broken.repository(), None);
    }
}
