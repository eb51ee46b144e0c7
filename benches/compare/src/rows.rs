//! What is measured: [`ROWS`], each with who does it and the goals it is held against.

use crate::data::{Change, Context};
use crate::goal::Goal;
use crate::row::{Client, Nodes, Row, Runs, To, Who, Work, who};

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

/// Everything that is measured, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "version",
        title: "`version`",
        work: Work::Version,
        who: BOTH,
        goals: &[Goal::Wall(0.005)],
        runs: Runs::Often,
    },
    Row {
        name: "cached",
        title: "all steps cached, push and merge",
        work: Work::Build(Context::Steps, Change::Nothing, To::Registry),
        who: BOTH,
        goals: &[Goal::WallRatio(0.4)],
        runs: Runs::Often,
    },
    Row {
        name: "files-cold",
        title: "30,000 files (125 MB) to two nodes, cold",
        work: Work::Build(Context::Files, Change::Renewed, To::Cache),
        who: BOTH,
        goals: &[Goal::WallRatioOrDaemons(0.8), Goal::CpuRatio(0.25)],
        runs: Runs::Pairs,
    },
    Row {
        name: "files-same",
        title: "30,000 files, nothing changed",
        work: Work::Build(Context::Files, Change::Nothing, To::Cache),
        who: BOTH,
        goals: &[Goal::WallRatio(0.35)],
        runs: Runs::Pairs,
    },
    Row {
        name: "files-one",
        title: "30,000 files, one changed",
        work: Work::Build(Context::Files, Change::One, To::Cache),
        who: BOTH,
        goals: &[Goal::WallRatio(0.4)],
        runs: Runs::Pairs,
    },
    Row {
        name: "large-cold",
        title: "one file of 1 GiB to two nodes, cold",
        work: Work::Build(Context::Large, Change::Renewed, To::Cache),
        who: BOTH,
        goals: &[Goal::WallRatio(0.55), Goal::CpuRatio(0.15)],
        runs: Runs::Pairs,
    },
    Row {
        name: "files-back",
        title: "60,000 files (250 MB) back to a directory",
        work: Work::Build(Context::Files, Change::Nothing, To::Directory),
        who: BOTH,
        goals: &[Goal::WallRatio(0.4), Goal::CpuRatio(0.25)],
        runs: Runs::Pairs,
    },
    Row {
        name: "large-back",
        title: "2 × 1 GiB back to a directory",
        work: Work::Build(Context::Large, Change::Nothing, To::Directory),
        who: BOTH,
        goals: &[Goal::WallRatio(0.5)],
        runs: Runs::Pairs,
    },
    Row {
        name: "many",
        title: "300,000 files to two nodes, for memory",
        work: Work::Build(Context::Many, Change::Nothing, To::Cache),
        who: &[MBUILD],
        goals: &[],
        runs: Runs::Once,
    },
    Row {
        name: "overhead-2",
        title: "orchestration of 2 nodes (cached, push)",
        work: Work::Build(Context::Single, Change::Nothing, To::Registry),
        who: &[MBUILD],
        goals: &[Goal::Overhead(0.060)],
        runs: Runs::Often,
    },
    Row {
        name: "overhead-8",
        title: "orchestration of 8 nodes (cached, push)",
        work: Work::Build(Context::Single, Change::Nothing, To::Registry),
        who: &[who("mbuild", Client::Mbuild, Nodes::Eight)],
        goals: &[Goal::Overhead(0.150)],
        runs: Runs::Often,
    },
    Row {
        name: "link-up",
        title: "1 GiB up, over 1 Gbit/s and 50 ms",
        work: Work::Build(Context::Large, Change::Renewed, To::Cache),
        who: OVER_LINK,
        goals: &[Goal::Line(0.85)],
        runs: Runs::Pairs,
    },
    Row {
        name: "link-down",
        title: "1 GiB down, over 1 Gbit/s and 50 ms",
        work: Work::Build(Context::Large, Change::Nothing, To::Directory),
        who: OVER_LINK,
        goals: &[Goal::Line(0.85)],
        runs: Runs::Pairs,
    },
    Row {
        name: "link-cached",
        title: "all steps cached, over 1 Gbit/s and 50 ms",
        work: Work::Build(Context::Steps, Change::Nothing, To::Cache),
        who: WITH_AND_WITHOUT_LINK,
        goals: &[Goal::RoundTrips(7.0)],
        runs: Runs::Pairs,
    },
];

/// The row of this name.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
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
