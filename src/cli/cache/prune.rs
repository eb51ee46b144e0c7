//! `mbuild prune`: frees the caches of all daemons at once, and tells what went as it goes.

use std::cell::RefCell;
use std::io::{self, BufRead};

use jiff::Timestamp;

use super::super::app::App;
use super::super::daemons::{Daemon, Daemons, Place, ReachArgs, ask_error};
use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::super::human::size;
use super::super::table::align;
use super::filter::CacheFilter;
use super::row::{self, HEADER};
use crate::buildkit::usage::{self, PruneSpec, UsageRecord};
use crate::config::Settings;
use crate::request::limits::parse_size;

/// Free the caches of all nodes and pods; with --verbose, tell all of each entry that went
#[derive(Debug, Clone, clap::Args)]
pub(in super::super) struct PruneArgs {
    /// Free internal entries and those of frontends too
    #[arg(short, long)]
    all: bool,
    /// Free only what fits: until=24h, id, parents, description, type (with = != ~=), inuse,
    /// mutable, immutable, shared, private
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// How much of each cache may always stay
    #[arg(long, value_name = "SIZE", alias = "keep-storage")]
    reserved_space: Option<String>,
    /// How much of each cache may stay at most
    #[arg(long, value_name = "SIZE")]
    max_used_space: Option<String>,
    /// How much of each disk is to be free
    #[arg(long, value_name = "SIZE")]
    min_free_space: Option<String>,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Frees the caches of all daemons.
pub(in super::super) async fn prune(
    args: &PruneArgs,
    settings: &Settings,
    app: &App,
) -> CommandResult {
    let spec = args.spec()?;
    if !args.force && !confirm(args.all, app)? {
        return Ok(Exit::Done);
    }
    let (daemons, mut failures) = Daemons::open(&args.reach, settings, app).await?;
    let told = RefCell::new(Told::new(app, daemons.is_single()));
    let question = async |daemon: &Daemon| {
        let mut total = 0;
        let report = |record: UsageRecord| {
            total += record.size;
            told.borrow_mut().entry(&record, &daemon.place);
        };
        let end = usage::prune(&daemon.connection, &spec, report).await;
        // What went before a failure went, too.
        Ok((total, end))
    };
    let mut totals = Vec::new();
    for (daemon, (total, end)) in daemons.ask(question, &mut failures).await {
        totals.push((daemon.place.clone(), total));
        if let Err(error) = end {
            failures.add(&daemon.place, ask_error(error));
        }
    }
    app.print(&sums(&totals, daemons.is_single()))
        .map_err(|error| CliError::new(Exit::Internal, error))?;
    Ok(failures.tell(app))
}

impl PruneArgs {
    fn spec(&self) -> Result<PruneSpec, CliError> {
        let filter = CacheFilter::parse(&self.filter)?;
        let bytes = |flag: &'static str, value: &Option<String>| match value {
            Some(text) => parse_size(flag, text).map_err(CliError::usage),
            None => Ok(0),
        };
        Ok(PruneSpec {
            filters: filter.for_daemon(),
            all: self.all,
            keep: filter.unused,
            reserved: bytes("--reserved-space", &self.reserved_space)?,
            max_used: bytes("--max-used-space", &self.max_used_space)?,
            min_free: bytes("--min-free-space", &self.min_free_space)?,
        })
    }
}

/// Asks the user, who has to be there.
fn confirm(all: bool, app: &App) -> Result<bool, CliError> {
    if !app.stdin_is_terminal {
        let text = "prune asks before it frees anything, and stdin is no terminal";
        return Err(CliError::usage(text).hint("--force does not ask"));
    }
    let what = match all {
        true => "all build cache",
        false => "all build cache that nothing uses",
    };
    app.say(&format!(
        "WARNING: this frees {what} on every node of the builder. Go on? [y/N] "
    ));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| CliError::new(Exit::Usage, error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Writes entries as they go.
struct Told<'a> {
    app: &'a App,
    is_single: bool,
    is_begun: bool,
}

impl<'a> Told<'a> {
    fn new(app: &'a App, is_single: bool) -> Self {
        Self {
            app,
            is_single,
            is_begun: false,
        }
    }

    fn entry(&mut self, record: &UsageRecord, place: &Place) {
        let now = Timestamp::now();
        let place = (!self.is_single).then_some(place);
        let text = if self.app.global.verbose > 0 {
            row::paragraph(record, place, now)
        } else {
            let heading = match self.is_begun {
                true => String::new(),
                false => line(&HEADER.map(str::to_owned), place.map(|_| "NODE".to_owned())),
            };
            heading + &line(&row::cells(record, now), place.map(Place::to_string))
        };
        self.is_begun = true;
        // What is freed is freed, whether somebody reads of it or not.
        drop(self.app.print(&text));
    }
}

/// A row whose columns have fixed widths, as nobody knows what comes.
fn line(cells: &[String; 4], place: Option<String>) -> String {
    let [id, reclaimable, size, used] = cells;
    let place = place.unwrap_or_default();
    let text = match place.is_empty() {
        true => format!("{id:<28}{reclaimable:<14}{size:<12}{used}"),
        false => format!("{id:<28}{reclaimable:<14}{size:<12}{used:<22}{place}"),
    };
    format!("{}\n", text.trim_end())
}

fn sums(totals: &[(Place, u64)], is_single: bool) -> String {
    let all = totals.iter().map(|(_, total)| total).sum();
    let mut rows = Vec::new();
    if !is_single {
        let each = totals.iter();
        rows.extend(each.map(|(place, total)| [format!("{place}:"), size(*total)]));
    }
    rows.push(["Total:".to_owned(), size(all)]);
    align(&rows)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: PruneArgs,
    }

    fn spec(line: &str) -> Result<PruneSpec, CliError> {
        let words = ["prune"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(words).unwrap().args.spec()
    }

    #[test]
    fn sizes_and_ages_are_dockers() {
        let expect = PruneSpec {
            filters: vec![r#"id~="abc""#.to_owned()],
            all: true,
            keep: std::time::Duration::from_secs(24 * 3600),
            reserved: 10 << 30,
            max_used: 512 << 20,
            min_free: 1,
        };
        let line = "-a --filter until=24h --filter id=abc --keep-storage 10GB \
                    --max-used-space 512m --min-free-space 1";
        assert_eq!(spec(line).unwrap(), expect);
        assert_eq!(spec("").unwrap(), PruneSpec::default());
        let error = spec("--reserved-space lots").unwrap_err().render();
        assert!(error.contains("--reserved-space"), "{error}");
    }

    #[test]
    fn totals_name_each_daemon_where_there_are_several() {
        let place = |node: &str| Place {
            node: node.into(),
            instance: None,
        };
        let totals = [(place("a"), 1_000), (place("b64"), 500)];
        insta::assert_snapshot!(sums(&totals, false), @r"
        a:       1kB
        b64:     500B
        Total:   1.5kB
        ");
        assert_eq!(sums(&totals[..1], true), "Total:   1kB\n");
    }
}
