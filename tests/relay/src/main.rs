//! The `mbuild-relay` command: a slow line between two addresses, until it is interrupted.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use mbuild_relay::{Address, Direction, Line, Link, Relay, parse_rate, parse_time};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
usage: mbuild-relay --listen ADDRESS --to ADDRESS [...] [--rate 1Gbit] [--rtt 50ms]
                    [--per-connection] [--trace]

Passes connections on, every byte half a round trip later and at most at the rate each way.
Addresses are tcp://HOST:PORT and unix:///PATH; every --listen has its --to, and all share the
line unless it is one --per-connection. Prints one line for each address that it listens at.
What went over it is told on stderr at the end, and with --trace as it goes.";

/// How often a trace is written.
const TRACE: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Arguments {
    listen: Vec<Address>,
    to: Vec<Address>,
    rate: Option<u64>,
    rtt: Duration,
    per_connection: bool,
    trace: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(
                std::io::stderr(),
                "mbuild-relay: {error}\n\n{USAGE}"
            ));
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let link = Link {
        rate: arguments.rate,
        rtt: arguments.rtt,
    };
    let line = match arguments.per_connection {
        true => Line::each(link),
        false => Line::shared(link),
    };
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let mut relays = Vec::new();
    for (listen, to) in arguments.listen.iter().zip(arguments.to) {
        let relay = Relay::start(listen, to, line.clone(), arguments.trace).await?;
        writeln!(std::io::stdout(), "{}", relay.address())?;
        relays.push(relay);
    }
    let mut ticks = tokio::time::interval(TRACE);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = ticks.tick(), if arguments.trace => relays.iter().try_for_each(trace)?,
        }
    }
    relays.iter().try_for_each(trace)?;
    Ok(relays.iter().try_for_each(sum_up)?)
}

fn trace(relay: &Relay) -> std::io::Result<()> {
    let mut out = std::io::stderr().lock();
    for sight in relay.tally().take_sights() {
        let (at, round, bytes) = (sight.at.as_secs_f64(), sight.round, sight.bytes);
        let (way, connection) = (sight.direction, sight.connection);
        writeln!(
            out,
            "{at:10.4} #{connection} round {round:2} {way:?} {bytes}"
        )?;
    }
    Ok(())
}

fn sum_up(relay: &Relay) -> std::io::Result<()> {
    let tally = relay.tally();
    writeln!(
        std::io::stderr(),
        "{}: {} connections, {} bytes up, {} down, {} round trips",
        relay.address(),
        tally.connections(),
        tally.bytes(Direction::Up),
        tally.bytes(Direction::Down),
        tally.rounds(),
    )
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut parsed = Self::default();
        while let Some(flag) = words.next() {
            let mut value = || words.next().ok_or(format!("{flag} needs a value"));
            match flag.as_str() {
                "--listen" => parsed.listen.push(value()?.parse()?),
                "--to" => parsed.to.push(value()?.parse()?),
                "--rate" => parsed.rate = Some(parse_rate(&value()?)?),
                "--rtt" => parsed.rtt = parse_time(&value()?)?,
                "--per-connection" => parsed.per_connection = true,
                "--trace" => parsed.trace = true,
                _ => return Err(format!("unknown argument `{flag}`").into()),
            }
        }
        match !parsed.listen.is_empty() && parsed.listen.len() == parsed.to.len() {
            true => Ok(parsed),
            false => Err("every --listen needs its --to".into()),
        }
    }
}
