//! What one unit pushed, out of its daemon's answer: [`Pushed`]. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::PushedError;
use crate::oci::Descriptor;
use crate::platform::Platform;
use crate::unit::UnitOutput;

/// The key with the base64 JSON descriptor of the result's top.
const DESCRIPTOR: &str = "containerimage.descriptor";
/// The key with the digest of the result's top.
const DIGEST: &str = "containerimage.digest";

/// What one unit pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Who delivered it, for messages: `linux/arm64 on node-b`.
    pub from: String,
    /// What it was built for; `None` when the daemon chose.
    pub platform: Option<Platform>,
    /// Its top. An empty media type means that the daemon gave the digest alone.
    pub root: Descriptor,
}

impl Pushed {
    /// Reads a daemon's answer; daemons older than 0.10 give the digest alone.
    pub fn read(
        from: &str,
        platform: Option<Platform>,
        output: &UnitOutput,
    ) -> Result<Self, PushedError> {
        let root = match (output.response.get(DESCRIPTOR), output.response.get(DIGEST)) {
            (Some(text), _) => decode(text).ok_or(PushedError::Descriptor(from.to_owned()))?,
            (None, Some(text)) => {
                let digest = text.parse().map_err(|source| PushedError::Digest {
                    from: from.to_owned(),
                    source,
                })?;
                Descriptor::new("", digest, 0)
            }
            (None, None) => return Err(PushedError::Nothing(from.to_owned())),
        };
        Ok(Self {
            from: from.to_owned(),
            platform,
            root,
        })
    }
}

fn decode(text: &str) -> Option<Descriptor> {
    serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type;

    fn read(response: &[(&str, String)]) -> Result<Pushed, PushedError> {
        let response = response
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect();
        let output = UnitOutput {
            response,
            ..UnitOutput::default()
        };
        Pushed::read("linux/amd64 on a", None, &output)
    }

    #[test]
    fn the_descriptor_is_preferred_and_the_digest_is_enough() {
        let root = Descriptor::of(media_type::MANIFEST, b"x")
            .with_platform(Platform::new("linux", "amd64"));
        let text = STANDARD.encode(serde_json::to_vec(&root).unwrap());
        let both = [(DESCRIPTOR, text), (DIGEST, root.digest.to_string())];
        assert_eq!(read(&both).unwrap().root, root);
        let alone = read(&both[1..]).unwrap().root;
        assert_eq!((alone.digest, alone.media_type.as_str()), (root.digest, ""));
    }

    #[test]
    fn an_answer_that_says_nothing_is_an_error_naming_the_unit() {
        assert!(matches!(read(&[]), Err(PushedError::Nothing(from)) if from.contains("on a")));
        let garbage = |key| read(&[(key, "!".to_owned())]);
        assert!(matches!(
            garbage(DESCRIPTOR),
            Err(PushedError::Descriptor(_))
        ));
        assert!(matches!(garbage(DIGEST), Err(PushedError::Digest { .. })));
    }
}
