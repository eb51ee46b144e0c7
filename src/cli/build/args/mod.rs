//! The flags of `mbuild build`, exactly as they were typed.
//!
//! Spelling and meaning are those of `docker buildx build`. Nothing is resolved here: that
//! is `resolve`'s work.

mod attest;
mod call;
mod ignored;

use std::path::PathBuf;

use clap::Args;

use crate::request::DEFAULT_RETRIES;

pub(super) use attest::AttestArgs;
pub(super) use call::CallArgs;
pub(super) use ignored::IgnoredArgs;

/// Build an image, or files, for one or several platforms
#[derive(Debug, Clone, Default, Args)]
// As buildx: of a flag given twice the last one counts.
#[command(args_override_self = true)]
pub struct BuildArgs {
    /// Directory to build from, the URL of a Git repository or an archive, or `-` for a tar or a
    /// Dockerfile on stdin
    #[arg(value_name = "CONTEXT", default_value = ".", hide_default_value = true)]
    pub context: String,

    /// Dockerfile to use, a URL, or `-` for stdin [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE", help_heading = "What to build")]
    pub file: Option<String>,
    /// Further context by name: a directory, docker-image://NAME, oci-layout://DIR, a URL
    #[arg(long, value_name = "NAME=CONTEXT", help_heading = "What to build")]
    pub build_context: Vec<String>,
    /// Platforms to build for, such as linux/amd64,linux/arm64
    #[arg(long, value_name = "PLATFORM", help_heading = "What to build")]
    pub platform: Vec<String>,
    /// Stage to build
    #[arg(long, value_name = "STAGE", help_heading = "What to build")]
    pub target: Option<String>,
    /// Build argument, NAME=VALUE, or NAME to take it from the environment
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = "What to build")]
    pub build_arg: Vec<String>,
    /// Label of the image
    #[arg(long, value_name = "NAME=VALUE", help_heading = "What to build")]
    pub label: Vec<String>,
    /// Secret for steps: id=NAME[,src=FILE|,env=VARIABLE]
    #[arg(long, value_name = "SPEC", help_heading = "What to build")]
    pub secret: Vec<String>,
    /// SSH agent or keys for steps: default|NAME[=SOCKET|KEY[,KEY…]]
    #[arg(long, value_name = "SPEC", help_heading = "What to build")]
    pub ssh: Vec<String>,

    /// Name of the image; may be given several times
    #[arg(
        short,
        long,
        value_name = "NAME[:TAG]",
        help_heading = "Where results go"
    )]
    pub tag: Vec<String>,
    /// Push the image to its registries
    #[arg(long, help_heading = "Where results go", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_default_value = true,
        value_parser = go_bool, hide_possible_values = true, value_name = "BOOL")]
    pub push: bool,
    /// Load the image into a Docker engine
    #[arg(long, help_heading = "Where results go", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_default_value = true,
        value_parser = go_bool, hide_possible_values = true, value_name = "BOOL")]
    pub load: bool,
    /// Output: type=local|tar|image|registry|oci|docker|cacheonly[,KEY=VALUE…], or a directory
    #[arg(short, long, value_name = "SPEC", help_heading = "Where results go")]
    pub output: Vec<String>,
    /// Write what was built, and where, to this file as JSON
    #[arg(long, value_name = "FILE", help_heading = "Where results go")]
    pub metadata_file: Option<PathBuf>,
    /// Write the image's digest to this file
    #[arg(long, value_name = "FILE", help_heading = "Where results go")]
    pub iidfile: Option<PathBuf>,

    /// Cache to read: an image's name, or type=registry|local|gha|s3|azblob[,KEY=VALUE…]
    #[arg(long, value_name = "SPEC", help_heading = "Cache")]
    pub cache_from: Vec<String>,
    /// Cache to write: the same, or type=inline
    #[arg(long, value_name = "SPEC", help_heading = "Cache")]
    pub cache_to: Vec<String>,
    /// Ignore the cache
    #[arg(long, help_heading = "Cache", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_default_value = true,
        value_parser = go_bool, hide_possible_values = true, value_name = "BOOL")]
    pub no_cache: bool,
    /// Stages that ignore the cache
    #[arg(
        long,
        value_name = "STAGE",
        value_delimiter = ',',
        help_heading = "Cache"
    )]
    pub no_cache_filter: Vec<String>,
    /// Look base images up anew
    #[arg(long, help_heading = "Cache", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_default_value = true,
        value_parser = go_bool, hide_possible_values = true, value_name = "BOOL")]
    pub pull: bool,
    /// Name under which nodes keep the context between builds, shared by who knows it
    #[arg(long, value_name = "KEY", help_heading = "Cache")]
    pub context_key: Option<String>,

    /// Extra host for steps: NAME:IP
    #[arg(long, value_name = "NAME:IP", help_heading = "Steps")]
    pub add_host: Vec<String>,
    /// Limits for steps
    #[arg(
        long,
        value_name = "LIMIT",
        help = "Limit for steps: NAME=SOFT[:HARD]",
        help_heading = "Steps"
    )]
    pub ulimit: Vec<String>,
    /// Size of /dev/shm, such as 64m
    #[arg(long, value_name = "BYTES", help_heading = "Steps")]
    pub shm_size: Option<String>,
    /// Cgroup that steps run below
    #[arg(long, value_name = "CGROUP", help_heading = "Steps")]
    pub cgroup_parent: Option<String>,
    /// Network of steps: default, none or host
    #[arg(long, value_name = "MODE", help_heading = "Steps")]
    pub network: Option<String>,
    /// Privilege for steps: network.host, security.insecure, device
    #[arg(long, value_name = "ENTITLEMENT", help_heading = "Steps")]
    pub allow: Vec<String>,

    /// Let a node emulate a platform that no node runs natively
    #[arg(long, help_heading = "How it runs", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_default_value = true,
        value_parser = go_bool, hide_possible_values = true, value_name = "BOOL")]
    pub allow_emulation: bool,
    /// Let the other platforms finish when one fails
    #[arg(long, help_heading = "How it runs", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_default_value = true,
        value_parser = go_bool, hide_possible_values = true, value_name = "BOOL")]
    pub keep_going: bool,
    /// How long a node's pods may take to become ready [default: 2m]
    #[arg(long, value_name = "DURATION", help_heading = "How it runs")]
    pub wait: Option<String>,
    /// How often a platform is built again on another pod when its pod is lost
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RETRIES, help_heading = "How it runs")]
    pub retries: usize,
    /// Print which node would build what, and do nothing
    #[arg(long, help_heading = "How it runs", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_default_value = true,
        value_parser = go_bool, hide_possible_values = true, value_name = "BOOL")]
    pub dry_run: bool,
    /// Form of the plan that --dry-run prints: text or json [default: text]
    #[arg(
        long,
        value_name = "FORM",
        requires = "dry_run",
        help_heading = "How it runs"
    )]
    pub format: Option<String>,
    /// Progress: auto, tty, plain, quiet, none or rawjson
    #[arg(long, value_name = "MODE", help_heading = "How it runs")]
    pub progress: Option<String>,
    /// Print nothing but the image's digest
    #[arg(short, long, help_heading = "How it runs", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_default_value = true,
        value_parser = go_bool, hide_possible_values = true, value_name = "BOOL")]
    pub quiet: bool,

    /// Annotations of the image
    #[arg(
        long,
        value_name = "SPEC",
        help = "Annotation of the image: [TYPE[PLATFORM]:]KEY=VALUE",
        help_heading = "What to build"
    )]
    pub annotation: Vec<String>,

    /// What is stated about the image
    #[command(flatten)]
    pub attest: AttestArgs,
    /// What is asked in place of a build
    #[command(flatten)]
    pub call: CallArgs,

    /// What buildx accepts and ignores
    #[command(flatten)]
    pub ignored: IgnoredArgs,
}

