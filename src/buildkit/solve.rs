//! One build on a daemon: [`SolveSpec`] to the wire, and the wire to [`SolveOutput`].
//!
//! A spec is plain data and says exactly what is sent; what a user's flags mean is decided
//! by whoever makes it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mbuild_proto::control;
use serde::Serialize;

use super::connection::{Connection, SILENCE_LIMIT};
use super::error::SolveError;
use crate::attrs::secret::shown_all;
use crate::digest::Digest;

/// The attribute that repeats the cache imports: a frontend sees attributes only.
const CACHE_IMPORTS: &str = "cache-imports";

/// What a daemon is to build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SolveSpec {
    /// Names the build on the daemon; used once.
    pub reference: String,
    /// Id of the session that serves inputs and takes outputs; empty for none.
    pub session: String,
    /// The frontend: `dockerfile.v0`, `gateway.v0`; empty if the client plays it.
    pub frontend: String,
    /// What the frontend is told.
    pub frontend_attrs: BTreeMap<String, String>,
    /// Where the result goes; the position is the exporter's id. Daemons before v0.13 run
    /// the first one only.
    pub exporters: Vec<ExporterSpec>,
    /// Caches to write.
    pub cache_exports: Vec<CacheSpec>,
    /// Caches to read; frontends are told of them as well.
    pub cache_imports: Vec<CacheSpec>,
    /// What the build is allowed: `network.host`, `security.insecure`.
    pub entitlements: Vec<String>,
    /// Whether the build stays out of the daemon's history.
    pub internal: bool,
    /// Whether the frontend is only asked for what it says of its result: nothing is run or
    /// exported, and the output is the result's metadata.
    pub question: bool,
}

/// One exporter and its attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExporterSpec {
    /// The exporter's name: `image`, `local`, `tar`, `oci`, `docker`.
    pub kind: String,
    /// Its attributes.
    pub attrs: BTreeMap<String, String>,
}

/// One cache backend and its attributes, logins among them.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct CacheSpec {
    /// The backend's name: `registry`, `local`, `inline`, `gha`, `s3`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Its attributes.
    #[serde(rename = "Attrs")]
    pub attrs: BTreeMap<String, String>,
}

impl SolveSpec {
    /// Makes the request of it.
    pub(super) fn to_wire(&self) -> control::SolveRequest {
        let first = self.exporters.first().cloned().unwrap_or_default();
        control::SolveRequest {
            r#ref: self.reference.clone(),
            session: self.session.clone(),
            frontend: self.frontend.clone(),
            frontend_attrs: self.all_frontend_attrs(),
            // Daemons before v0.13 know these two only.
            exporter_deprecated: first.kind,
            exporter_attrs_deprecated: first.attrs,
            exporters: self.exporters.iter().map(ExporterSpec::to_wire).collect(),
            cache: Some(control::CacheOptions {
                exports: self.cache_exports.iter().map(CacheSpec::to_wire).collect(),
                imports: self.cache_imports.iter().map(CacheSpec::to_wire).collect(),
            }),
            entitlements: self.entitlements.clone(),
            internal: self.internal,
            ..control::SolveRequest::default()
        }
    }

    pub(super) fn all_frontend_attrs(&self) -> BTreeMap<String, String> {
        let mut attrs = self.frontend_attrs.clone();
        if !self.cache_imports.is_empty() && !attrs.contains_key(CACHE_IMPORTS) {
            // Strings in maps in a list always have a JSON form.
            let imports = serde_json::to_string(&self.cache_imports).unwrap_or_default();
            attrs.insert(CACHE_IMPORTS.to_owned(), imports);
        }
        attrs
    }
}

impl ExporterSpec {
    fn to_wire(&self) -> control::Exporter {
        control::Exporter {
            r#type: self.kind.clone(),
            attrs: self.attrs.clone(),
        }
    }
}

impl fmt::Debug for CacheSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheSpec")
            .field("kind", &self.kind)
            .field("attrs", &shown_all(&self.attrs))
            .finish()
    }
}

impl CacheSpec {
    fn to_wire(&self) -> control::CacheOptionsEntry {
        control::CacheOptionsEntry {
            r#type: self.kind.clone(),
            attrs: self.attrs.clone(),
        }
    }
}

/// What a build that succeeded says of its result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SolveOutput {
    /// The daemon's own keys; of several exporters, the last one's values.
    pub response: BTreeMap<String, String>,
}

impl SolveOutput {
    /// The digest of the image's manifest or index; `None` without an image. The classic
    /// store of a Docker engine gives the image's config here.
    pub fn digest(&self) -> Option<Digest> {
        Digest::parse(self.response.get("containerimage.digest")?).ok()
    }

