//! All that is on record of a build, in buildx's words: [`Details`]. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::attachments::{Attachment, Material};
use super::builds::{Build, Status, Unit};
use super::name::build_name;
use crate::buildkit::history::Steps;

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

    /// buildx's members, and the nodes.
    pub(super) fn to_json(&self) -> Value {
        let steps = self.build.steps();
        let mut root = Map::new();
        let mut put = |key: &str, value: Value| {
            let is_empty = match &value {
                Value::Null | Value::Bool(false) => true,
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                _ => false,
            };
            if !is_empty {
                root.insert(key.to_owned(), value);
            }
        };
        for (words, value) in self.origin() {
            match words {
                "Platforms" => put("Platform", json!(self.build.platforms())),
                words => put(&words.replace(' ', ""), json!(value)),
            }
        }
        let keep_git_dir = self.attr(KEEP_GIT_DIR);
        put("KeepGitDir", json!(matches!(keep_git_dir, "1" | "true")));
        put("NamedContexts", pairs(self.group("context:")));
        put(
            "StartedAt",
            json!(self.build.created().map(|at| at.to_string())),
        );
        put(
            "CompletedAt",
            json!(self.build.completed().map(|at| at.to_string())),
        );
        let duration = self.build.duration(self.now).as_nanos();
        put(
            "Duration",
            json!(u64::try_from(duration).unwrap_or(u64::MAX)),
        );
        put("Status", json!(status_json(self.build.status())));
        put("Error", self.failure().map_or(Value::Null, failure_json));
        put("NumCompletedSteps", json!(steps.completed));
        put("NumTotalSteps", json!(steps.total));
        put("NumCachedSteps", json!(steps.cached));
        put("BuildArgs", pairs(self.group("build-arg:")));
        put("Labels", pairs(self.group("label:")));
        put("Config", self.config_json());
        let materials = self.materials().into_iter().map(Material::to_json);
        put("Materials", materials.collect());
        put(
            "Attachments",
            self.attachments().map(Attachment::to_json).collect(),
        );
        let units = self.build.units.iter().zip(self.parts);
        put(
            "Nodes",
            units
                .map(|(unit, part)| self.node_json(unit, part))
                .collect(),
        );
        Value::Object(root)
    }

    fn config_json(&self) -> Value {
        let settings = self.settings().into_iter();
        let mut config: Map<String, Value> = settings
            .map(|(member, _, value)| (member.to_owned(), value))
            .collect();
        let rest = self.rest();
        if !rest.is_empty() {
            config.insert("RestRaw".to_owned(), pairs(rest));
        }
        Value::Object(config)
    }

    fn node_json(&self, unit: &Unit, part: &Part) -> Value {
        let Steps {
            total,
            cached,
            completed,
        } = unit.record.steps;
        let duration = unit.duration(self.now).as_nanos();
        let mut json = json!({
            "Node": unit.place.node,
            "Instance": unit.place.instance,
            "Ref": unit.record.reference,
            "Platform": unit.platform(),
            "Status": status_json(unit.status()),
            "StartedAt": unit.record.created.map(|at| at.to_string()),
            "Duration": u64::try_from(duration).unwrap_or(u64::MAX),
            "NumTotalSteps": total,
            "NumCachedSteps": cached,
            "NumCompletedSteps": completed,
            "NumWarnings": unit.record.warnings,
        });
        if let Some(completed) = unit.record.completed {
            json["CompletedAt"] = json!(completed.to_string());
        }
        if let Some(failure) = &part.failure {
            json["Error"] = failure_json(failure);
        }
        json
    }
}

/// buildx's words in this place are not those of its list.
fn status_json(status: Status) -> &'static str {
    match status {
        Status::Completed => "completed",
        Status::Running => "running",
        Status::Error => "failed",
        Status::Canceled => "canceled",
    }
}

fn failure_json(failure: &Failure) -> Value {
    json!({
        "Code": failure.code,
        "Message": failure.message,
        "Name": failure.step,
        "Logs": failure.logs,
        "Source": failure.source,
    })
}

fn pairs(pairs: Vec<Pair>) -> Value {
    pairs
        .into_iter()
        .map(|(name, value)| json!({"Name": name, "Value": value}))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::super::builds::{group, test_unit};
    use super::*;

    const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaa";

    fn build(attrs: &[(&str, &str)]) -> Build {
        let unit = |node: &str, number| {
            let reference = format!("{ID}-{number}");
            let platform = format!("linux/{node}");
            let mut unit = test_unit(node, &reference, &platform, (100, Some(104)));
            let attrs = attrs.iter();
            let attrs = attrs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            unit.record.attrs.extend(attrs);
            unit
        };
        group(vec![unit("amd64", 1), unit("arm64", 2)]).remove(0)
    }

    fn json(attrs: &[(&str, &str)]) -> Value {
        let build = build(attrs);
        let details = Details {
            build: &build,
            parts: &[Part::default(), Part::default()],
            now: Timestamp::from_second(200).unwrap(),
        };
        details.to_json()
    }

    #[test]
    fn json_has_buildxs_members_and_the_nodes() {
        let json = json(&[
            ("filename", "Dockerfile"),
            ("vcs:source", "https://h/x"),
            ("vcs:localdir:context", "app"),
            ("vcs:localdir:dockerfile", "app"),
            ("target", "t"),
            ("build-arg:A", "1"),
            ("label:l", "2"),
            ("no-cache", ""),
            ("shm-size", "64"),
            ("local-sessionid:context", "s"),
            ("odd", "x"),
        ]);
        assert_eq!(
            (&json["Name"], &json["Ref"]),
            (&"app (t)".into(), &ID.into())
        );
        assert_eq!(json["Dockerfile"], "app/Dockerfile");
        assert_eq!(json["VCSRepository"], "https://h/x");
        assert_eq!(json["Platform"], json!(["linux/amd64", "linux/arm64"]));
        assert_eq!(json["Duration"], 4_000_000_000_u64);
        assert_eq!(
            (&json["Status"], &json["NumTotalSteps"]),
            (&"completed".into(), &10.into())
        );
        assert_eq!(json["BuildArgs"], json!([{"Name": "A", "Value": "1"}]));
        let config = json!({
            "NoCache": true, "ShmSize": "64", "RestRaw": [{"Name": "odd", "Value": "x"}],
        });
        assert_eq!(json["Config"], config);
        assert_eq!(json["Nodes"][1]["Ref"], format!("{ID}-2"));
        assert!(json.get("KeepGitDir").is_none() && json.get("Error").is_none());
    }

    #[test]
    fn a_remote_context_needs_no_repository() {
        let json = json(&[("context", "https://h/x.git"), ("vcs:source", "y")]);
        assert_eq!(json["Context"], "https://h/x.git");
        assert!(json.get("VCSRepository").is_none());
    }

    #[test]
    fn keys_of_caches_are_not_shown() {
        let imports = r#"[{"Type":"gha","Attrs":{"scope":"s","token":"secret"}}]"#;
        let shown = without_credentials(imports);
        assert_eq!(shown, r#"[{"Attrs":{"scope":"s"},"Type":"gha"}]"#);
        assert_eq!(without_credentials("secret"), "");
        let json = json(&[("cache-imports", imports)]).to_string();
        assert!(!json.contains("secret"), "{json}");
    }
}
