//! What is measured: [`ROWS`], each with who does it and the goals it is held against.

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
    /// Measured once and without a run before it: for memory, which hardly differs.
    pub(crate) once: bool,
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

const MBUILD: Who = who("mbuild", Client::Mbuild, Nodes::Two);
const BUILDX: Who = who("buildx", Client::Buildx, Nodes::Two);
const BOTH: &[Who] = &[MBUILD, BUILDX];
const OVER_LINK: &[Who] = &[
    who("mbuild", Client::Mbuild, Nodes::Far),
    who("buildx", Client::Buildx, Nodes::Far),
    who("buildctl", Client::Buildctl, Nodes::Far),
];
/// Those without the link have the name of those with it, and ` near`.
const WITH_AND_WITHOUT_LINK: &[Who] = &[
    who("mbuild", Client::Mbuild, Nodes::Far),
    who("mbuild near", Client::Mbuild, Nodes::One),
    who("buildx", Client::Buildx, Nodes::Far),
    who("buildx near", Client::Buildx, Nodes::One),
    who("buildctl", Client::Buildctl, Nodes::Far),
    who("buildctl near", Client::Buildctl, Nodes::One),
];

const fn who(name: &'static str, client: Client, on: Nodes) -> Who {
    Who { name, client, on }
}

/// Everything that is measured, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "version",
        title: "`version`",
        work: Work::Version,
        who: BOTH,
        goals: &[Goal::Wall(0.005)],
        once: false,
    },
    Row {
        name: "cached",
        title: "all steps cached, push and merge",
        work: Work::Build(Context::Steps, Change::Nothing, To::Registry),
        who: BOTH,
        goals: &[Goal::WallRatio(0.4)],
        once: false,
    },
    Row {
        name: "files-cold",
        title: "30,000 files (125 MB) to two nodes, cold",
        work: Work::Build(Context::Files, Change::Renewed, To::Cache),
        who: BOTH,
        goals: &[Goal::WallRatioOrDaemons(0.8), Goal::CpuRatio(0.25)],
        once: false,
    },
    Row {
        name: "files-same",
        title: "30,000 files, nothing changed",
        work: Work::Build(Context::Files, Change::Nothing, To::Cache),
        who: BOTH,
        goals: &[Goal::WallRatio(0.35)],
        once: false,
    },
    Row {
        name: "files-one",
        title: "30,000 files, one changed",
        work: Work::Build(Context::Files, Change::One, To::Cache),
        who: BOTH,
        goals: &[Goal::WallRatio(0.4)],
        once: false,
    },
    Row {
        name: "large-cold",
        title: "one file of 1 GiB to two nodes, cold",
        work: Work::Build(Context::Large, Change::Renewed, To::Cache),
        who: BOTH,
        goals: &[Goal::WallRatio(0.55), Goal::CpuRatio(0.15)],
        once: false,
    },
    Row {
        name: "files-back",
        title: "60,000 files (250 MB) back to a directory",
        work: Work::Build(Context::Files, Change::Nothing, To::Directory),
        who: BOTH,
        goals: &[Goal::WallRatio(0.4), Goal::CpuRatio(0.25)],
        once: false,
    },
    Row {
        name: "large-back",
        title: "2 × 1 GiB back to a directory",
        work: Work::Build(Context::Large, Change::Nothing, To::Directory),
        who: BOTH,
        goals: &[Goal::WallRatio(0.5)],
        once: false,
    },
    Row {
        name: "many",
        title: "300,000 files to two nodes, for memory",
        work: Work::Build(Context::Many, Change::Nothing, To::Cache),
        who: &[MBUILD],
        goals: &[],
        once: true,
    },
    Row {
        name: "overhead-2",
        title: "orchestration of 2 nodes (cached, push)",
        work: Work::Build(Context::Single, Change::Nothing, To::Registry),
        who: &[MBUILD],
        goals: &[Goal::Overhead(0.060)],
        once: false,
    },
    Row {
        name: "overhead-8",
        title: "orchestration of 8 nodes (cached, push)",
        work: Work::Build(Context::Single, Change::Nothing, To::Registry),
        who: &[who("mbuild", Client::Mbuild, Nodes::Eight)],
        goals: &[Goal::Overhead(0.150)],
        once: false,
    },
    Row {
        name: "link-up",
        title: "1 GiB up, over 1 Gbit/s and 50 ms",
        work: Work::Build(Context::Large, Change::Renewed, To::Cache),
        who: OVER_LINK,
        goals: &[Goal::Line(0.85)],
        once: false,
    },
    Row {
        name: "link-down",
        title: "1 GiB down, over 1 Gbit/s and 50 ms",
        work: Work::Build(Context::Large, Change::Nothing, To::Directory),
        who: OVER_LINK,
        goals: &[Goal::Line(0.85)],
        once: false,
    },
    Row {
        name: "link-cached",
        title: "all steps cached, over 1 Gbit/s and 50 ms",
        work: Work::Build(Context::Steps, Change::Nothing, To::Cache),
        who: WITH_AND_WITHOUT_LINK,
        goals: &[Goal::RoundTrips(7.0)],
        once: false,
    },
];

/// The row of this name.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

impl Row {
    /// Is it about the slow link?
    pub(crate) fn is_far(&self) -> bool {
        self.who.iter().any(|who| who.on == Nodes::Far)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(ROWS[at + 1..].iter().all(|other| other.name != row.name));
            assert_eq!(find(row.name).unwrap().title, row.title);
            assert_eq!(row.who[0].name, "mbuild", "{}", row.name);
        }
        assert!(find("none").is_none());
    }
}