/// Reads a boolean flag's value in any of Go's spellings.
pub(in crate::cli) fn go_bool(text: &str) -> Result<bool, String> {
    crate::attrs::parse_bool(text).ok_or_else(|| "not a boolean: true or false".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        build: BuildArgs,
    }

    fn parse(line: &str) -> BuildArgs {
        Line::try_parse_from(["build"].into_iter().chain(line.split_whitespace()))
            .unwrap()
            .build
    }

    #[test]
    fn the_context_is_here_unless_named() {
        assert_eq!(parse("-t a --push").context, ".");
        assert_eq!(parse("--push -t a dir").context, "dir");
        assert_eq!(parse("-").context, "-");
    }

    #[test]
    fn booleans_take_a_value_with_a_sign_only() {
        assert!(parse("--push .").push);
        assert!(parse("--push=1").push && parse("-q=T").quiet);
        assert!(!parse("--push=false --no-cache=F").push);
        assert!(Line::try_parse_from(["build", "--push=perhaps"]).is_err());
    }

    #[test]
    fn of_a_flag_given_twice_the_last_counts_and_lists_grow() {
        let args = parse("-f a -f b --pull --pull=false -t a -t b --progress plain --progress tty");
        assert_eq!(args.file.as_deref(), Some("b"));
        assert!(!args.pull);
        assert_eq!(args.tag, ["a", "b"]);
        assert_eq!(args.progress.as_deref(), Some("tty"));
    }

    #[test]
    fn what_buildx_ignores_is_named() {
        let args = parse("--rm --squash=true --memory 1g --security-opt a --load=false");
        assert_eq!(
            args.ignored.given(),
            ["--squash", "--rm", "--security-opt", "--memory"]
        );
    }
}
