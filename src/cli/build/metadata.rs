//! The metadata file: buildx's keys, and of each platform where and how it was built.
//!
//! Pure; `finish` writes the file. The form is versioned by `mbuild.version`.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::digest::Digest;
use crate::merge::registry::Pushed;
use crate::oci::{Descriptor, media_type};
use crate::progress::State;
use crate::request::{BuildContext, BuildRequest, NamedSource};
use crate::run::{BuildOutcome, UnitReport};
use crate::unit::UnitOutput;

/// The version of everything under `mbuild.`.
const VERSION: u32 = 1;

/// What is said of one platform.
#[derive(Debug, Default, Serialize)]
struct PlatformJson {
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(rename = "ref", skip_serializing_if = "String::is_empty")]
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Digest>,
    attestations: Vec<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<Timestamp>,
    steps: Steps,
}

#[derive(Debug, Default, Serialize)]
struct Steps {
    total: usize,
    cached: usize,
}

/// The image that stands for the whole build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// The digest under the tags.
    pub(super) digest: String,
    /// The config's digest, when there is one manifest.
    pub(super) config: Option<String>,
    descriptor: Option<Value>,
    names: Option<String>,
}

impl Image {
    /// Finds the image of a successful build; `None` when it made none.
    pub(super) fn of(outcome: &BuildOutcome) -> Option<Self> {
        let single = match &outcome.units[..] {
            [unit] => unit.result.as_ref().ok(),
            _ => None,
        };
        let config = single
            .and_then(|output| output.response.get("containerimage.config.digest"))
            .cloned();
        // Of several outputs one may be an index: it has no configuration of its own.
        let config_of = |root: &Descriptor| {
            config
                .clone()
                .filter(|_| !media_type::is_index(&root.media_type))
        };
        if let Some(published) = outcome.published() {
            let mut names: Vec<String> = published.moved.iter().map(ToString::to_string).collect();
            if names.is_empty() && published.unmoved.is_empty() {
                // Pushed by digest: the names say where it can be found by that.
                names.clone_from(&published.repositories);
            }
            return Some(Image {
                digest: published.root.digest.to_string(),
                config: config_of(&published.root),
                descriptor: serde_json::to_value(&published.root).ok(),
                names: (!names.is_empty()).then(|| names.join(",")),
            });
        }
        if let Some(image) = outcome.image() {
            let names: Vec<String> = image.names.iter().map(ToString::to_string).collect();
            return Some(Image {
                digest: image.root.digest.to_string(),
                config: config_of(&image.root),
                descriptor: serde_json::to_value(&image.root).ok(),
                names: (!names.is_empty()).then(|| names.join(",")),
            });
        }
        // Several nodes that keep their own image each have no image in common.
        let output = single.filter(|_| outcome.is_built())?;
        let keys = &output.response;
        Some(Image {
            digest: keys.get("containerimage.digest")?.clone(),
            config,
            descriptor: descriptor(output),
            names: keys.get("image.name").cloned(),
        })
    }
}

/// The whole file; digests are there only of what succeeded.
pub(super) fn metadata(
    (builder, request): (&str, &BuildRequest),
    outcome: &BuildOutcome,
    progress: &State,
) -> Value {
    let mut root = Map::new();
    if let Some(image) = Image::of(outcome) {
        root.insert("containerimage.digest".to_owned(), json!(image.digest));
        let optional = [
            (
                "containerimage.config.digest",
                image.config.map(Value::from),
            ),
            ("containerimage.descriptor", image.descriptor),
            ("image.name", image.names.map(Value::from)),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                root.insert(key.to_owned(), value);
            }
        }
    }
    if let Some(unit) = outcome.units.iter().find(|unit| !unit.reference.is_empty()) {
        let reference = format!("{builder}/{}/{}", unit.unit.node, unit.reference);
        root.insert("buildx.build.ref".to_owned(), json!(reference));
    }
    root.insert("mbuild.version".to_owned(), json!(VERSION));
    let contexts = contexts(request);
    if !contexts.is_empty() {
        root.insert("mbuild.contexts".to_owned(), Value::Object(contexts));
    }
    let platforms: Map<String, Value> = outcome
        .units
        .iter()
        .filter_map(|report| {
            let value = serde_json::to_value(platform(report, outcome, progress)).ok()?;
            Some((report.unit.platform.to_string(), value))
        })
        .collect();
    root.insert("mbuild.platforms".to_owned(), Value::Object(platforms));
    Value::Object(root)
}

/// What was built from that is not this machine's: commits and digests where they are known.
fn contexts(request: &BuildRequest) -> Map<String, Value> {
    let own = match &request.context {
        BuildContext::Remote(remote) => Some(("context".to_owned(), remote.shown())),
        _ => None,
    };
    let named = request.named_contexts.iter().filter_map(|context| {
        let shown = match &context.source {
            NamedSource::Directory(_) => return None,
            NamedSource::Remote(remote) => remote.shown(),
            NamedSource::Image(image) => format!("docker-image://{image}"),
            NamedSource::Layout { digest, .. } => format!("oci-layout://{digest}"),
        };
        Some((context.name.clone(), shown))
    });
    let downloaded = request.downloaded.clone();
    let all = named.chain(own).chain(downloaded);
    all.map(|(name, shown)| (name, shown.into())).collect()
}

fn platform(report: &UnitReport, outcome: &BuildOutcome, progress: &State) -> PlatformJson {
    let summary = progress.summary(report.unit.id);
    let mut json = PlatformJson {
        node: report.unit.node.clone(),
        instance: report.instance.clone(),
        reference: report.reference.clone(),
        started: summary.started,
        completed: summary.completed,
        steps: Steps {
            total: summary.steps_total,
            cached: summary.steps_cached,
        },
        ..PlatformJson::default()
    };
    // A failed build has left nothing under any name, so no digest of it is of use.
    let Some(output) = report.result.as_ref().ok().filter(|_| outcome.is_built()) else {
        return json;
    };
    let answered = |key: &str| output.response.get(key).and_then(|text| text.parse().ok());
    json.config = answered("containerimage.config.digest");
    json.manifest = answered("containerimage.digest");
    let published = outcome.published().map(|published| &published.entries);
    if let Some(entries) = published.or(outcome.image().map(|image| &image.entries)) {
        let own =
            |entry: &&Descriptor| entry.known_platform().as_ref() == Some(&report.unit.platform);
        if let Some(entry) = entries.iter().find(own) {
            json.manifest = Some(entry.digest);
            json.attestations = entries
                .iter()
                .filter(|other| other.attests() == Some(entry.digest))
                .map(|other| other.digest)
                .collect();
        }
    }
    json
}

/// The image's descriptor, if its daemon gave a whole one.
fn descriptor(output: &UnitOutput) -> Option<Value> {
    let root = Pushed::read("", None, output).ok()?.root;
    // Without a media type only the digest was known.
    let whole = !root.media_type.is_empty();
    whole.then(|| serde_json::to_value(root).ok()).flatten()
}
