//! `--filter` of `du` and `prune`, as daemons understand it: [`CacheFilter`]. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::super::error::CliError;
use crate::builder::kubernetes::options::duration;
use crate::buildkit::usage::UsageRecord;

/// Fields with a text, and those that an entry has or has not.
const TEXTS: [&str; 4] = ["id", "parents", "description", "type"];
const FLAGS: [&str; 5] = ["inuse", "mutable", "immutable", "shared", "private"];
/// The time since the last use; the second is buildx's old name for it.
const AGES: [&str; 2] = ["until", "unused-for"];
/// What the opposite of a flag is called, where it has a name.
const OPPOSITES: [(&str, &str); 2] = [("mutable", "immutable"), ("shared", "private")];

/// What entries are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CacheFilter {
    /// In the daemon's words; an entry has to fit all of them.
    terms: Vec<String>,
    /// The least time since the last use; zero means any.
    pub(super) unused: Duration,
}

impl CacheFilter {
    /// Reads all values of the flag.
    pub(super) fn parse(values: &[String]) -> Result<Self, CliError> {
        let mut filter = Self::default();
        let mut fields: Vec<&str> = Vec::new();
        for value in values {
            let (field, operator, operand) = split(value);
            let name = field.to_ascii_lowercase();
            // Both names of an age are one.
            let field = match AGES.contains(&&*name) {
                true => AGES[0],
                false => field,
            };
            if fields.contains(&field) {
                return Err(wrong(value, "has a filter of that name before it"));
            }
            fields.push(field);
            filter.take(value, &name, operator, operand)?;
        }
        Ok(filter)
    }

    fn take(
        &mut self,
        whole: &str,
        name: &str,
        operator: Option<&str>,
        operand: &str,
    ) -> Result<(), CliError> {
        if AGES.contains(&name) {
            if operator != Some("=") {
                return Err(wrong(whole, "is written until=24h"));
            }
            self.unused = duration(operand).map_err(|problem| {
                CliError::usage(format!("--filter {whole}: `{operand}` {problem}"))
            })?;
            return Ok(());
        }
        if TEXTS.contains(&name) {
            let operator = match operator {
                // As in buildx, a part of an id is enough.
                Some("=") if name == "id" => "~=",
                Some("=") => "==",
                Some(other) => other,
                None => return Err(wrong(whole, "needs a value")),
            };
            self.terms
                .push(format!("{name}{operator}{}", quoted(operand)));
            return Ok(());
        }
        if FLAGS.contains(&name) {
            self.terms
                .push(flag(whole, name, operator, operand)?.to_owned());
            return Ok(());
        }
        let known: Vec<&str> = AGES[..1]
            .iter()
            .chain(&TEXTS)
            .chain(&FLAGS)
            .copied()
            .collect();
        let known = known.join(", ");
        Err(CliError::usage(format!(
            "--filter {whole}: there is no filter `{name}`; there are {known}"
        )))
    }

    /// What the daemon is told: one text of which all must fit; nothing where there is no filter.
    pub(super) fn for_daemon(&self) -> Vec<String> {
        match self.terms.is_empty() {
            true => Vec::new(),
            false => vec![self.terms.join(",")],
        }
    }

    /// Whether an entry was unused for long enough; what was never used was.
    pub(super) fn is_old_enough(&self, record: &UsageRecord, now: Timestamp) -> bool {
        let Some(used) = record.last_used.filter(|_| !self.unused.is_zero()) else {
            return true;
        };
        let since = Duration::try_from(now.duration_since(used)).unwrap_or_default();
        since >= self.unused
    }
}

/// Splits at the first operator: `=`, `==`, `!=` or `~=`.
fn split(value: &str) -> (&str, Option<&str>, &str) {
    let value = value.trim();
    let Some(at) = value.find('=') else {
        return (value, None, "");
    };
    let (field, operand) = (&value[..at], &value[at + 1..]);
    let operand = operand.strip_prefix('=').unwrap_or(operand);
    for (end, operator) in [('!', "!="), ('~', "~=")] {
        if let Some(field) = field.strip_suffix(end) {
            return (field.trim(), Some(operator), operand.trim());
        }
    }
    (field.trim(), Some("="), operand.trim())
}

/// The flag that is meant: `mutable=false` is `immutable`.
fn flag<'a>(
    whole: &str,
    name: &'a str,
    operator: Option<&str>,
    operand: &str,
) -> Result<&'a str, CliError> {
    let is_wanted = match (operator, operand) {
        (None, _) | (Some("="), "" | "true" | "1") | (Some("!="), "false" | "0") => true,
        (Some("="), "false" | "0") | (Some("!="), "true" | "1") => false,
        _ => return Err(wrong(whole, "is true or false")),
    };
    if is_wanted {
        return Ok(name);
    }
    let mut pairs = OPPOSITES
        .into_iter()
        .chain(OPPOSITES.map(|(one, other)| (other, one)));
    let opposite = pairs.find(|(one, _)| *one == name);
    opposite
        .map(|(_, opposite)| opposite)
        .ok_or_else(|| wrong(whole, "has no opposite that daemons know"))
}

/// A value in quotes, so that no character of it is taken for syntax.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn wrong(whole: &str, problem: &str) -> CliError {
    CliError::usage(format!("--filter {whole}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Result<CacheFilter, CliError> {
        let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        CacheFilter::parse(&values)
    }

    fn check(values: &[&str], expect: &[&str]) {
        assert_eq!(parse(values).unwrap().for_daemon(), expect, "{values:?}");
    }

    #[test]
    fn filters_are_those_of_daemons() {
        check(&[], &[]);
        check(&["id=abc"], &[r#"id~="abc""#]);
        check(&["type=regular", "shared"], &[r#"type=="regular",shared"#]);
        check(&["type==regular"], &[r#"type=="regular""#]);
        check(&["type!=regular"], &[r#"type!="regular""#]);
        check(&["description~=a \"b\\d"], &[r#"description~="a \"b\\d""#]);
        check(&["parents~=p"], &[r#"parents~="p""#]);
    }

    #[test]
    fn flags_may_have_a_value() {
        check(&["inuse=true"], &["inuse"]);
        check(&["mutable=false"], &["immutable"]);
        check(&["private!=true"], &["shared"]);
        assert!(parse(&["inuse=false"]).is_err());
        assert!(parse(&["inuse=maybe"]).is_err());
    }

    #[test]
    fn an_age_is_a_time_without_use() {
        let filter = parse(&["until=1h30m"]).unwrap();
        assert_eq!(filter.unused, Duration::from_secs(5400));
        assert!(filter.for_daemon().is_empty());
        let now = Timestamp::from_second(10_000).unwrap();
        let used = |second| UsageRecord {
            last_used: Timestamp::from_second(second).ok(),
            ..UsageRecord::default()
        };
        assert!(filter.is_old_enough(&used(4_600), now));
        assert!(!filter.is_old_enough(&used(4_601), now));
        assert!(filter.is_old_enough(&UsageRecord::default(), now));
        assert!(parse(&["until=24h", "unused-for=1h"]).is_err());
        assert!(parse(&["until=yesterday"]).is_err());
        assert!(parse(&["until!=1h"]).is_err());
    }

    #[test]
    fn an_unknown_filter_comes_with_those_there_are() {
        let error = parse(&["size=3"]).unwrap_err().render();
        assert!(
            error.contains("`size`; there are until, id, parents"),
            "{error}"
        );
        assert!(parse(&["id=a", "id=b"]).is_err());
        assert!(parse(&["id"]).is_err());
    }
}
