//! `scale`: how many pods a pool has; down by those that are idle, as its CronJob does.

use std::fmt::Write;
use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};

use crate::builder::kubernetes::access::KubeError;
use crate::builder::kubernetes::options::duration;
use crate::builder::kubernetes::scale::{Scaled, Scaler, Stays};

use super::super::super::error::{CliError, CommandResult};
use super::super::super::exit::Exit;
use super::super::World;
use super::kube_error;
use super::place::{Place, PlaceArgs};

/// Set how many pods a pool has, or end those that are idle
#[derive(Debug, Clone, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["replicas", "idle"])))]
pub struct ScaleArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Have so many pods for each architecture; those that are too many end with their builds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    replicas: Option<i32>,
    /// End pods, the last one first, that have had no build for so long, such as 30m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    idle: Option<Duration>,
    /// With --idle: keep so many pods of each architecture
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "replicas",
        value_parser = clap::value_parser!(i32).range(0..))]
    min: i32,
}

/// What is wanted of each architecture.
#[derive(Clone, Copy)]
enum Wanted {
    Number(i32),
    Idle { time: Duration, least: i32 },
}

pub(in super::super) async fn scale(args: &ScaleArgs, world: &World<'_>) -> CommandResult {
    let wanted = match (args.replicas, args.idle) {
        (Some(number), _) => Wanted::Number(number),
        (None, Some(time)) => Wanted::Idle {
            time,
            least: args.min,
        },
        (None, None) => return Err(CliError::usage("--replicas or --idle is needed")),
    };
    let mut scalers = Vec::new();
    for place in args.place.places(world)? {
        let found = scalers.len();
        for sets in args.place.pools(&place, world).await? {
            scalers.push(Scaler::new(sets, &place.reach, &world.app.env));
        }
        if scalers.len() == found {
            return Err(nothing(&place, args));
        }
    }
    let mut interrupted = Signals::new().map_err(|error| CliError::new(Exit::Internal, error))?;
    let work = join_all(scalers.iter().map(|scaler| one_pool(scaler, wanted)));
    let outcomes = tokio::select! {
        outcomes = work => outcomes,
        () = interrupted.come() => {
            // Else a pod stays unready that nobody takes away.
            join_all(scalers.iter().map(Scaler::take_back)).await;
            return Ok(Exit::Interrupted);
        }
    };
    tell(outcomes.into_iter().flatten().collect(), world)
}

fn nothing(place: &Place, args: &ScaleArgs) -> CliError {
    let namespace = place
        .reach
        .namespace
        .as_deref()
        .unwrap_or("(the default one)");
    match &args.place.arch[..] {
        [] => place.empty(namespace),
        arches => CliError::config(format!("the pool has no pods of {}", arches.join(", "))),
    }
}

/// All architectures of a pool at the same time.
async fn one_pool(scaler: &Scaler, wanted: Wanted) -> Vec<Result<Scaled, KubeError>> {
    let sets = scaler.sets().sets.iter();
    let each = sets.map(|set| async move {
        match wanted {
            Wanted::Number(number) => scaler.set(set, number).await,
            Wanted::Idle { time, least } => scaler.shrink(set, time, least).await,
        }
    });
    join_all(each).await
}

/// Prints what was done, and what could not be; the first failure counts.
fn tell(outcomes: Vec<Result<Scaled, KubeError>>, world: &World<'_>) -> CommandResult {
    let (mut text, mut failures) = (String::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(scaled) => line(&mut text, &scaled),
            Err(error) => failures.push(failure(error)),
        }
    }
    let printed = world.print(&text);
    let mut failures = failures.into_iter();
    match failures.next() {
        None => printed,
        Some(first) => {
            failures.for_each(|failure| world.app.say(&failure.render()));
            Err(first)
        }
    }
}

fn failure(error: KubeError) -> CliError {
    let is_passing = error.is_passing();
    let mut error = kube_error(error);
    if is_passing {
        error.exit = Exit::Infrastructure;
    }
    error
}

/// `statefulset/p-amd64: 3 pods, now 2: p-amd64-2 ends; p-amd64-1 runs a build`.
fn line(text: &mut String, scaled: &Scaled) {
    let Scaled {
        set,
        from,
        to,
        gone,
        ..
    } = scaled;
    let noun = if *from == 1 { "pod" } else { "pods" };
    // Writing to a string does not fail.
    let _ = write!(text, "statefulset/{set}: {from} {noun}");
    if from != to {
        let _ = write!(text, ", now {to}");
    }
    let ends = gone.iter().map(|pod| format!("{pod} ends"));
    let stays = scaled.stays.iter().filter(|(_, why)| *why != Stays::Least);
    let stays = stays.map(|(pod, why)| format!("{pod} {why}"));
    let parts: Vec<_> = ends.chain(stays).collect();
    if !parts.is_empty() {
        let _ = write!(text, ": {}", parts.join("; "));
    }
    text.push('\n');
}

/// What ends the program.
struct Signals([tokio::signal::unix::Signal; 2]);

impl Signals {
    fn new() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        let [interrupt, terminate] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?]))
    }

    async fn come(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_went_and_what_stayed() {
        let check = |from, to, gone: &[&str], stays: Option<Stays>, expect: &str| {
            let scaled = Scaled {
                set: "p-amd64".into(),
                from,
                to,
                gone: gone.iter().map(|&pod| pod.to_owned()).collect(),
                stays: stays.map(|why| ("p-amd64-0".to_owned(), why)),
            };
            let mut text = String::new();
            line(&mut text, &scaled);
            assert_eq!(text, format!("statefulset/p-amd64: {expect}\n"));
        };
        check(0, 0, &[], None, "0 pods");
        check(1, 3, &[], None, "1 pod, now 3");
        check(
            3,
            1,
            &["p-amd64-2", "p-amd64-1"],
            Some(Stays::Building(1)),
            "3 pods, now 1: p-amd64-2 ends; p-amd64-1 ends; p-amd64-0 runs a build",
        );
        check(1, 1, &[], Some(Stays::Least), "1 pod");
    }
}