    /// The digest of the image's config; `None` without an image, or if it is an index.
    pub fn config_digest(&self) -> Option<Digest> {
        Digest::parse(self.response.get("containerimage.config.digest")?).ok()
    }

    /// The image's descriptor as JSON; `None` without an image, or if it is no base64.
    pub fn descriptor_json(&self) -> Option<String> {
        let text = self.response.get("containerimage.descriptor")?;
        String::from_utf8(STANDARD.decode(text).ok()?).ok()
    }

    /// The names under which the image was stored or pushed; none if it has no name.
    pub fn names(&self) -> Vec<&str> {
        let names = self.response.get("image.name").map_or("", String::as_str);
        names.split(',').filter(|name| !name.is_empty()).collect()
    }
}

impl Connection {
    /// Builds. The answer is the verdict; progress is followed apart from it, by reference.
    ///
    /// Dropping the future cancels the build on the daemon, except for steps that another
    /// build needs too. A spec with a session must have it open by now, or on its way: the
    /// daemon's health checks on it are how a dead peer is told from a long step.
    ///
    /// # Errors
    ///
    /// When the build fails, the daemon refuses it, or the connection is lost.
    pub async fn solve(&self, spec: &SolveSpec) -> Result<SolveOutput, SolveError> {
        self.check_needs(spec).await?;
        let answer = async {
            match spec.question {
                true => self.ask(spec).await,
                false => {
                    let answer = self.control().solve(spec.to_wire()).await?;
                    let response = answer.into_inner().exporter_response;
                    Ok(SolveOutput { response })
                }
            }
        };
        let silence = async {
            match spec.session.is_empty() {
                true => std::future::pending().await,
                false => self.silence().await,
            }
        };
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|status| self.failure(&status)),
            () = silence => {
                let seconds = SILENCE_LIMIT.as_secs();
                let reason = format!("no sign of life for {seconds} s");
                Err(SolveError::lost(self.endpoint(), reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attrs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    }

    fn exporter(kind: &str, pairs: &[(&str, &str)]) -> ExporterSpec {
        ExporterSpec {
            kind: kind.into(),
            attrs: attrs(pairs),
        }
    }

    #[test]
    fn the_first_exporter_is_sent_in_the_old_fields_too() {
        let spec = SolveSpec {
            reference: "r".into(),
            session: "s".into(),
            exporters: vec![
                exporter("image", &[("push", "true")]),
                exporter("local", &[]),
            ],
            ..SolveSpec::default()
        };
        let wire = spec.to_wire();
        assert_eq!((wire.r#ref.as_str(), wire.session.as_str()), ("r", "s"));
        assert_eq!(wire.exporter_deprecated, "image");
        assert_eq!(wire.exporter_attrs_deprecated, attrs(&[("push", "true")]));
        let kinds: Vec<_> = wire.exporters.iter().map(|e| e.r#type.as_str()).collect();
        assert_eq!(kinds, ["image", "local"]);
    }

    #[test]
    fn a_build_without_a_frontend_has_no_definition_either() {
        let wire = SolveSpec::default().to_wire();
        assert_eq!(wire.definition, None);
        assert!(wire.frontend_attrs.is_empty() && wire.exporters.is_empty());
    }

    #[test]
    fn cache_imports_are_told_to_the_frontend_as_well() {
        let import = CacheSpec {
            kind: "registry".into(),
            attrs: attrs(&[("ref", "r/x:c")]),
        };
        let mut spec = SolveSpec {
            cache_imports: vec![import],
            ..SolveSpec::default()
        };
        let wire = spec.to_wire();
        assert_eq!(wire.cache.unwrap().imports.len(), 1);
        assert_eq!(
            wire.frontend_attrs["cache-imports"],
            r#"[{"Type":"registry","Attrs":{"ref":"r/x:c"}}]"#
        );
        spec.frontend_attrs = attrs(&[("cache-imports", "mine")]);
        assert_eq!(spec.to_wire().frontend_attrs["cache-imports"], "mine");
    }

    #[test]
    fn an_answer_has_digests_names_and_a_descriptor() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let output = SolveOutput {
            response: attrs(&[
                ("containerimage.digest", &digest),
                ("containerimage.descriptor", "eyJzaXplIjoxfQ=="),
                ("image.name", "a/b,c/d"),
            ]),
        };
        assert_eq!(output.digest().unwrap().to_string(), digest);
        assert_eq!(output.config_digest(), None);
        assert_eq!(output.descriptor_json().unwrap(), r#"{"size":1}"#);
        assert_eq!(output.names(), ["a/b", "c/d"]);
        assert!(SolveOutput::default().names().is_empty());
    }
}
