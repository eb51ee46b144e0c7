//! The hot loops: [`LOOPS`].
//!
//! Each is prepared once and then run any number of times, doing the same work again. They use
//! no thread, no network and no chance, so that the instructions of a run can be counted.

mod merge;
mod patterns;
mod plan;
mod progress;
mod project;
mod receive;
mod send;
mod walk;

use std::error::Error;

/// Why a loop cannot be prepared or run.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A prepared loop; a run returns how many things it went through.
pub type Work = Box<dyn FnMut() -> Result<usize, Failure>>;

/// A hot loop, before it is prepared.
#[derive(Debug)]
pub struct Loop {
    /// One word, in the table of counts and on the command line.
    pub name: &'static str,
    /// What it does, as the end of a sentence.
    pub about: &'static str,
    /// Makes its input, which may take a while.
    pub prepare: fn() -> Result<Work, Failure>,
}

/// All of them, in the order in which a build comes to them.
pub const LOOPS: &[Loop] = &[
    Loop {
        name: "plan",
        about: "plans eight platforms with five outputs",
        prepare: plan::prepare,
    },
    Loop {
        name: "walk",
        about: "lists a directory nobody has listed",
        prepare: walk::cold,
    },
    Loop {
        name: "view",
        about: "lists it for one more node, without what is ignored",
        prepare: walk::again,
    },
    Loop {
        name: "ignore",
        about: "holds paths against a .dockerignore",
        prepare: patterns::prepare,
    },
    Loop {
        name: "send",
        about: "encodes a list and the files' contents",
        prepare: send::prepare,
    },
    Loop {
        name: "receive",
        about: "decodes and judges a tree that a daemon sends",
        prepare: receive::prepare,
    },
    Loop {
        name: "progress",
        about: "folds the progress of four units",
        prepare: progress::prepare,
    },
    Loop {
        name: "merge",
        about: "reads the indexes of eight platforms and writes one",
        prepare: merge::prepare,
    },
];

/// Runs a loop once. Instructions are counted from here on, by this function's name, so it must
/// stay a function.
#[inline(never)]
pub fn counted(work: &mut Work) -> Result<usize, Failure> {
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_does_the_same_again() {
        for Loop { name, prepare, .. } in LOOPS {
            let mut work = prepare().unwrap();
            let first = counted(&mut work).unwrap();
            assert!(first > 0, "{name}");
            assert_eq!(counted(&mut work).unwrap(), first, "{name}");
        }
    }
}
