//! How much processor time the daemons used: [`Daemons`] adds up their processes.

use std::collections::HashMap;
use std::fs;

/// Linux tells processor time in hundredths of a second on every architecture we run on.
const TICKS: f64 = 100.0;

/// The daemons' processes, by their topmost ones.
#[derive(Debug)]
pub(crate) struct Daemons {
    pub(crate) roots: Vec<u32>,
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stat {
    parent: u32,
    /// Its own and that of children that have ended, in ticks.
    ticks: f64,
}

impl Daemons {
    /// Seconds so far, with everything below them; `None` when no process is known.
    pub(crate) fn seconds(&self) -> Option<f64> {
        let all: HashMap<u32, Stat> = fs::read_dir("/proc")
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid: u32| {
                let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                Some((pid, parse(&text)?))
            })
            .collect();
        let known = self.roots.iter().any(|root| all.contains_key(root));
        known.then(|| below(&self.roots, &all) / TICKS)
    }
}

fn below(roots: &[u32], all: &HashMap<u32, Stat>) -> f64 {
    let belongs = |pid: u32| {
        let mut at = pid;
        // No tree of processes is deeper; a parent that changes meanwhile must not make a ring.
        for _ in 0..64 {
            if roots.contains(&at) {
                return true;
            }
            match all.get(&at) {
                Some(stat) => at = stat.parent,
                None => return false,
            }
        }
        false
    };
    let ours = all.iter().filter(|(pid, _)| belongs(**pid));
    ours.map(|(_, stat)| stat.ticks).sum()
}

fn parse(text: &str) -> Option<Stat> {
    // The name may have blanks and brackets of its own.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // From the state on, which is the third field: user, system, and both of waited children.
    let times = fields.get(11..15)?;
    let times: Option<Vec<f64>> = times.iter().map(|time| time.parse().ok()).collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: times?.iter().sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_name_is() {
        let text = "7 (a) b) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 5 6 20 0 9";
        let expect = Stat {
            parent: 3,
            ticks: 41.0,
        };
        assert_eq!(parse(text), Some(expect));
        assert_eq!(parse("7 (a) S 3"), None);
    }

    #[test]
    fn only_what_is_below_a_root_counts() {
        let stat = |parent, ticks| Stat { parent, ticks };
        let all = HashMap::from([
            (1, stat(0, 1000.0)),
            (5, stat(1, 10.0)),
            (6, stat(5, 7.0)),
            (9, stat(1, 500.0)),
        ]);
        assert!((below(&[5], &all) - 17.0).abs() < 1e-9);
    }

    #[test]
    fn processes_that_are_not_there_have_no_time() {
        assert_eq!(Daemons { roots: vec![] }.seconds(), None);
        let own = Daemons {
            roots: vec![std::process::id()],
        };
        assert!(own.seconds().is_some());
    }
}
