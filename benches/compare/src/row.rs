//! What a line of the comparison is: [`Row`], the work, who does it and where.

use crate::data::{Change, Context};
use crate::goal::Goal;

/// One line of the comparison.
#[derive(Debug)]
pub(crate) struct Row {
    /// What `--row` calls it.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) work: Work,
    /// Who does it, in turns; the first is the one with goals.
    pub(crate) who: &'static [Who],
    /// Beside the limit of memory, which every row has.
    pub(crate) goals: &'static [Goal],
    pub(crate) runs: Runs,
}

/// How often each client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// Once, and without a run before it: for memory, which hardly differs.
    Once,
    /// As often as was asked for.
    Pairs,
    /// Three times that: milliseconds differ more, and cost little.
    Often,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Say one's version.
    Version,
    /// Build a context, changed before each run.
    Build(Context, Change, To),
}

/// What becomes of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// It stays in the daemons' caches.
    Cache,
    /// It goes to the registry, as one image.
    Registry,
    /// It comes back into a directory that is not there yet.
    Directory,
}

/// One that does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) on: Nodes,
}

/// A program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Mbuild,
    Buildx,
    /// BuildKit's own client, of one daemon.
    Buildctl,
}

/// Where it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// The two daemons, each with a platform of its own.
    Two,
    /// Eight endpoints that lead to the two daemons, each with a platform of its own.
    Eight,
    /// The first daemon.
    One,
    /// The first daemon, at the other end of the slow link.
    Far,
}

/// Names one that takes part.
pub(crate) const fn who(name: &'static str, client: Client, on: Nodes) -> Who {
    Who { name, client, on }
}

impl Row {
    /// Is it about the slow link?
    pub(crate) fn is_far(&self) -> bool {
        self.who.iter().any(|who| who.on == Nodes::Far)
    }

    /// How often each client runs, and whether a run that is not counted comes first.
    pub(crate) fn rounds(&self, pairs: usize) -> (usize, bool) {
        match self.runs {
            Runs::Once => (1, false),
            Runs::Pairs => (pairs, true),
            Runs::Often => (pairs * 3, true),
        }
    }

    /// Must be known how long the nodes' own Solves took?
    pub(crate) fn asks_for_solve(&self) -> bool {
        self.goals
            .iter()
            .any(|goal| matches!(goal, Goal::Overhead(_)))
    }
}

impl Nodes {
    /// What the builder of these nodes is called.
    pub(crate) fn builder(self) -> &'static str {
        match self {
            Self::Two => "two",
            Self::Eight => "eight",
            Self::One => "one",
            Self::Far => "far",
        }
    }

    /// Platforms, one for each node.
    pub(crate) fn platforms(self) -> &'static [&'static str] {
        const ALL: &[&str] = &[
            "linux/amd64",
            "linux/arm64",
            "linux/386",
            "linux/arm/v7",
            "linux/arm/v6",
            "linux/ppc64le",
            "linux/s390x",
            "linux/riscv64",
        ];
        match self {
            Self::One | Self::Far => &ALL[..1],
            Self::Two => &ALL[..2],
            Self::Eight => ALL,
        }
    }
}
