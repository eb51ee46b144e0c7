//! `history ls`: a row for each build, its nodes beneath.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::app::App;
use super::super::daemons::{Daemons, ReachArgs};
use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::super::format::Format;
use super::super::git::WorkTree;
use super::super::human::{ago, took};
use super::super::table::align;
use super::builds::{Build, Status, Unit};
use super::filter::BuildFilter;
use super::name::build_name;
use super::query::{builds, full_reference};
use crate::buildkit::history::{Listing, Steps};
use crate::config::Settings;

const HEADER: [&str; 6] = [
    "BUILD ID",
    "NAME",
    "STATUS",
    "CREATED AT",
    "DURATION",
    "CACHED",
];
/// How much of a long name's end is shown.
const NAME_LENGTH: usize = 36;

/// List builds, each with its nodes
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LsArgs {
    /// List only what fits: ref, repository, status (= or !=), startedAt, completedAt, duration
    /// (< <= > >=)
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// List only builds of this directory's git repository
    #[arg(long)]
    local: bool,
    /// Show names whole
    #[arg(long)]
    no_trunc: bool,
    /// Form of the list: table, json, or fields such as '{{.Ref}} {{.Status}}'
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true
    )]
    format: String,
    #[command(flatten)]
    reach: ReachArgs,
}

pub(super) async fn ls(args: &LsArgs, settings: &Settings, app: &App) -> CommandResult {
    let now = Timestamp::now();
    let format = Format::parse(&args.format)?;
    let mut filter = BuildFilter::parse(&args.filter, now)?;
    if args.local {
        let remote = WorkTree::of(&app.cwd).and_then(|tree| tree.remote());
        let remote = remote.ok_or_else(|| {
            CliError::usage("--local: this directory is in no git repository with a remote")
        })?;
        filter = filter.of_repository(&remote);
    }
    let (daemons, mut failures) = Daemons::open(&args.reach, settings, app).await?;
    let listing = Listing {
        filters: filter.for_daemon(),
        ..Listing::default()
    };
    let mut builds = builds(&daemons, &listing, &mut failures).await;
    builds.retain(|build| filter.fits(build, now));
    let row = |build: &Build| match format {
        Format::Json => json_of(build, &daemons.builder),
        _ => fields(build, now),
    };
    let rows: Vec<Value> = builds.iter().map(row).collect();
    let text = match format.write(&rows, heading)? {
        Some(text) => text,
        None => table(&builds, daemons.is_single(), args.no_trunc, now),
    };
    app.print(&text)
        .map_err(|error| CliError::new(Exit::Internal, error))?;
    Ok(failures.tell(app))
}

fn table(builds: &[Build], is_single: bool, is_whole: bool, now: Timestamp) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for build in builds {
        let name = build_name(&build.first().record);
        let name = if is_whole { name } else { end_of(&name) };
        let age = build.created().map(|created| ago(created, now));
        rows.push([
            build.id.to_string(),
            name,
            build.status().word().to_owned(),
            age.unwrap_or_default(),
            duration(build.duration(now), build.status()),
            cached(build.steps()),
        ]);
        // What one daemon did alone is said already.
        if !is_single || build.units.len() > 1 {
            rows.extend(build.units.iter().map(|unit| beneath(unit, now)));
        }
    }
    align(&rows)
}

fn beneath(unit: &Unit, now: Timestamp) -> [String; 6] {
    [
        format!(" \\_ {}", unit.place),
        unit.platform().to_owned(),
        unit.status().word().to_owned(),
        String::new(),
        duration(unit.duration(now), unit.status()),
        cached(unit.record.steps),
    ]
}

fn duration(span: Duration, status: Status) -> String {
    let goes_on = if status == Status::Running { "+" } else { "" };
    format!("{}{goes_on}", took(span))
}

fn cached(steps: Steps) -> String {
    match steps.total {
        0 => String::new(),
        total => format!("{}/{total}", steps.cached),
    }
}

/// The end of a name, which tells more than its beginning.
fn end_of(name: &str) -> String {
    let count = name.chars().count();
    if count <= NAME_LENGTH {
        return name.to_owned();
    }
    let end: String = name.chars().skip(count + 2 - NAME_LENGTH).collect();
    format!("..{end}")
}

/// What `--format '{{.Ref}}'` may name.
fn fields(build: &Build, now: Timestamp) -> Value {
    let age = build.created().map(|created| ago(created, now));
    let nodes: Vec<String> = build
        .units
        .iter()
        .map(|unit| unit.place.to_string())
        .collect();
    json!({
        "Ref": build.id.as_str(),
        "Name": build_name(&build.first().record),
        "Status": build.status().word(),
        "CreatedAt": age.unwrap_or_default(),
        "Duration": duration(build.duration(now), build.status()),
        "Cached": cached(build.steps()),
        "Platforms": build.platforms().join(","),
        "Nodes": nodes.join(","),
    })
}

