//! `--filter` of `history ls`: which builds are wanted ([`BuildFilter`]). Pure.
//!
//! Filters are about whole builds: one whose arm64 half failed is not among the completed ones.
//! So they are decided here, and daemons are only told what all records of a build share.

use std::time::Duration;

use jiff::Timestamp;

use super::super::error::CliError;
use super::super::git::plain_url;
use super::builds::{Build, Status};
use super::name::repository;
use crate::builder::kubernetes::options::duration;

const KEYS: [&str; 6] = [
    "ref",
    "repository",
    "status",
    "startedAt",
    "completedAt",
    "duration",
];
const STATUSES: [Status; 4] = [
    Status::Running,
    Status::Completed,
    Status::Error,
    Status::Canceled,
];
/// Those of two characters come first, since the others are their beginnings.
const OPERATORS: [(&str, Operator); 6] = [
    ("!=", Operator::IsNot),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Is),
    ("<", Operator::Below),
    (">", Operator::Above),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    AtMost,
    AtLeast,
    Below,
    Above,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    Reference(Operator, String),
    Repository(Operator, String),
    Local(String),
    Status(Operator, Status),
    StartedAt(Operator, Timestamp),
    CompletedAt(Operator, Timestamp),
    Duration(Operator, Duration),
}

/// Which builds are wanted: those that fit all terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BuildFilter {
    terms: Vec<Term>,
}

impl BuildFilter {
    /// Reads all values of the flag; spans of time count back from `now`.
    pub(super) fn parse(values: &[String], now: Timestamp) -> Result<Self, CliError> {
        let terms: Result<_, _> = values.iter().map(|value| term(value, now)).collect();
        Ok(Self { terms: terms? })
    }

    /// Adds that builds are of a repository, however its URL is written.
    pub(super) fn of_repository(mut self, remote: &str) -> Self {
        self.terms.push(Term::Local(plain_url(remote)));
        self
    }

    /// Whether a build fits.
    pub(super) fn fits(&self, build: &Build, now: Timestamp) -> bool {
        self.terms.iter().all(|term| term.fits(build, now))
    }

    /// What daemons can be told, in their words; nothing where they would not understand.
    pub(super) fn for_daemon(&self) -> Vec<String> {
        let texts: Option<Vec<String>> = self
            .terms
            .iter()
            .filter_map(|term| match term {
                Term::Reference(Operator::Is, text) => Some(part_of("ref", text)),
                Term::Repository(Operator::Is, text) => Some(part_of("repository", text)),
                _ => None,
            })
            .collect();
        match texts {
            Some(texts) if !texts.is_empty() => vec![texts.join(",")],
            _ => Vec::new(),
        }
    }
}

/// A filter for what contains a text; `None` where that would need quotes, which not every
/// daemon reads alike.
pub(super) fn part_of(field: &str, text: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_:@/.".contains(c);
    let starts_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_plain = starts_plain && text.chars().all(is_plain);
    is_plain.then(|| format!("{field}~={}", text.replace('.', "\\.")))
}

impl Term {
    fn fits(&self, build: &Build, now: Timestamp) -> bool {
        match self {
            Self::Reference(operator, text) => {
                let references = build.units.iter().map(|unit| &*unit.record.reference);
                let mut all = references.chain([build.id.as_str()]);
                match operator {
                    Operator::Is => all.any(|reference| reference.contains(text.as_str())),
                    _ => all.all(|reference| reference != text),
                }
            }
            Self::Repository(operator, text) => {
                let repository = repository(&build.first().record).unwrap_or_default();
                match operator {
                    Operator::Is => repository.contains(text.as_str()),
                    _ => repository != *text,
                }
            }
            Self::Local(plain) => {
                let repository = repository(&build.first().record);
                repository.is_some_and(|url| plain_url(&url) == *plain)
            }
            Self::Status(operator, status) => {
                (build.status() == *status) == (*operator == Operator::Is)
            }
            Self::StartedAt(operator, at) => build
                .created()
                .is_some_and(|created| operator.holds(&created.as_second(), &at.as_second())),
            Self::CompletedAt(operator, at) => build
                .completed()
                .is_some_and(|completed| operator.holds(&completed.as_second(), &at.as_second())),
            Self::Duration(operator, span) => {
                build.completed().is_some() && operator.holds(&build.duration(now), span)
            }
        }
    }
}

impl Operator {
    fn holds<T: Ord>(self, value: &T, limit: &T) -> bool {
        match self {
            Self::Is => value == limit,
            Self::IsNot => value != limit,
            Self::AtMost => value <= limit,
            Self::AtLeast => value >= limit,
            Self::Below => value < limit,
            Self::Above => value > limit,
        }
    }

    fn compares(self) -> bool {
        !matches!(self, Self::Is | Self::IsNot)
    }
}

