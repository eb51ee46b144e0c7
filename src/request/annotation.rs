//! The `--annotation` flag: keys and values attached to manifests, indexes and descriptors.
//!
//! An annotation becomes an attribute of every image output; what applies to a merged index is
//! put there by the client.

use std::fmt;

use crate::attrs::FlagError;
use crate::platform::Platform;

const FLAG: &str = "--annotation";

/// One annotation in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationSpec {
    /// What is annotated; `None` if it wasn't said, which the daemon takes for the manifest.
    pub place: Option<AnnotationPlace>,
    /// Whose manifest or descriptor; `None` means every platform's.
    pub platform: Option<Platform>,
    /// The key.
    pub key: String,
    /// The value, perhaps empty.
    pub value: String,
}

/// What an annotation is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnnotationPlace {
    /// The manifest of each platform.
    Manifest,
    /// The entry of each manifest in the index.
    ManifestDescriptor,
    /// The index.
    Index,
    /// The descriptor of the index in an OCI layout.
    IndexDescriptor,
}

impl AnnotationSpec {
    /// Parses `[PLACE[[PLATFORM]][,PLACE…]:]KEY=VALUE` into one annotation for each place.
    ///
    /// An empty value gives none. A colon in the value doesn't count, one in the key does.
    ///
    /// # Errors
    ///
    /// When there is no `=`, or a place or a platform is not one.
    pub fn parse(value: &str) -> Result<Vec<Self>, FlagError> {
        if value.is_empty() {
            return Ok(Vec::new());
        }
        let Some((left, right)) = value.split_once('=') else {
            return Err(form(value, "of the form [place:]key=value"));
        };
        let make = |place, platform, key: &str| Self {
            place,
            platform,
            key: key.to_owned(),
            value: right.to_owned(),
        };
        let Some((places, key)) = left.split_once(':') else {
            return Ok(vec![make(None, None, left)]);
        };
        let places = places.split(',').map(|place| {
            let (place, platform) = parse_place(value, place)?;
            Ok(make(Some(place), platform, key))
        });
        places.collect()
    }

    /// Returns the exporter's attribute that carries the annotation.
    ///
    /// An index is nobody's in particular, so that its platform is left out.
    pub fn attr_name(&self) -> String {
        let place = self
            .place
            .map(|place| format!("-{place}"))
            .unwrap_or_default();
        let is_index = matches!(
            self.place,
            Some(AnnotationPlace::Index | AnnotationPlace::IndexDescriptor)
        );
        let platform = self.platform.as_ref().filter(|_| !is_index);
        let platform = platform.map(|platform| format!("[{}]", platform.format_all()));
        format!(
            "annotation{place}{}.{}",
            platform.unwrap_or_default(),
            self.key
        )
    }
}

impl AnnotationPlace {
    /// Returns the name that the flag uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::ManifestDescriptor => "manifest-descriptor",
            Self::Index => "index",
            Self::IndexDescriptor => "index-descriptor",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [
            Self::Manifest,
            Self::ManifestDescriptor,
            Self::Index,
            Self::IndexDescriptor,
        ]
        .into_iter()
        .find(|place| place.name() == name)
    }
}

/// Prints the name that the flag uses.
impl fmt::Display for AnnotationPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Parses `PLACE` or `PLACE[PLATFORM]`, a part of `whole`.
fn parse_place(whole: &str, text: &str) -> Result<(AnnotationPlace, Option<Platform>), FlagError> {
    let bad_place = || FlagError::Value {
        flag: FLAG,
        key: whole.to_owned(),
        value: text.to_owned(),
        expected: "manifest, manifest-descriptor, index or index-descriptor",
    };
    let (name, platform) = match text.split_once('[') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(']').ok_or_else(bad_place)?)),
        None => (text, None),
    };
    let place = AnnotationPlace::parse(name).ok_or_else(bad_place)?;
    let platform = platform.map(str::parse).transpose();
    let platform = platform.map_err(|source| FlagError::Platform {
        flag: FLAG,
        value: whole.to_owned(),
        source,
    })?;
    Ok((place, platform))
}

fn form(value: &str, expected: &'static str) -> FlagError {
    FlagError::Form {
        flag: FLAG,
        value: value.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, attrs: &[&str]) {
        let specs = AnnotationSpec::parse(value).unwrap();
        let got: Vec<String> = specs
            .iter()
            .map(|spec| format!("{}={}", spec.attr_name(), spec.value))
            .collect();
        assert_eq!(got, attrs, "{value}");
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |value: &str, expect: &str| {
            assert_eq!(
                AnnotationSpec::parse(value).unwrap_err().to_string(),
                expect
            );
        };
        let places = "which is not manifest, manifest-descriptor, index or index-descriptor";
        check(
            "a",
            "--annotation: `a` is not of the form [place:]key=value",
        );
        check("x:a=b", &format!("--annotation: `x:a=b` is `x`, {places}"));
        check(
            "index[a:b=c",
            &format!("--annotation: `index[a:b=c` is `index[a`, {places}"),
        );
        check(
            "manifest[a//]:b=c",
            "--annotation: bad platform in `manifest[a//]:b=c`",
        );
        check(
            "manifest[]:b=c",
            "--annotation: bad platform in `manifest[]:b=c`",
        );
    }

    #[test]
    fn the_place_is_optional() {
        check("", &[]);
        check("a=b=c", &["annotation.a=b=c"]);
        check("a=x:y", &["annotation.a=x:y"]);
        check("index:a=b", &["annotation-index.a=b"]);
    }

    #[test]
    fn several_places_give_several_annotations() {
        check(
            "manifest[linux/arm64],manifest-descriptor:a:b=",
            &[
                "annotation-manifest[linux/arm64].a:b=",
                "annotation-manifest-descriptor.a:b=",
            ],
        );
    }

    #[test]
    fn an_index_has_no_platform() {
        check("index[linux/amd64]:a=b", &["annotation-index.a=b"]);
    }
}