/// buildx's members, and the nodes.
fn json_of(build: &Build, builder: &str) -> Value {
    let (first, steps) = (build.first(), build.steps());
    let mut json = json!({
        "id": build.id.as_str(),
        "ref": full_reference(builder, first),
        "name": build_name(&first.record),
        "status": build.status().word(),
        "created_at": build.created().map(|at| at.to_string()),
        "total_steps": steps.total,
        "completed_steps": steps.completed,
        "cached_steps": steps.cached,
        "nodes": build.units.iter().map(json_of_unit).collect::<Vec<_>>(),
    });
    if let Some(completed) = build.completed() {
        json["completed_at"] = json!(completed.to_string());
    }
    json
}

fn json_of_unit(unit: &Unit) -> Value {
    let steps = unit.record.steps;
    json!({
        "node": unit.place.node,
        "instance": unit.place.instance,
        "ref": unit.record.reference,
        "platform": unit.platform(),
        "status": unit.status().word(),
        "created_at": unit.record.created.map(|at| at.to_string()),
        "completed_at": unit.record.completed.map(|at| at.to_string()),
        "total_steps": steps.total,
        "completed_steps": steps.completed,
        "cached_steps": steps.cached,
        "warnings": unit.record.warnings,
    })
}

fn heading(field: &str) -> Option<&'static str> {
    Some(match field {
        "Ref" => "BUILD ID",
        "CreatedAt" => "CREATED AT",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::builds::{group, test_unit};
    use super::*;
    use crate::buildkit::history::RecordError;

    const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaa";

    fn builds() -> Vec<Build> {
        let mut amd64 = test_unit("amd64", &format!("{ID}-1"), "linux/amd64", (100, Some(104)));
        amd64.record.attrs.insert("target".into(), "app".into());
        amd64.record.error = Some(RecordError {
            code: 2,
            message: "exit code: 1".into(),
        });
        let mut arm64 = test_unit("arm64", &format!("{ID}-2"), "linux/arm64", (100, Some(190)));
        arm64.place.instance = Some("pod-1".into());
        let mut running = test_unit("amd64", "theirs", "", (160, None));
        running.record.steps = Steps::default();
        group(vec![amd64, arm64, running])
    }

    fn now() -> Timestamp {
        Timestamp::from_second(220).unwrap()
    }

    #[test]
    fn a_build_has_its_nodes_beneath() {
        insta::assert_snapshot!(table(&builds(), false, false, now()), @r"
        BUILD ID                    NAME          STATUS      CREATED AT           DURATION   CACHED
        theirs                                    Running     About a minute ago   1m  0s+
         \_ amd64                                 Running                          1m  0s+
        aaaaaaaaaaaaaaaaaaaaaaaaa   app           Error       2 minutes ago        1m 30s     4/10
         \_ amd64                   linux/amd64   Error                            4.0s       2/5
         \_ arm64/pod-1             linux/arm64   Completed                        1m 30s     2/5
        ");
    }

    #[test]
    fn the_only_daemon_is_not_named() {
        let builds = group(vec![test_unit("amd64", "x", "", (100, Some(104)))]);
        insta::assert_snapshot!(table(&builds, true, false, now()), @r"
        BUILD ID   NAME   STATUS      CREATED AT      DURATION   CACHED
        x                 Completed   2 minutes ago   4.0s       2/5
        ");
    }

    #[test]
    fn json_has_buildxs_members_and_the_nodes() {
        let json = json_of(&builds()[1], "farm");
        assert_eq!(json["ref"], format!("farm/amd64/{ID}-1"));
        assert_eq!(
            (&json["status"], &json["total_steps"]),
            (&"Error".into(), &10.into())
        );
        assert_eq!(json["completed_at"], "1970-01-01T00:03:10Z");
        assert_eq!(json["nodes"][1]["instance"], "pod-1");
        assert!(json_of(&builds()[0], "farm").get("completed_at").is_none());
    }

    #[test]
    fn long_names_lose_their_beginning() {
        let name = format!("https://{}/the/end", "h".repeat(40));
        let end = end_of(&name);
        assert!(
            end.starts_with("..hh") && end.ends_with("/the/end"),
            "{end}"
        );
        assert_eq!(end.chars().count(), NAME_LENGTH);
    }
}