fn term(text: &str, now: Timestamp) -> Result<Term, CliError> {
    // The first operator in the text; buildx looks for `=` first and so never finds `<=`.
    let at = text.find(['=', '!', '<', '>']).unwrap_or(text.len());
    let (key, rest) = text.split_at(at);
    let operator = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign));
    if !KEYS.contains(&key) {
        let known = KEYS.join(", ");
        let text = format!("--filter {text}: there is no filter `{key}`; there are {known}");
        return Err(CliError::usage(text));
    }
    let Some((sign, operator)) = operator else {
        return Err(wrong(text, "is a name, an operator and a value"));
    };
    let (operator, value) = (*operator, &rest[sign.len()..]);
    let is_text = matches!(key, "ref" | "repository" | "status");
    if is_text == operator.compares() {
        let allowed = if is_text { "= or !=" } else { "<, <=, > or >=" };
        return Err(wrong(text, &format!("{key} is compared by {allowed}")));
    }
    Ok(match key {
        "ref" => Term::Reference(operator, value.to_owned()),
        "repository" => Term::Repository(operator, value.to_owned()),
        "status" => {
            let status = STATUSES
                .into_iter()
                .find(|known| known.filter_word() == value);
            let words = STATUSES.map(Status::filter_word).join(", ");
            let status = status.ok_or_else(|| wrong(text, &format!("a status is {words}")))?;
            Term::Status(operator, status)
        }
        "startedAt" => Term::StartedAt(operator, time(text, value, now)?),
        "completedAt" => Term::CompletedAt(operator, time(text, value, now)?),
        _ => {
            let span =
                duration(value).map_err(|problem| wrong(text, &format!("{value} {problem}")));
            Term::Duration(operator, span?)
        }
    })
}

/// A time, or how long ago one was.
fn time(text: &str, value: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    if let Ok(span) = duration(value) {
        let then = now.checked_sub(span);
        return then.map_err(|_| wrong(text, "that is too long ago"));
    }
    let problem = "a time is a span such as 24h, or as 2026-01-31T12:00:00Z";
    value.parse().map_err(|_| wrong(text, problem))
}

fn wrong(text: &str, problem: &str) -> CliError {
    CliError::usage(format!("--filter {text}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::super::builds::{group, test_unit};
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(10_000).unwrap()
    }

    fn parse(values: &[&str]) -> Result<BuildFilter, CliError> {
        let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        BuildFilter::parse(&values, now())
    }

    /// One that ran from 9,000 s on, for 60 s.
    fn check(filters: &[&str], expect: bool) {
        let mut unit = test_unit("amd64", "abc", "linux/amd64", (9_000, Some(9_060)));
        let source = ("vcs:source".to_owned(), "https://h/x.git".to_owned());
        unit.record.attrs.extend([source]);
        let build = group(vec![unit]).remove(0);
        let fits = parse(filters).unwrap().fits(&build, now());
        assert_eq!(fits, expect, "{filters:?}");
    }

    #[test]
    fn texts_are_found_and_statuses_are_equal() {
        check(&[], true);
        check(&["ref=bc"], true);
        check(&["ref!=bc"], true);
        check(&["ref!=abc"], false);
        check(&["repository=h/x"], true);
        check(&["repository=h/y"], false);
        check(&["status=completed", "ref=abc"], true);
        check(&["status=completed", "ref=x"], false);
        check(&["status!=error"], true);
    }

    #[test]
    fn this_repository_is_known_by_any_url() {
        let check = |remote: &str, expect| {
            let mut unit = test_unit("amd64", "abc", "", (1, Some(2)));
            let source = ("vcs:source".to_owned(), "git@h:a/x.git".to_owned());
            unit.record.attrs.extend([source]);
            let build = group(vec![unit]).remove(0);
            let filter = BuildFilter::default().of_repository(remote);
            assert_eq!(filter.fits(&build, now()), expect, "{remote}");
        };
        check("https://h/a/x", true);
        check("https://h/a/xy", false);
    }

    #[test]
    fn times_are_compared() {
        check(&["startedAt>=1000s"], true);
        check(&["startedAt>1000s"], false);
        check(&["startedAt<1970-01-01T02:30:01Z"], true);
        check(&["completedAt<=940s"], true);
        check(&["completedAt<940s"], false);
        check(&["duration>59s", "duration<=1m"], true);
        check(&["duration<1m"], false);
    }

    #[test]
    fn a_build_that_runs_has_not_ended() {
        let build = group(vec![test_unit("amd64", "abc", "", (9_000, None))]).remove(0);
        for filter in ["completedAt<1h", "completedAt>1h", "duration>1s"] {
            assert!(!parse(&[filter]).unwrap().fits(&build, now()), "{filter}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (filter, says) in [
            ("size=3", "there are ref, repository, status"),
            ("status=done", "running, completed, error, canceled"),
            ("status<done", "= or !="),
            ("duration=1m", "<, <=, > or >="),
            ("duration<long", "duration"),
            ("startedAt<soon", "24h"),
            ("ref", "operator"),
        ] {
            let error = parse(&[filter]).unwrap_err().render();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn daemons_are_told_what_they_understand() {
        let check = |filters: &[&str], expect: &[&str]| {
            assert_eq!(parse(filters).unwrap().for_daemon(), expect, "{filters:?}");
        };
        check(&["status=error", "duration>1m"], &[]);
        check(
            &["repository=https://h/x.git", "ref=a"],
            &["repository~=https://h/x\\.git,ref~=a"],
        );
        check(&["repository=a\"b"], &[]);
        check(&["repository=/b"], &[]);
    }
}
