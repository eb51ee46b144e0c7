//! The `--ulimit` and `--shm-size` flags: what the steps of a build may use.
//!
//! Numbers and sizes are read and printed as docker/go-units does, for the daemon puts the text
//! into its cache keys.

use std::fmt;

use crate::attrs::FlagError;

const ULIMIT: &str = "--ulimit";

/// The limits that the kernel has, except the size of the address space.
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// One limit of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// What is limited, e.g. `nofile`.
    pub name: String,
    /// The limit that holds; -1 means none.
    pub soft: i64,
    /// The limit up to which a process may raise the other; -1 means none.
    pub hard: i64,
}

impl Ulimit {
    /// Parses `NAME=SOFT[:HARD]`; without `HARD` both are the same.
    ///
    /// # Errors
    ///
    /// When the name is unknown, a limit is neither a number nor `infinity`, or the soft one is
    /// above the hard one.
    pub fn parse(value: &str) -> Result<Self, FlagError> {
        let Some((name, limits)) = value.split_once('=') else {
            return Err(form(value, "of the form name=soft[:hard]"));
        };
        if !NAMES.contains(&name) {
            return Err(FlagError::UnknownKey {
                flag: ULIMIT,
                key: name.to_owned(),
                allowed: &NAMES,
            });
        }
        let limit = |text: &str| {
            parse_limit(text).ok_or_else(|| FlagError::Value {
                flag: ULIMIT,
                key: name.to_owned(),
                value: text.to_owned(),
                expected: "a number or infinity",
            })
        };
        let (soft, hard) = match limits.split_once(':') {
            Some((soft, hard)) => (limit(soft)?, limit(hard)?),
            None => (limit(limits)?, limit(limits)?),
        };
        if hard != -1 && (soft == -1 || soft > hard) {
            return Err(form(value, "a soft limit of at most the hard one"));
        }
        Ok(Self {
            name: name.to_owned(),
            soft,
            hard,
        })
    }
}

/// Prints `NAME=SOFT:HARD`, as the daemon wants it.
impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.name, self.soft, self.hard)
    }
}

/// Reads a size such as `64m` or `1.5GiB` in bytes, its units being powers of 1024.
///
/// # Errors
///
/// When the text is not a number with an optional unit from `b` to `p`, or is negative.
pub fn parse_size(flag: &'static str, text: &str) -> Result<u64, FlagError> {
    size(text).ok_or_else(|| FlagError::Form {
        flag,
        value: text.to_owned(),
        expected: "a size such as 64m",
    })
}

fn parse_limit(text: &str) -> Option<i64> {
    if text == "infinity" {
        Some(-1)
    } else {
        text.parse().ok()
    }
}

fn size(text: &str) -> Option<u64> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.' || c == ' ';
    let end = text.rfind(is_number)? + 1;
    let (number, unit) = text.split_at(end);
    let number: f64 = number.strip_suffix(' ').unwrap_or(number).parse().ok()?;
    let exponent = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let bytes = number * 1024_f64.powi(exponent);
    // 2^63 is the end of what the daemon's signed number holds.
    let fits = (0.0..9_223_372_036_854_775_808.0).contains(&bytes);
    // A fraction of a byte is cut off.
    fits.then_some(bytes as u64)
}

fn form(value: &str, expected: &'static str) -> FlagError {
    FlagError::Form {
        flag: ULIMIT,
        value: value.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_other_limits() {
        let check = |value: &str, expect: &str| {
            assert_eq!(Ulimit::parse(value).unwrap_err().to_string(), expect);
        };
        check(
            "nofile",
            "--ulimit: `nofile` is not of the form name=soft[:hard]",
        );
        check(
            "cpu=x",
            "--ulimit: `cpu` is `x`, which is not a number or infinity",
        );
        check(
            "cpu=1:2:3",
            "--ulimit: `cpu` is `2:3`, which is not a number or infinity",
        );
        let too_high = "is not a soft limit of at most the hard one";
        check("cpu=2:1", &format!("--ulimit: `cpu=2:1` {too_high}"));
        check("cpu=-1:1", &format!("--ulimit: `cpu=-1:1` {too_high}"));
        let error = Ulimit::parse("as=1").unwrap_err().to_string();
        assert!(error.starts_with("--ulimit: unknown key `as`, expected one of: core, cpu"));
    }

    #[test]
    fn prints_both_limits() {
        let check = |value: &str, expect: &str| {
            assert_eq!(Ulimit::parse(value).unwrap().to_string(), expect);
        };
        check("nofile=1024", "nofile=1024:1024");
        check("nofile=1:2", "nofile=1:2");
        check("core=0:infinity", "core=0:-1");
        check("stack=-1", "stack=-1:-1");
    }

    #[test]
    fn refuses_other_sizes() {
        for text in [
            "", "m", "-1", "1x", "1mm", "1bb", "1mi", "1 2", "1  m", "1e", "9e18p", "1_0",
        ] {
            assert!(parse_size("--shm-size", text).is_err(), "{text}");
        }
        let error = parse_size("--shm-size", "x").unwrap_err().to_string();
        assert_eq!(error, "--shm-size: `x` is not a size such as 64m");
    }

    #[test]
    fn units_are_powers_of_1024() {
        let check = |text: &str, expect: u64| {
            assert_eq!(parse_size("--shm-size", text), Ok(expect), "{text}");
        };
        check("32", 32);
        check("32b", 32);
        check("64m", 64 << 20);
        check("64MB", 64 << 20);
        check("1.5 KiB", 1536);
        check("1.9b", 1);
        check(".5g", 512 << 20);
        check("2p", 2 << 50);
    }
}
