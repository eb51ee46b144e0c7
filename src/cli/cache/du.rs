//! `mbuild du`: what the caches of all daemons hold, each daemon by itself and all together.

use jiff::Timestamp;
use serde_json::Value;

use super::super::app::App;
use super::super::daemons::{Daemon, Daemons, Place, ReachArgs};
use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::super::format::Format;
use super::super::table::align;
use super::filter::CacheFilter;
use super::row::{self, HEADER, Totals};
use crate::buildkit::usage::{self, UsageRecord};
use crate::config::Settings;

/// Show what the caches of all nodes and pods hold; with --verbose, all of each entry
#[derive(Debug, Clone, clap::Args)]
pub(in super::super) struct DuArgs {
    /// List only what fits: until=24h, id, parents, description, type (with = != ~=), inuse,
    /// mutable, immutable, shared, private
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Form of the list: table, pretty, json, or fields such as '{{.ID}} {{.Size}}'
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    #[command(flatten)]
    reach: ReachArgs,
}

/// What one daemon has.
struct Cache<'a> {
    place: &'a Place,
    records: Vec<UsageRecord>,
}

/// Lists the caches of all daemons.
pub(in super::super) async fn du(args: &DuArgs, settings: &Settings, app: &App) -> CommandResult {
    let format = match args.format.as_str() {
        // buildx's --verbose, which is a flag of all commands here.
        "" if app.global.verbose > 0 => Format::Pretty,
        format => Format::parse(format)?,
    };
    let filter = CacheFilter::parse(&args.filter)?;
    let (daemons, mut failures) = Daemons::open(&args.reach, settings, app).await?;
    let terms = filter.for_daemon();
    let question = async |daemon: &Daemon| usage::list(&daemon.connection, &terms).await;
    let answers = daemons.ask(question, &mut failures).await;
    let now = Timestamp::now();
    let caches: Vec<Cache<'_>> = answers
        .into_iter()
        .map(|(daemon, mut records)| {
            records.retain(|record| filter.is_old_enough(record, now));
            Cache {
                place: &daemon.place,
                records,
            }
        })
        .collect();
    let text = write(&format, &caches, daemons.is_single(), now)?;
    app.print(&text)
        .map_err(|error| CliError::new(Exit::Internal, error))?;
    Ok(failures.tell(app))
}

fn write(
    format: &Format,
    caches: &[Cache<'_>],
    is_single: bool,
    now: Timestamp,
) -> Result<String, CliError> {
    let rows: Vec<Value> = caches
        .iter()
        .flat_map(|cache| {
            let records = cache.records.iter();
            records.map(|record| row::json(record, cache.place, now))
        })
        .collect();
    if let Some(text) = format.write(&rows, row::heading)? {
        return Ok(text);
    }
    let mut text = String::new();
    for cache in caches {
        if !is_single {
            text += &format!("{}:\n", cache.place);
        }
        text += &match format {
            Format::Pretty => paragraphs(cache, now),
            _ => table(cache, now),
        };
        if !is_single {
            text += &format!("{}\n", Totals::of(&cache.records).text());
        }
    }
    if !is_single {
        text += "All nodes:\n";
    }
    let all = caches.iter().flat_map(|cache| &cache.records);
    Ok(text + &Totals::of(all).text())
}

fn table(cache: &Cache<'_>, now: Timestamp) -> String {
    let records = cache.records.iter();
    let mut rows = vec![HEADER.map(str::to_owned)];
    rows.extend(records.map(|record| row::cells(record, now)));
    align(&rows)
}

fn paragraphs(cache: &Cache<'_>, now: Timestamp) -> String {
    let records = cache.records.iter();
    records
        .map(|record| row::paragraph(record, None, now))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(instance: Option<&str>) -> Place {
        Place {
            node: "amd64".into(),
            instance: instance.map(str::to_owned),
        }
    }

    fn records() -> Vec<UsageRecord> {
        let record = |id: &str, size| UsageRecord {
            id: id.into(),
            size,
            last_used: Timestamp::from_second(1_000).ok(),
            ..UsageRecord::default()
        };
        vec![record("one", 1_000), record("three", 12)]
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_030).unwrap()
    }

    #[test]
    fn one_daemon_has_buildxs_table() {
        let place = place(None);
        let cache = Cache {
            place: &place,
            records: records(),
        };
        insta::assert_snapshot!(write(&Format::Table, &[cache], true, now()).unwrap(), @r"
        ID      RECLAIMABLE   SIZE   LAST ACCESSED
        one     true          1kB    30 seconds ago
        three   true          12B    30 seconds ago
        Reclaimable:   1.012kB
        Total:         1.012kB
        ");
    }

    #[test]
    fn each_daemon_has_a_table_and_totals_and_all_have_totals() {
        let places = [place(Some("pod-0")), place(Some("pod-1"))];
        let caches = places.each_ref().map(|place| Cache {
            place,
            records: records(),
        });
        insta::assert_snapshot!(write(&Format::Table, &caches, false, now()).unwrap(), @r"
        amd64/pod-0:
        ID      RECLAIMABLE   SIZE   LAST ACCESSED
        one     true          1kB    30 seconds ago
        three   true          12B    30 seconds ago
        Reclaimable:   1.012kB
        Total:         1.012kB

        amd64/pod-1:
        ID      RECLAIMABLE   SIZE   LAST ACCESSED
        one     true          1kB    30 seconds ago
        three   true          12B    30 seconds ago
        Reclaimable:   1.012kB
        Total:         1.012kB

        All nodes:
        Reclaimable:   2.024kB
        Total:         2.024kB
        ");
    }
}
