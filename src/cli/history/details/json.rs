//! A build's details as JSON: buildx's members, and the nodes beside them.

use serde_json::{Map, Value, json};

use super::super::attachments::{Attachment, Material};
use super::super::builds::{Status, Unit};
use super::{Details, Failure, KEEP_GIT_DIR, Pair, Part};
use crate::buildkit::history::Steps;

impl Details<'_> {
    /// buildx's members, and the nodes.
    pub(in super::super) fn to_json(&self) -> Value {
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::super::builds::{Build, group, test_unit};
    use super::super::without_credentials;
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
