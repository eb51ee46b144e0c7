//! The `--platform` flag: what a build is for.
//!
//! Gives each platform once, in its canonical spelling and in the order asked for.

use crate::attrs::FlagError;
use crate::platform::Platform;

const FLAG: &str = "--platform";

/// Parses lists of platforms separated by commas; `local` and single words mean `host`'s.
///
/// # Errors
///
/// When a part of a list is not a platform.
pub fn parse_platforms<S: AsRef<str>>(
    values: &[S],
    host: &Platform,
) -> Result<Vec<Platform>, FlagError> {
    let mut platforms = Vec::new();
    for value in values {
        let value = value.as_ref();
        for text in value
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            let platform = match text {
                "local" => Ok(host.clone()),
                text => Platform::parse(text, host),
            };
            let platform = platform.map_err(|source| FlagError::Platform {
                flag: FLAG,
                value: value.to_owned(),
                source,
            })?;
            let platform = platform.normalized();
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
    }
    Ok(platforms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Result<Vec<String>, FlagError> {
        let platforms = parse_platforms(values, &Platform::new("linux", "riscv64"))?;
        Ok(platforms.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_the_list_with_a_bad_platform() {
        let error = parse(&["linux/amd64,linux/"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--platform: bad platform in `linux/amd64,linux/`"
        );
    }

    #[test]
    fn lists_may_be_repeated_and_overlap() {
        let check = |values: &[&str], expect: &[&str]| assert_eq!(parse(values).unwrap(), expect);
        check(&[], &[]);
        check(&[""], &[]);
        check(
            &["linux/arm64, arm", "linux/arm/v7"],
            &["linux/arm64", "linux/arm/v7"],
        );
        check(
            &["local,linux/aarch64/v8"],
            &["linux/riscv64", "linux/arm64"],
        );
    }
}
