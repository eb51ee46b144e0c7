//! Image names: their parts, and their full and short forms.

use mbuild::reference::ImageRef;
use serde::Deserialize;

use super::{Report, load};

#[derive(Deserialize)]
struct Record {
    input: String,
    #[serde(default)]
    error: bool,
    domain: Option<String>,
    path: Option<String>,
    tag: Option<String>,
    digest: Option<String>,
    familiar: Option<String>,
    string: Option<String>,
    with_default_tag: Option<String>,
}

/// Splits off a well-formed SHA-256 digest.
///
/// The program that computed the records had no hash function linked in, so that Go's library
/// refused even good digests. Such a record says only what the name before the digest is worth.
fn without_good_digest(text: &str) -> &str {
    match text.split_once('@') {
        Some((name, digest)) if digest.parse::<mbuild::digest::Digest>().is_ok() => name,
        _ => text,
    }
}

#[test]
fn references_normalise_as_docker_has_them() {
    let mut report = Report::new("references.jsonl");
    for record in load::<Record>(report.name()) {
        let image = ImageRef::parse(&record.input).ok();
        let name = without_good_digest(&record.input);
        if record.error && name != record.input {
            let name_is_good = ImageRef::parse(name).is_ok();
            report.check(&record.input, &image.is_some(), &name_is_good);
            continue;
        }
        let image = image.as_ref();
        let got = [
            image.map(|image| image.domain().to_owned()),
            image.map(|image| image.path().to_owned()),
            image.and_then(|image| image.tag().map(str::to_owned)),
            image.and_then(|image| image.digest().map(ToString::to_string)),
            image.map(ImageRef::familiar),
            image.map(ToString::to_string),
            image.map(|image| image.with_default_tag().to_string()),
        ];
        let expect = [
            record.domain,
            record.path,
            record.tag,
            record.digest,
            record.familiar,
            record.string,
            record.with_default_tag,
        ];
        report.check(
            record.input,
            &(image.is_none(), got),
            &(record.error, expect),
        );
    }
    report.finish();
}
