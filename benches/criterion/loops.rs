//! Times the hot loops: `cargo bench -p mbuild-benches`, one of them with its name behind `--`.

use std::time::Duration;

use criterion::Criterion;
use mbuild_benches::loops::{Failure, LOOPS, Loop, counted};

/// Long enough to see 5 % on a machine that does nothing else, all loops in a minute.
const MEASURED: Duration = Duration::from_secs(4);
const WARM_UP: Duration = Duration::from_secs(1);

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default()
        .warm_up_time(WARM_UP)
        .measurement_time(MEASURED)
        .sample_size(30)
        .configure_from_args();
    for Loop { name, prepare, .. } in LOOPS {
        let mut work = prepare()?;
        counted(&mut work)?;
        criterion.bench_function(name, |bencher| bencher.iter(|| counted(&mut work)));
    }
    criterion.final_summary();
    Ok(())
}
