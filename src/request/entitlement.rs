//! The `--allow` flag: privileges that a build is given.
//!
//! The daemon has to grant them as well; what it refuses is its own error.

use std::fmt;

use crate::attrs::{self, FlagError};

const FLAG: &str = "--allow";
const LOCAL_DELETE: &str = "buildx.local.delete";

/// One privilege of a build.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entitlement {
    /// Steps may use the daemon's own network.
    NetworkHost,
    /// Steps may run without confinement.
    SecurityInsecure,
    /// Steps may use a device, given as `NAME[,alias=NAME]`; `None` means any.
    Device(Option<String>),
    /// A local output may remove files. Only for the client, which does not require it.
    LocalDelete,
}

impl Entitlement {
    /// Parses the name of a privilege; `None` if the value is empty.
    ///
    /// # Errors
    ///
    /// When the name is unknown, or a device has other keys than `alias`.
    pub fn parse(value: &str) -> Result<Option<Self>, FlagError> {
        let parsed = match value {
            "" => return Ok(None),
            "network.host" => Self::NetworkHost,
            "security.insecure" => Self::SecurityInsecure,
            "device" | "device=" => Self::Device(None),
            LOCAL_DELETE => Self::LocalDelete,
            other => match other.strip_prefix("device=") {
                Some(device) => Self::Device(Some(check_device(device)?)),
                None => return Err(unknown(other)),
            },
        };
        Ok(Some(parsed))
    }

    /// Returns what the daemon is asked to grant; `None` if it is not the daemon's to grant.
    pub fn for_daemon(&self) -> Option<String> {
        Some(self.to_string()).filter(|_| *self != Self::LocalDelete)
    }
}

/// Prints the privilege as it is typed.
impl fmt::Display for Entitlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkHost => f.write_str("network.host"),
            Self::SecurityInsecure => f.write_str("security.insecure"),
            Self::Device(None) => f.write_str("device"),
            Self::Device(Some(device)) => write!(f, "device={device}"),
            Self::LocalDelete => f.write_str(LOCAL_DELETE),
        }
    }
}

/// Checks that only `alias` follows a device's name, and returns the whole.
fn check_device(device: &str) -> Result<String, FlagError> {
    let fields = attrs::split_flag(FLAG, device)?;
    for field in fields.iter().skip(1) {
        let (key, _) = attrs::split_pair(FLAG, field)?;
        if key != "alias" {
            return Err(FlagError::UnknownKey {
                flag: FLAG,
                key,
                allowed: &["alias"],
            });
        }
    }
    Ok(device.to_owned())
}

fn unknown(value: &str) -> FlagError {
    FlagError::Form {
        flag: FLAG,
        value: value.to_owned(),
        expected: "network.host, security.insecure, device or buildx.local.delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_unknown_privileges() {
        let names = "network.host, security.insecure, device or buildx.local.delete";
        let check = |value: &str, expect: &str| {
            assert_eq!(Entitlement::parse(value).unwrap_err().to_string(), expect);
        };
        check("fs=/x", &format!("--allow: `fs=/x` is not {names}"));
        let list = "network.host,security.insecure";
        check(list, &format!("--allow: `{list}` is not {names}"));
        check(
            "device=a,b=c",
            "--allow: unknown key `b`, expected one of: alias",
        );
    }

    #[test]
    fn prints_what_it_parses() {
        let check = |value: &str, for_daemon: Option<&str>| {
            let entitlement = Entitlement::parse(value).unwrap().unwrap();
            assert_eq!(entitlement.to_string(), value);
            assert_eq!(entitlement.for_daemon().as_deref(), for_daemon);
        };
        check("network.host", Some("network.host"));
        check("device", Some("device"));
        check("device=a,alias=b", Some("device=a,alias=b"));
        check("buildx.local.delete", None);
        assert_eq!(Entitlement::parse(""), Ok(None));
    }
}
