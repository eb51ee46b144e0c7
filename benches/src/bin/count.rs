//! Runs one hot loop so that callgrind can count it, and compares what was counted.
//!
//! The script `benches/instructions` calls it: `count list`, `count run LOOP`, and
//! `count compare KEPT NOW`, which exits with 1 when the kept counts do not hold any more.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

use std::env;
use std::fs;
use std::process::ExitCode;

use mbuild_benches::counts::{Comparison, Counts, TOLERANCE};
use mbuild_benches::loops::{Failure, LOOPS, counted};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["list"] => {
            LOOPS.iter().for_each(|one| println!("{}", one.name));
            Ok(true)
        }
        ["run", name] => run(name).map(|()| true),
        ["compare", kept, now] => compare(kept, now),
        _ => Err("usage: count list | count run LOOP | count compare KEPT NOW".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("count: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs a loop twice: what is done only once in a process, such as growing the heap, is not
/// the loop's. The second run alone is counted, since only that calls [`counted`].
fn run(name: &str) -> Result<(), Failure> {
    let one = LOOPS.iter().find(|one| one.name == name);
    let one = one.ok_or_else(|| format!("there is no loop `{name}`"))?;
    let mut work = (one.prepare)()?;
    let (first, second) = (work()?, counted(&mut work)?);
    if first != second {
        return Err(format!("`{name}` went through {first}, then {second}").into());
    }
    Ok(())
}

/// Prints both measurements side by side, and what is to be done; false if that has to be done
/// before a change may go in.
fn compare(kept: &str, now: &str) -> Result<bool, Failure> {
    let kept = Counts::parse(&fs::read_to_string(kept)?)?;
    let now = Counts::parse(&fs::read_to_string(now)?)?;
    let comparison = Comparison::new(&kept, &now);
    print!("{comparison}");
    let ci = env::var_os("CI").is_some_and(|value| !value.is_empty());
    let passes = comparison.passes(!ci);
    for difference in &comparison.elsewhere {
        println!("made with {difference}: these counts cannot be compared");
    }
    if !passes {
        println!(
            "If this is meant, run `benches/instructions --update` and commit \
             benches/instructions.txt with it."
        );
    } else if comparison.elsewhere.is_empty() && comparison.has_gains() {
        println!(
            "A loop costs over {TOLERANCE} % less: `benches/instructions --update` keeps it so."
        );
    }
    Ok(passes)
}
