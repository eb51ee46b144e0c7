//! Which builds a command is about: [`Wanted`], and asking all daemons for them.

use super::super::daemons::{Daemon, Daemons, Failures};
use super::super::error::CliError;
use super::builds::{Build, Unit, group};
use super::filter::part_of;
use crate::buildkit::history::{Listing, list};

/// Which build a user means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// So many before the latest one.
    Back(usize),
    /// The one of this name, or the part of one with this reference.
    Named(String),
}

impl Wanted {
    /// Reads a reference: a build's name, a part's own, `BUILDER/NODE/REF` as metadata files have
    /// it, `^N` for the one N before the latest; nothing means the latest.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, CliError> {
        let text = text.unwrap_or("^0");
        if let Some(number) = text.strip_prefix('^') {
            return match number.parse() {
                Ok(number) => Ok(Self::Back(number)),
                Err(_) => Err(CliError::usage(format!(
                    "`{text}`: after ^ comes a number, 0 for the latest build"
                ))),
            };
        }
        let reference = text.rsplit('/').next().unwrap_or(text);
        match reference.is_empty() {
            true => Err(CliError::usage("the reference is empty")),
            false => Ok(Self::Named(reference.to_owned())),
        }
    }

    fn listing(&self) -> Listing {
        let Self::Named(reference) = self else {
            return Listing::default();
        };
        Listing {
            filters: part_of("ref", reference).into_iter().collect(),
            ..Listing::default()
        }
    }

    /// Picks the build out of all; of one that is named by a part, that part alone.
    fn pick(&self, builds: Vec<Build>) -> Option<Build> {
        match self {
            Self::Back(number) => {
                let mut builds = builds;
                builds.sort_by_key(|build| std::cmp::Reverse(build.created()));
                builds.into_iter().nth(*number)
            }
            Self::Named(reference) => builds.into_iter().find_map(|mut build| {
                if build.id.as_str() != reference {
                    build
                        .units
                        .retain(|unit| unit.record.reference == *reference);
                }
                (!build.units.is_empty()).then_some(build)
            }),
        }
    }
}

/// Asks all daemons for records, and puts them together.
pub(super) async fn builds(
    daemons: &Daemons,
    listing: &Listing,
    failures: &mut Failures,
) -> Vec<Build> {
    let question = async |daemon: &Daemon| list(&daemon.connection, listing).await;
    let answers = daemons.ask(question, failures).await;
    let units = answers.into_iter().flat_map(|(daemon, records)| {
        let position = position(daemons, daemon);
        records.into_iter().map(move |record| Unit {
            daemon: position,
            place: daemon.place.clone(),
            record,
        })
    });
    group(units.collect())
}

/// Finds the build that a user means; where some daemons do not answer, among the others'.
pub(super) async fn find(
    daemons: &Daemons,
    wanted: &Wanted,
    failures: &mut Failures,
) -> Result<Build, CliError> {
    let builds = builds(daemons, &wanted.listing(), failures).await;
    let count = builds.len();
    wanted.pick(builds).ok_or_else(|| {
        let text = match wanted {
            Wanted::Named(reference) => {
                format!("no build `{reference}` is on record")
            }
            Wanted::Back(_) if count == 0 => "no build is on record".to_owned(),
            Wanted::Back(number) => format!("no build ^{number}: {count} are on record"),
        };
        CliError::usage(text).hint("`mbuild history ls` lists those that are")
    })
}

/// Where the daemon's own build of this name is, by position.
fn position(daemons: &Daemons, daemon: &Daemon) -> usize {
    let same = |other: &Daemon| std::ptr::eq(other, daemon);
    daemons.list.iter().position(same).unwrap_or_default()
}

/// A build's reference as buildx writes it: `BUILDER/NODE/REF`.
pub(super) fn full_reference(builder: &str, unit: &Unit) -> String {
    format!("{builder}/{}/{}", unit.place.node, unit.record.reference)
}

#[cfg(test)]
mod tests {
    use super::super::builds::test_unit;
    use super::*;

    const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaa";

    fn all() -> Vec<Build> {
        group(vec![
            test_unit("amd64", &format!("{ID}-1"), "linux/amd64", (100, Some(120))),
            test_unit("arm64", &format!("{ID}-2"), "linux/arm64", (100, Some(120))),
            test_unit("amd64", "late", "", (500, Some(501))),
            test_unit("amd64", "runs", "", (50, None)),
        ])
    }

    fn check(text: Option<&str>, expect: Option<(&str, usize)>) {
        let picked = Wanted::parse(text).unwrap().pick(all());
        let picked = picked
            .as_ref()
            .map(|build| (build.id.as_str(), build.units.len()));
        assert_eq!(picked, expect, "{text:?}");
    }

    #[test]
    fn builds_are_found_by_name_part_and_age() {
        check(None, Some(("late", 1)));
        check(Some("^0"), Some(("late", 1)));
        check(Some("^1"), Some((ID, 2)));
        check(Some("^2"), Some(("runs", 1)));
        check(Some("^3"), None);
        check(Some(ID), Some((ID, 2)));
        check(Some(&format!("{ID}-2")), Some((ID, 1)));
        check(Some(&format!("farm/arm64/{ID}-2")), Some((ID, 1)));
        check(Some(&format!("{ID}-3")), None);
        check(Some("aaa"), None);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in ["^", "^x", "^-1", "", "farm/"] {
            assert!(Wanted::parse(Some(text)).is_err(), "{text}");
        }
    }
}
