//! All daemons of the builder in use, for commands that are about each of them: [`Daemons`].
//!
//! buildx serves every pod of a pool from one connection, so it shows one pod's entries again
//! and again and the others' never. Here each daemon is asked by itself; one that does not
//! answer is told by name, and the others are not held up by it.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;

use crate::builder::kubernetes::options::duration;
use crate::builder::{Finder, FoundBuilder, OpenError, Store};
use crate::buildkit::{AskError, Connection};
use crate::config::Settings;

use super::app::App;
use super::builder::find_error;
use super::error::CliError;
use super::exit::Exit;

/// How long each daemon may take to be reached, unless the user says otherwise; buildx's limit.
const REACH_LIMIT: Duration = Duration::from_secs(20);

/// How long daemons are waited for.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ReachArgs {
    /// How long each daemon may take to be reached [default: 20s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
}

/// A daemon's place in its builder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The node.
    pub(super) node: String,
    /// The pod, where the node has pods.
    pub(super) instance: Option<String>,
}

/// A daemon that is connected.
pub(super) struct Daemon {
    pub(super) place: Place,
    pub(super) connection: Connection,
}

/// All daemons of a builder that could be reached.
pub(super) struct Daemons {
    /// The builder's name.
    pub(super) builder: String,
    /// In the order of the nodes, and of the pods' names.
    pub(super) list: Vec<Daemon>,
    /// How many there are, those that could not be reached included.
    count: usize,
}

/// What did not work, and where.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<CliError>);

impl Daemons {
    /// Connects to every daemon of the builder in use.
    pub(super) async fn open(
        args: &ReachArgs,
        settings: &Settings,
        app: &App,
    ) -> Result<(Self, Failures), CliError> {
        let store = Store::new(&app.state_dir());
        let finder = Finder {
            env: &app.env,
            settings,
            store: &store,
            flag: app.global.builder.as_deref(),
        };
        let FoundBuilder { builder, .. } = finder.find().await.map_err(find_error)?;
        let limit = args.timeout.unwrap_or(REACH_LIMIT);
        let nodes = join_all(builder.nodes.iter().map(|node| node.open_all(limit))).await;
        let mut failures = Failures::default();
        let (mut list, mut count) = (Vec::new(), 0);
        for (node, met) in builder.nodes.iter().zip(nodes) {
            let place = |instance| Place {
                node: node.name().to_owned(),
                instance,
            };
            let met = match met {
                Ok(met) => met,
                Err(error) => {
                    count += 1;
                    failures.add(&place(None), open_error(error));
                    continue;
                }
            };
            count += met.len();
            if met.is_empty() {
                app.warn(&format!("node {} has no pods", node.name()));
            }
            for one in met {
                let place = place(one.instance.name);
                match one.outcome {
                    Ok(connection) => list.push(Daemon { place, connection }),
                    Err(error) => failures.add(&place, open_error(error)),
                }
            }
        }
        let builder = builder.name;
        let daemons = Self {
            builder,
            list,
            count,
        };
        Ok((daemons, failures))
    }

    /// Whether there is one daemon only, so that its name says nothing.
    pub(super) fn is_single(&self) -> bool {
        self.count <= 1
    }

    /// Asks all daemons at once; those that answer come in their order.
    pub(super) async fn ask<T>(
        &self,
        question: impl AsyncFn(&Daemon) -> Result<T, AskError>,
        failures: &mut Failures,
    ) -> Vec<(&Daemon, T)> {
        let answers = join_all(self.list.iter().map(|daemon| question(daemon))).await;
        let mut given = Vec::new();
        for (daemon, answer) in self.list.iter().zip(answers) {
            match answer {
                Ok(answer) => given.push((daemon, answer)),
                Err(error) => failures.add(&daemon.place, ask_error(error)),
            }
        }
        given
    }
}

impl Failures {
    /// Adds what went wrong with a daemon.
    pub(super) fn add(&mut self, place: &Place, error: CliError) {
        let source = At {
            place: place.clone(),
            source: error.source,
        };
        self.0.push(CliError {
            exit: error.exit,
            source: Box::new(source),
            hints: error.hints,
        });
    }

    /// Tells of all of them, and gives the exit code that they come to.
    pub(super) fn tell(&self, app: &App) -> Exit {
        self.0.iter().for_each(|error| app.say(&error.render()));
        Exit::worst(self.0.iter().map(|error| error.exit))
    }
}

/// A failure with the daemon's place before it.
#[derive(Debug, thiserror::Error)]
#[error("{place}")]
struct At {
    place: Place,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.node)?;
        match &self.instance {
            Some(instance) => write!(f, "/{instance}"),
            None => Ok(()),
        }
    }
}

fn open_error(error: OpenError) -> CliError {
    let exit = match error.is_infrastructure() {
        true => Exit::Infrastructure,
        false => Exit::Config,
    };
    let hint = error.hint();
    hint.into_iter()
        .fold(CliError::new(exit, error), CliError::hint)
}

/// What a daemon answered instead, on its way to the user.
pub(super) fn ask_error(error: AskError) -> CliError {
    let exit = match error.is_infrastructure() {
        true => Exit::Infrastructure,
        false => Exit::Config,
    };
    CliError::new(exit, error)
}
