//! The comparison behind `benches/run`: mbuild beside `docker buildx`, in turns, on the same
//! daemons.
//!
//! It runs programs and links none of them; the script builds what it needs and says where it is.

mod bench;
mod bridge;
mod clients;
mod command;
mod daemons;
mod data;
mod error;
mod farm;
mod flow;
mod goal;
mod link;
mod machine;
mod measure;
mod numbers;
mod options;
mod record;
mod report;
mod row;
mod rows;
mod solve;
mod verdict;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bench::Bench;
use clients::{Clients, Programs};
use command::Shell;
use daemons::Daemons;
use data::{Contexts, Sizes};
use error::{Context as _, Error};
use farm::Farm;
use machine::Machine;
use options::{Options, Surroundings};
use record::{Record, Set};
use report::{page, plot, table};
use verdict::Verdict;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match &words[..] {
        [mode, into, program, rest @ ..] if mode == "measure" => {
            measure::child(Path::new(into), program, rest)
        }
        _ => run(words),
    };
    outcome.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "benches/run: {}", error.chain());
        ExitCode::from(2)
    })
}

fn run(words: Vec<String>) -> Result<ExitCode, Error> {
    let options = Options::parse(words.into_iter())?;
    let around = Surroundings::new(std::env::vars());
    let files = Files {
        folder: around.need("MBUILD_BENCH_DOCS")?.into(),
    };
    let name = set_name(&options, &around);
    let mut record = Record::read(&files.record())?;
    if options.only_page {
        files.write(&name, &record)?;
        return Ok(ExitCode::SUCCESS);
    }
    let bench = prepare(&options, &around)?;
    let daemons = around.get("MBUILD_BENCH_DAEMONS");
    let daemons = daemons.unwrap_or(bench.farm.kind);
    let mut measured = Set {
        machine: Machine::look(&bench.clients, &bench.shell, daemons),
        ..Set::default()
    };
    let mut failed = false;
    for row in &options.rows {
        tell(&format!("{}: ", row.name))?;
        match bench.row(row, options.pairs) {
            Ok(mut result) => {
                result.commit = around.need("MBUILD_BENCH_COMMIT")?;
                result.date = around.need("MBUILD_BENCH_DATE")?;
                if !options.small {
                    let set = record.sets.entry(name.clone()).or_default();
                    set.machine = measured.machine.clone();
                    set.rows.insert(row.name.to_owned(), result.clone());
                    // After each row, so that what was measured stays when a later one fails.
                    record.write(&files.record())?;
                }
                tell(&format!(" {}\n", table::walls(&result)))?;
                measured.rows.insert(row.name.to_owned(), result);
            }
            Err(error) => {
                failed = true;
                tell(&format!("\nbenches/run: {}\n", error.chain()))?;
            }
        }
    }
    show(&measured, options.small)?;
    if !options.small {
        files.write(&name, &record)?;
    }
    Ok(ExitCode::from(u8::from(failed)))
}

fn set_name(options: &Options, around: &Surroundings) -> String {
    let usual = match around.get("MBUILD_BENCH_ENDPOINTS") {
        Some(_) => "buildkitd",
        None => "engine",
    };
    options.set.clone().unwrap_or_else(|| usual.to_owned())
}

fn prepare(options: &Options, around: &Surroundings) -> Result<Bench, Error> {
    let work = PathBuf::from(around.need("MBUILD_BENCH_WORK")?);
    let registry = around.need("MBUILD_TEST_REGISTRY")?;
    let base = around.get("MBUILD_TEST_BASE").map(str::to_owned);
    let programs = Programs {
        mbuild: around.need("MBUILD")?,
        buildx: around.program("BUILDX", "docker-buildx"),
        buildctl: around.program("BUILDCTL", "buildctl"),
    };
    let own = std::env::current_exe().context(|| "cannot find this program".to_owned())?;
    let measure = vec![own.display().to_string(), "measure".to_owned()];
    let shell = Shell::new(&work, measure, around.need("PATH")?)?;
    let farm = Farm::new(&work, &around.daemons()?)?;
    let contexts = Contexts {
        root: work.join("contexts"),
        sizes: if options.small {
            Sizes::SMALL
        } else {
            Sizes::WHOLE
        },
        base: base.unwrap_or_else(|| format!("{registry}/base:latest")),
    };
    Ok(Bench {
        clients: Clients::new(&work, (programs, registry), &farm, &shell)?,
        shell,
        contexts,
        farm,
        daemons: Daemons {
            roots: around.processes(),
        },
        relay: around.get("MBUILD_BENCH_RELAY").map(str::to_owned),
    })
}

/// What the results are kept in.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn record(&self) -> PathBuf {
        self.folder.join("benchmarks.json")
    }

    /// Writes the page and the plot of one set of daemons.
    fn write(&self, name: &str, record: &Record) -> Result<(), Error> {
        let Some(set) = record.sets.get(name) else {
            return Err(Error::Wrong(format!("nothing was measured of {name} yet")));
        };
        let plot_name = match name {
            "engine" => "benchmarks.svg".to_owned(),
            other => format!("benchmarks-{other}.svg"),
        };
        let path = self.folder.join("benchmarks.md");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let part = page::part(&plot_name, set);
        write(&path, &page::put(&before, name, &part))?;
        write(&self.folder.join(&plot_name), &plot::plot(&verdicts(set)))
    }
}

fn verdicts(set: &Set) -> Vec<Verdict> {
    let measured = rows::ROWS
        .iter()
        .filter_map(|row| Some((row, set.rows.get(row.name)?)));
    measured
        .flat_map(|(row, measured)| verdict::judge(row, measured, set.machine.cores))
        .collect()
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).context(|| format!("cannot write {}", path.display()))
}

fn show(set: &Set, small: bool) -> Result<(), Error> {
    let note = match small {
        true => "A tenth of the sizes that the titles name; the goals are not about these.\n\n",
        false => "",
    };
    let text = format!("\n{}\n{note}{}", set.machine.list(), table::tables(set));
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.context(|| "cannot write to the standard output".to_owned())
}

fn tell(text: &str) -> Result<(), Error> {
    let mut talk = io::stderr().lock();
    let said = talk.write_all(text.as_bytes()).and_then(|()| talk.flush());
    said.context(|| "cannot write to the standard error".to_owned())
}
