//! Which platforms a machine can run, and in which order it prefers them.
//!
//! What an architecture is able to run by its definition, as containerd has it. Whether a certain
//! node should be given such a platform is the planner's decision.

use super::Platform;

impl Platform {
    /// Says whether both are the same platform, whatever the spelling.
    ///
    /// The image `other` may ask for fewer features, and its version counts only on Windows:
    /// there the build number, which is the third part, has to agree.
    pub fn matches_exactly(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.normalized(), other.normalized());
        ours.os == theirs.os
            && ours.architecture == theirs.architecture
            && ours.variant == theirs.variant
            && (ours.os != "windows" || same_build(&ours.os_version, &theirs.os_version))
            && theirs
                .os_features
                .iter()
                .all(|feature| ours.os_features.contains(feature))
    }

    /// Lists every platform that runs on this one, this one first.
    pub fn runs_best_first(&self) -> Vec<Self> {
        let own = self.normalized();
        let alike = |architecture: &str, variant: &str| Self {
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            ..own.clone()
        };
        let mut runs = vec![own.clone()];
        match own.architecture.as_str() {
            "amd64" => {
                let level = level(&own.variant).map_or(1, |(level, _)| level);
                let lower = (1..level)
                    .rev()
                    .map(|level| alike("amd64", &format!("v{level}")));
                runs.extend(lower.map(|platform| platform.normalized()));
                runs.push(alike("386", ""));
            }
            "arm64" => {
                for (major, minor) in arm64_below(&own.variant) {
                    let variant = match minor {
                        0 => format!("v{major}"),
                        minor => format!("v{major}.{minor}"),
                    };
                    runs.push(alike("arm64", &variant).normalized());
                }
                runs.extend(
                    (5..=8)
                        .rev()
                        .map(|level| alike("arm", &format!("v{level}"))),
                );
            }
            "arm" => {
                let level = level(&own.variant).map_or(0, |(level, _)| level);
                runs.extend(
                    (5..level)
                        .rev()
                        .map(|level| alike("arm", &format!("v{level}"))),
                );
            }
            _ => {}
        }
        runs
    }

    /// Returns the place of `other` among what runs here, 0 being best; `None` if it doesn't run.
    pub fn rank(&self, other: &Self) -> Option<usize> {
        self.runs_best_first()
            .iter()
            .position(|runs| runs.matches_exactly(other))
    }
}

/// The level and minor level of a variant such as `v8` or `v8.2`.
///
/// Levels are small numbers; one above 99 is taken for a name, so that it cannot make a long list.
fn level(variant: &str) -> Option<(u8, u8)> {
    let variant = variant.strip_prefix('v').unwrap_or(variant);
    let (major, minor) = variant.split_once('.').unwrap_or((variant, "0"));
    let parse = |text: &str| text.parse().ok().filter(|&level: &u8| level < 100);
    Some((parse(major)?, parse(minor)?))
}

/// Lists the levels of arm64 below `variant`, best first; an empty variant means v8.
///
/// Armv9.0 was made of Armv8.5, so v9.x also runs what is made for v8.(x+5).
fn arm64_below(variant: &str) -> Vec<(u8, u8)> {
    let eights = |below: u8| (0..below).rev().map(|minor| (8, minor));
    match level(variant) {
        Some((8, minor)) => eights(minor).collect(),
        Some((9, minor)) => {
            let nines = (0..minor).rev().map(|minor| (9, minor));
            nines.chain(eights(minor + 6)).collect()
        }
        _ => Vec::new(),
    }
}

/// Says whether two Windows versions have the same build number; an absent one agrees with any.
fn same_build(ours: &str, theirs: &str) -> bool {
    let build = |version: &str| version.splitn(4, '.').take(3).collect::<Vec<_>>().join(".");
    ours.is_empty() || theirs.is_empty() || build(ours) == build(theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        Platform::parse(text, &Platform::new("linux", "amd64")).unwrap()
    }

    fn check(text: &str, expect: &[&str]) {
        let runs = platform(text).runs_best_first();
        let runs: Vec<String> = runs.iter().map(ToString::to_string).collect();
        assert_eq!(runs, expect, "{text}");
    }

    #[test]
    fn unknown_variants_run_themselves_only() {
        check("linux/arm/v999", &["linux/arm/v999"]);
        check("linux/riscv64", &["linux/riscv64"]);
    }

    #[test]
    fn a_level_runs_the_levels_below() {
        check("linux/amd64", &["linux/amd64", "linux/386"]);
        check(
            "linux/amd64/v3",
            &[
                "linux/amd64/v3",
                "linux/amd64/v2",
                "linux/amd64",
                "linux/386",
            ],
        );
        check(
            "linux/arm",
            &["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
        );
    }

    #[test]
    fn arm64_runs_its_minor_levels_and_then_arm() {
        let arm = [
            "linux/arm/v8",
            "linux/arm/v7",
            "linux/arm/v6",
            "linux/arm/v5",
        ];
        let check = |text: &str, own: &[&str]| check(text, &[own, &arm[..]].concat());
        check("linux/arm64/v8", &["linux/arm64"]);
        check(
            "linux/arm64/v8.2",
            &["linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64"],
        );
        let v9 = ["v9.1", "v9", "v8.6", "v8.5", "v8.4", "v8.3", "v8.2", "v8.1"];
        let mut v9 = v9.map(|variant| format!("linux/arm64/{variant}")).to_vec();
        v9.push("linux/arm64".to_owned());
        let v9: Vec<&str> = v9.iter().map(String::as_str).collect();
        check("linux/arm64/v9.1", &v9);
    }

    #[test]
    fn the_rank_tells_better_from_worse() {
        let node = platform("linux/amd64/v2");
        assert_eq!(node.rank(&platform("linux/x86_64/v1")), Some(1));
        assert_eq!(node.rank(&platform("linux/amd64/v3")), None);
        assert_eq!(node.rank(&platform("windows/amd64")), None);
    }

    #[test]
    fn windows_agrees_on_the_build_number() {
        let node = platform("windows(10.0.17763.1)/amd64");
        assert!(node.matches_exactly(&platform("windows(10.0.17763.9)/amd64")));
        assert!(node.matches_exactly(&platform("windows/amd64")));
        assert!(!node.matches_exactly(&platform("windows(10.0.20348)/amd64")));
    }

    #[test]
    fn an_image_may_not_ask_for_features_the_node_lacks() {
        let node = platform("linux(+a+b)/amd64");
        assert!(node.matches_exactly(&platform("linux(+b)/amd64")));
        assert!(!node.matches_exactly(&platform("linux(+c)/amd64")));
    }
}
