//! All that is on record of a build, in buildx's words: [`Details`]. Pure.

mod json;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::attachments::{Attachment, Material};
use super::builds::{Build, Status};
use super::name::build_name;

/// A name and a value.
type Pair = (String, String);

/// Settings: the attribute, the member in JSON, and the words for a person.
const SETTINGS: [(&str, &str, &str); 18] = [
    ("force-network-mode", "Network", "Network"),
    ("hostname", "Hostname", "Hostname"),
    ("add-hosts", "ExtraHosts", "Extra Hosts"),
    ("cgroup-parent", "CgroupParent", "Cgroup Parent"),
    (
        "image-resolve-mode",
        "ImageResolveMode",
        "Image Resolve Mode",
    ),
    ("multi-platform", "MultiPlatform", "Multi-Platform"),
    ("no-cache", "NoCache", "No Cache"),
    ("shm-size", "ShmSize", "Shm Size"),
    ("ulimit", "Ulimit", "Resource Limits"),
    ("memory", "Memory", "Memory"),
    ("memswap", "MemorySwap", "Memory Swap"),
    ("cpushares", "CPUShares", "CPU Shares"),
    ("cpuperiod", "CPUPeriod", "CPU Period"),
    ("cpuquota", "CPUQuota", "CPU Quota"),
    ("cpusetcpus", "CPUSetCPUs", "CPUSet CPUs"),
    ("cpusetmems", "CPUSetMems", "CPUSet Mems"),
    (
        "build-arg:BUILDKIT_CACHE_MOUNT_NS",
        "CacheMountNS",
        "Cache Mount Namespace",
    ),
    (
        "build-arg:SOURCE_DATE_EPOCH",
        "SourceDateEpoch",
        "Source Date Epoch",
    ),
];
/// What is shown in another place, or concerns one node only.
const ELSEWHERE: [&str; 6] = [
    "context",
    "filename",
    "target",
    "platform",
    "frontend.caps",
    "no-cache",
];
const KEEP_GIT_DIR: &str = "build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR";
const GROUPS: [&str; 6] = [
    "vcs:",
    "build-arg:",
    "label:",
    "context:",
    "attest:",
    "local-sessionid:",
];

/// What is known of a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Failure {
    /// The gRPC code.
    pub(super) code: i32,
    /// The message.
    pub(super) message: String,
    /// The step that failed; empty if it was none.
    pub(super) step: String,
    /// The last lines that it wrote.
    pub(super) logs: Vec<String>,
    /// The place in the Dockerfile, as lines; empty where none is known.
    pub(super) source: String,
}

/// What a daemon was asked about its part of a build, in the order of the build's units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) failure: Option<Failure>,
    pub(super) attachments: Vec<Attachment>,
    pub(super) materials: Vec<Material>,
}

/// All that is on record of a build.
#[derive(Debug, Clone)]
pub(super) struct Details<'a> {
    pub(super) build: &'a Build,
    pub(super) parts: &'a [Part],
    pub(super) now: Timestamp,
}

impl Details<'_> {
    fn attrs(&self) -> &BTreeMap<String, String> {
        &self.build.first().record.attrs
    }

    fn attr(&self, key: &str) -> &str {
        self.attrs().get(key).map_or("", String::as_str)
    }

    /// What the build is called, and where its files came from: names and values, both for a
    /// person; those that are empty are to be left out.
    pub(super) fn origin(&self) -> Vec<(&'static str, String)> {
        let record = &self.build.first().record;
        vec![
            ("Name", build_name(record)),
            ("Ref", self.build.id.to_string()),
            ("Context", self.context()),
            ("Dockerfile", self.dockerfile()),
            ("VCS Repository", self.vcs("vcs:source")),
            ("VCS Revision", self.vcs("vcs:revision")),
            ("Target", self.attr("target").to_owned()),
            ("Platforms", self.build.platforms().join(", ")),
        ]
    }

    fn context(&self) -> String {
        match self.attr("context") {
            "" => self.attr("vcs:localdir:context").to_owned(),
            context => context.to_owned(),
        }
    }

    fn dockerfile(&self) -> String {
        let name = self.attr("filename");
        match self.attr("vcs:localdir:dockerfile") {
            "" | "." => name.to_owned(),
            dir => format!("{dir}/{name}"),
        }
    }

    /// What is known of the repository; a remote context says it already.
    fn vcs(&self, key: &str) -> String {
        match self.attr("context") {
            "" => self.attr(key).to_owned(),
            _ => String::new(),
        }
    }

    /// Attributes that begin so, without that beginning.
    pub(super) fn group(&self, prefix: &str) -> Vec<Pair> {
        let attrs = self.attrs().iter();
        attrs
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())))
            .collect()
    }

    /// Settings that have a name of their own: member in JSON, words, value.
    pub(super) fn settings(&self) -> Vec<(&'static str, &'static str, Value)> {
        SETTINGS
            .into_iter()
            .filter_map(|(key, member, words)| {
                let value = self.attrs().get(key)?;
                Some(match (key, value.as_str()) {
                    ("no-cache", "") => (member, words, json!(true)),
                    ("no-cache", stages) => {
                        let stages: Vec<&str> = stages.split(',').collect();
                        ("NoCacheFilter", "No Cache Filter", json!(stages))
                    }
                    ("multi-platform", text) => {
                        (member, words, json!(text == "true" || text == "1"))
                    }
                    ("add-hosts", text) => {
                        let hosts: Vec<&str> = text.split(',').collect();
                        (member, words, json!(hosts))
                    }
                    (_, text) => (member, words, json!(text)),
                })
            })
            .collect()
    }

    /// All other attributes.
    pub(super) fn rest(&self) -> Vec<Pair> {
        let is_known = |key: &str| {
            ELSEWHERE.contains(&key)
                || SETTINGS.iter().any(|(known, ..)| *known == key)
                || GROUPS.iter().any(|prefix| key.starts_with(prefix))
        };
        let attrs = self.attrs().iter().filter(|(key, _)| !is_known(key));
        attrs
            .map(|(key, value)| {
                let value = match key.as_str() {
                    "cache-imports" => without_credentials(value),
                    _ => value.clone(),
                };
                (key.clone(), value)
            })
            .collect()
    }

    /// The failure that counts: the first one that is no cancellation.
    pub(super) fn failure(&self) -> Option<&Failure> {
        let units = self.build.units.iter().zip(self.parts);
        let mut failed = units.filter(|(unit, _)| unit.status() == Status::Error);
        failed.find_map(|(_, part)| part.failure.as_ref())
    }

    pub(super) fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.parts.iter().flat_map(|part| &part.attachments)
    }

    /// What the build was made of, each once.
    pub(super) fn materials(&self) -> Vec<&Material> {
        let mut materials: Vec<&Material> = Vec::new();
        for material in self.parts.iter().flat_map(|part| &part.materials) {
            if !materials.contains(&material) {
                materials.push(material);
            }
        }
        materials
    }
}

/// Cache imports with what names them only: the rest may be keys and tokens.
pub(super) fn without_credentials(imports: &str) -> String {
    let Ok(Value::Array(mut imports)) = serde_json::from_str(imports) else {
        return String::new();
    };
    for import in &mut imports {
        if let Some(Value::Object(attrs)) = import.get_mut("Attrs") {
            attrs.retain(|key, _| key == "ref" || key == "scope");
        }
    }
    Value::Array(imports).to_string()
}
