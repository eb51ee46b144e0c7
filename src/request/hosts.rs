//! The `--add-host` flag: names that steps resolve to given addresses.
//!
//! The address of the daemon's own host is known only to the daemon, so that `host-gateway` is
//! kept as a word.

use std::fmt;
use std::net::IpAddr;

use crate::attrs::FlagError;

const FLAG: &str = "--add-host";
const GATEWAY: &str = "host-gateway";

/// One name and one address of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    /// The name.
    pub host: String,
    /// Its address.
    pub address: HostAddress,
}

/// What a name resolves to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAddress {
    /// This address.
    Ip(IpAddr),
    /// Whatever address the daemon's host has, written `host-gateway`.
    Gateway,
}

impl HostEntry {
    /// Parses `HOST=ADDRESS,…` or `HOST:ADDRESS,…`; addresses may stand in square brackets.
    ///
    /// # Errors
    ///
    /// When the host is missing, or an address is neither an IP address nor `host-gateway`.
    pub fn parse(value: &str) -> Result<Vec<Self>, FlagError> {
        let pair = value.split_once('=').or_else(|| value.split_once(':'));
        let Some((host, addresses)) = pair.filter(|(host, _)| !host.is_empty()) else {
            return Err(FlagError::Form {
                flag: FLAG,
                value: value.to_owned(),
                expected: "of the form host=address",
            });
        };
        let entry = |address| Self {
            host: host.to_owned(),
            address,
        };
        if addresses == GATEWAY {
            return Ok(vec![entry(HostAddress::Gateway)]);
        }
        let parse = |text: &str| {
            let inner = text
                .strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'));
            let address = inner.unwrap_or(text).parse();
            address
                .map(|ip| entry(HostAddress::Ip(ip)))
                .map_err(|_| FlagError::Value {
                    flag: FLAG,
                    key: host.to_owned(),
                    value: text.to_owned(),
                    expected: "an IP address or host-gateway",
                })
        };
        addresses.split(',').map(parse).collect()
    }
}

/// Prints `HOST=ADDRESS`, as the daemon wants it.
impl fmt::Display for HostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            HostAddress::Ip(ip) => write!(f, "{}={ip}", self.host),
            HostAddress::Gateway => write!(f, "{}={GATEWAY}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong() {
        let check = |value: &str, expect: &str| {
            assert_eq!(HostEntry::parse(value).unwrap_err().to_string(), expect);
        };
        let no_pair =
            |value: &str| format!("--add-host: `{value}` is not of the form host=address");
        let no_ip = |ip: &str| {
            format!("--add-host: `h` is `{ip}`, which is not an IP address or host-gateway")
        };
        check("", &no_pair(""));
        check("h", &no_pair("h"));
        check("=1.2.3.4", &no_pair("=1.2.3.4"));
        check("h=", &no_ip(""));
        check("h=1.2.3.4,", &no_ip(""));
        check("h=[::1", &no_ip("[::1"));
        check("h=::1,host-gateway", &no_ip("host-gateway"));
        check("h=01.2.3.4", &no_ip("01.2.3.4"));
    }

    #[test]
    fn each_address_gives_an_entry() {
        let check = |value: &str, expect: &[&str]| {
            let entries = HostEntry::parse(value).unwrap();
            let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
            assert_eq!(entries, expect, "{value}");
        };
        check("h:1.2.3.4", &["h=1.2.3.4"]);
        check("h=1.2.3.4,[::1]", &["h=1.2.3.4", "h=::1"]);
        check("h:::1", &["h=::1"]);
        check("h:host-gateway", &["h=host-gateway"]);
    }
}
