//! One in-toto statement: whom it is about, and the same statement about other names.
//!
//! All of a statement but its list of subjects is kept byte for byte.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Names;
use super::purl::ImageUrl;
use crate::digest::Digest;

/// What becomes of a statement when an image's names are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It names what it should, or is no statement.
    Kept,
    /// It named something else; this is what it has to be.
    Renamed(Vec<u8>),
    /// It names something else, and is signed, so that it has to stay.
    Signed,
}

/// The part that is looked at.
#[derive(Deserialize)]
struct Statement<'a> {
    #[serde(borrow)]
    subject: &'a RawValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    name: String,
    #[serde(default)]
    digest: BTreeMap<String, String>,
    #[serde(flatten)]
    extra: BTreeMap<String, Value>,
}

/// A statement in the envelope of its signature.
#[derive(Deserialize)]
struct Envelope {
    payload: String,
}

/// An envelope in a bundle with what proves it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Envelope,
}

/// Gives a statement about `image` the names that the image gets.
pub(super) fn rename(bytes: &[u8], image: Digest, names: &Names) -> Outcome {
    if let Some(payload) = signed(bytes) {
        return match renamed(&payload, image, names) {
            Some(_) => Outcome::Signed,
            None => Outcome::Kept,
        };
    }
    renamed(bytes, image, names).map_or(Outcome::Kept, Outcome::Renamed)
}

fn signed(bytes: &[u8]) -> Option<Vec<u8>> {
    let envelope: Envelope = serde_json::from_slice(bytes)
        .or_else(|_| serde_json::from_slice(bytes).map(|bundle: Bundle| bundle.dsse_envelope))
        .ok()?;
    STANDARD.decode(envelope.payload).ok()
}

/// The statement with other subjects; `None` if they are right, or it is no statement.
fn renamed(bytes: &[u8], image: Digest, names: &Names) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let statement: Statement<'_> = serde_json::from_str(text).ok()?;
    let subjects: Vec<Subject> = serde_json::from_str(statement.subject.get()).ok()?;
    let mut wanted: Vec<Subject> = Vec::new();
    for subject in &subjects {
        for subject in subject.named(image, names) {
            if !wanted.contains(&subject) {
                wanted.push(subject);
            }
        }
    }
    if wanted == subjects {
        return None;
    }
    let wanted = serde_json::to_string(&wanted).ok()?;
    Some(super::splice(text, &[(statement.subject, wanted)]).into_bytes())
}

impl Subject {
    /// The same subject under each of its names; itself if it is something else.
    fn named(&self, image: Digest, names: &Names) -> Vec<Self> {
        let image = image.to_string();
        let is_image = self
            .digest
            .iter()
            .any(|(algorithm, hex)| image == format!("{algorithm}:{hex}"));
        let Some(url) = ImageUrl::parse(&self.name).filter(|_| is_image) else {
            return vec![self.clone()];
        };
        let Some(tags) = url.repository().and_then(|name| names.tags(&name)) else {
            return vec![self.clone()];
        };
        let with = |tag: Option<&str>| Self {
            name: url.with_tag(tag),
            ..self.clone()
        };
        match tags {
            // Pushed by digest alone, it has no tag; `latest` would be somebody else's.
            [] => vec![with(None)],
            tags => tags.iter().map(|tag| with(Some(tag))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn image() -> Digest {
        format!("sha256:{HEX}").parse().unwrap()
    }

    fn names(list: &[(&str, &[&str])]) -> Names {
        let mut names = Names::default();
        for (repository, tags) in list {
            names.repository(repository);
            tags.iter().for_each(|tag| names.tag(repository, tag));
        }
        names
    }

    fn statement(subjects: &[&str]) -> String {
        let subjects: Vec<String> = subjects
            .iter()
            .map(|name| format!(r#"{{"name":"{name}","digest":{{"sha256":"{HEX}"}}}}"#))
            .collect();
        format!(
            r#"{{"_type":"t","predicateType":"p", "subject":[{}],"predicate":{{"z":1, "a":1.0e3}}}}"#,
            subjects.join(",")
        )
    }

    #[track_caller]
    fn check(subjects: &[&str], to: &Names, expect: Option<&[&str]>) {
        let outcome = rename(statement(subjects).as_bytes(), image(), to);
        let expect = expect.map_or(Outcome::Kept, |subjects| {
            Outcome::Renamed(statement(subjects).into_bytes())
        });
        assert_eq!(outcome, expect);
    }

    #[test]
    fn every_tag_is_a_subject_and_nothing_else_changes() {
        check(
            &["pkg:docker/r/a@latest?platform=p"],
            &names(&[("r/a", &["1", "2"])]),
            Some(&["pkg:docker/r/a@1?platform=p", "pkg:docker/r/a@2?platform=p"]),
        );
        let two = names(&[("r/a", &["1"]), ("h:1/b", &["x"])]);
        check(
            &["pkg:docker/r/a@latest", "pkg:docker/h%3A1/b@latest"],
            &two,
            Some(&["pkg:docker/r/a@1", "pkg:docker/h%3A1/b@x"]),
        );
    }

    #[test]
    fn what_is_right_stays() {
        check(
            &["pkg:docker/a@latest"],
            &names(&[("a", &["latest"])]),
            None,
        );
        let two = names(&[("a", &["1", "2"])]);
        check(&["pkg:docker/a@1", "pkg:docker/a@2"], &two, None);
        check(&["pkg:docker/other@latest", "_"], &two, None);
        assert_eq!(rename(b"{}", image(), &two), Outcome::Kept);
        assert_eq!(rename(b"\xff", image(), &two), Outcome::Kept);
    }

    #[test]
    fn an_image_that_gets_no_tag_has_none() {
        check(
            &["pkg:docker/a@latest?platform=p"],
            &names(&[("a", &[])]),
            Some(&["pkg:docker/a?platform=p"]),
        );
    }

    #[test]
    fn another_images_subject_is_not_ours() {
        let text = statement(&["pkg:docker/a@latest"]);
        let outcome = rename(text.as_bytes(), Digest::of(b"x"), &names(&[("a", &["1"])]));
        assert_eq!(outcome, Outcome::Kept);
    }

    #[test]
    fn what_is_signed_stays_and_is_told_if_it_is_wrong() {
        let payload = STANDARD.encode(statement(&["pkg:docker/a@latest"]));
        let envelope = format!(r#"{{"payloadType":"x","payload":"{payload}","signatures":[]}}"#);
        let bundle = format!(r#"{{"mediaType":"m","dsseEnvelope":{envelope}}}"#);
        for text in [envelope, bundle] {
            let with = |tag| rename(text.as_bytes(), image(), &names(&[("a", &[tag])]));
            assert_eq!(with("1"), Outcome::Signed);
            assert_eq!(with("latest"), Outcome::Kept);
        }
    }
}
