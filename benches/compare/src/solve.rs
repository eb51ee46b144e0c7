//! How long the slowest node's own Solve took, of a build of mbuild's: [`slowest`].
//!
//! The daemon's record and its steps are taken together, since neither is the whole: a record
//! may end before the image is pushed, and begin after the first step.

use serde_json::Value;

/// Seconds; `metadata` is the build's metadata file, `history` what `history inspect` says of it.
/// `None` when a node's times are missing.
pub(crate) fn slowest(metadata: &Value, history: &Value) -> Option<f64> {
    let platforms = metadata["mbuild.platforms"].as_object()?;
    let nodes = history["Nodes"].as_array()?;
    let mut slowest: f64 = 0.0;
    for unit in platforms.values() {
        let record = nodes.iter().find(|node| node["Ref"] == unit["ref"])?;
        let times = |names: [&str; 2], of: &Value| -> Option<[f64; 2]> {
            Some([
                time_of_day(of[names[0]].as_str()?)?,
                time_of_day(of[names[1]].as_str()?)?,
            ])
        };
        let steps = times(["started", "completed"], unit)?;
        let whole = times(["StartedAt", "CompletedAt"], record)?;
        let mut took = steps[1].max(whole[1]) - steps[0].min(whole[0]);
        if took < 0.0 {
            // Midnight was between them.
            took += 86400.0;
        }
        slowest = slowest.max(took);
    }
    Some(slowest)
}

/// The id by which the history knows a build, e.g. `abc` of `builder/node/abc-1`.
pub(crate) fn reference(metadata: &Value) -> Option<&str> {
    // The whole would be about the one node that it names.
    let (_, unit) = metadata["buildx.build.ref"].as_str()?.rsplit_once('/')?;
    Some(unit.rsplit_once('-')?.0)
}

/// Seconds since midnight of `2026-01-31T12:00:00.5Z`.
fn time_of_day(text: &str) -> Option<f64> {
    let time = text.split_once('T')?.1.strip_suffix('Z')?;
    let mut parts = time.split(':').map(str::parse::<f64>);
    let mut next = || parts.next()?.ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata() -> Value {
        let unit = |reference: &str, started: &str, completed: &str| json!({"ref": reference, "started": started, "completed": completed});
        json!({
            "buildx.build.ref": "farm/a/x-1",
            "mbuild.platforms": {
                "linux/amd64": unit("x-1", "2026-01-31T10:00:00.5Z", "2026-01-31T10:00:02.5Z"),
                "linux/arm64": unit("x-2", "2026-01-31T10:00:00Z", "2026-01-31T10:00:01Z"),
            },
        })
    }

    fn record(reference: &str, started: &str, completed: &str) -> Value {
        json!({"Ref": reference, "StartedAt": started, "CompletedAt": completed})
    }

    #[test]
    fn the_slowest_node_counts_from_its_first_to_its_last() {
        let first = record("x-1", "2026-01-31T10:00:00.25Z", "2026-01-31T10:00:02Z");
        let second = record("x-2", "2026-01-31T10:00:00Z", "2026-01-31T10:00:01.5Z");
        let history = json!({"Nodes": [first, second]});
        assert_eq!(slowest(&metadata(), &history), Some(2.25));
        assert_eq!(reference(&metadata()), Some("x"));
    }

    #[test]
    fn a_node_without_record_leaves_it_unknown() {
        let first = record("x-1", "2026-01-31T10:00:00Z", "2026-01-31T10:00:02Z");
        assert_eq!(slowest(&metadata(), &json!({"Nodes": [first]})), None);
        assert_eq!(slowest(&json!({}), &json!({})), None);
    }
}
