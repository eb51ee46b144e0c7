//! Turns what was typed into a [`BuildRequest`]: every string parsed once, every path made
//! absolute, every default looked up.
//!
//! Reads the disk only to see whether the context and the Dockerfile are there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;

use crate::credentials::ProxySettings;
use crate::platform::Platform;
use crate::reference::ImageRef;
use crate::request::{
    AnnotationSpec, BuildRequest, DEFAULT_WAIT, Entitlement, FrontendOptions, HostEntry, Network,
    NoCache, OutputDest, OutputKind, OutputSpec, SecretSpec, Ulimit, limits, parse_platforms,
};

use super::super::app::App;
use super::super::error::CliError;
use super::args::BuildArgs;
use super::source::Source;

/// What the request depends on besides the flags.
pub(super) struct Surroundings<'a> {
    /// The process.
    pub(super) app: &'a App,
    /// The proxies of docker's configuration, which become build arguments.
    pub(super) proxies: Option<&'a ProxySettings>,
    /// The configuration's platforms, for when nothing else names any.
    pub(super) platforms: &'a [Platform],
    /// What the configuration says of emulation.
    pub(super) allow_emulation: bool,
}

/// Makes the request that the flags describe.
pub(super) fn resolve(
    args: &BuildArgs,
    source: &Source,
    around: &Surroundings<'_>,
) -> Result<BuildRequest, CliError> {
    let mut outputs = outputs(args, around.app)?;
    annotate(&mut outputs, &args.annotation)?;
    Ok(BuildRequest {
        context: source.context.clone(),
        dockerfile: source.dockerfile.clone(),
        platforms: platforms(args, around)?,
        tags: tags(args)?,
        outputs,
        frontend: frontend(args, around)?,
        entitlements: entitlements(args)?,
        secrets: secrets(args)?,
        context_key: args.context_key.clone(),
        allow_emulation: args.allow_emulation
            || around.allow_emulation
            || around
                .app
                .var("MBUILD_ALLOW_EMULATION")
                .and_then(crate::attrs::parse_bool)
                == Some(true),
        keep_going: args.keep_going,
        wait: wait(args.wait.as_deref())?,
        retries: args.retries,
    })
}

/// How long a node may take: `90`, `90s`, `2m`, `1h30m`.
fn wait(text: Option<&str>) -> Result<Duration, CliError> {
    let Some(text) = text else {
        return Ok(DEFAULT_WAIT);
    };
    let seconds = text.parse().ok().map(Duration::from_secs);
    let spelt = || text.parse::<SignedDuration>().ok()?.try_into().ok();
    seconds.or_else(spelt).ok_or_else(|| {
        let text = text.escape_debug();
        CliError::usage(format!("--wait {text}: this is no duration")).hint("such as 90s or 5m")
    })
}

/// Whether an output makes an image, which has a digest.
pub(super) fn makes_image(output: &OutputSpec) -> bool {
    use OutputKind::{Docker, Image, Oci, Registry};
    matches!(output.kind, Image | Registry | Oci | Docker)
}

/// Puts the annotations on every output that makes an image.
fn annotate(outputs: &mut [OutputSpec], values: &[String]) -> Result<(), CliError> {
    let annotations: Vec<AnnotationSpec> = each(values, AnnotationSpec::parse)?
        .into_iter()
        .flatten()
        .collect();
    for output in outputs.iter_mut().filter(|output| makes_image(output)) {
        for annotation in &annotations {
            output
                .attrs
                .insert(annotation.attr_name(), annotation.value.clone());
        }
    }
    Ok(())
}

fn platforms(args: &BuildArgs, around: &Surroundings<'_>) -> Result<Vec<Platform>, CliError> {
    let by_default: Vec<String> = around
        .app
        .var("DOCKER_DEFAULT_PLATFORM")
        .map(str::to_owned)
        .into_iter()
        .collect();
    let given = if args.platform.is_empty() {
        &by_default
    } else {
        &args.platform
    };
    if given.is_empty() {
        return Ok(around.platforms.to_vec());
    }
    parse_platforms(given, &Platform::host())
        .map_err(|error| CliError::usage(error).hint("platforms look like linux/arm64"))
}

fn tags(args: &BuildArgs) -> Result<Vec<ImageRef>, CliError> {
    let mut tags = Vec::new();
    for text in &args.tag {
        let tag = ImageRef::parse(text)
            .map_err(|error| CliError::usage(Flag::new("--tag", text, error)))?;
        if tag.digest().is_some() {
            let problem = format!("--tag {text}: a name to be given cannot hold a digest");
            return Err(CliError::usage(problem));
        }
        let tag = tag.with_default_tag();
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

fn outputs(args: &BuildArgs, app: &App) -> Result<Vec<OutputSpec>, CliError> {
    let mut outputs = Vec::new();
    for value in &args.output {
        let Some(mut output) = OutputSpec::parse(value).map_err(CliError::usage)? else {
            continue;
        };
        output.check().map_err(CliError::usage)?;
        if let Some(OutputDest::Path(path)) = &mut output.dest {
            *path = app.path(path);
        }
        let to_stdout = matches!(output.dest, None | Some(OutputDest::Stdout));
        if output.kind == OutputKind::Tar && to_stdout && app.stdout_is_terminal {
            return Err(CliError::usage("a tar is not written to a terminal")
                .hint("redirect stdout, or give dest=FILE"));
        }
        outputs.push(output);
    }
    if args.push {
        push(&mut outputs);
    }
    Ok(outputs)
}

/// `--push` makes every image output push, and adds one where there is none.
fn push(outputs: &mut Vec<OutputSpec>) {
    let mut images = outputs
        .iter_mut()
        .filter(|output| matches!(output.kind, OutputKind::Image | OutputKind::Registry))
        .peekable();
    if images.peek().is_none() {
        outputs.push(OutputSpec::new(OutputKind::Registry));
        return;
    }
    for output in images {
        output.attrs.insert("push".to_owned(), "true".to_owned());
    }
}

fn frontend(args: &BuildArgs, around: &Surroundings<'_>) -> Result<FrontendOptions, CliError> {
    if args.no_cache && !args.no_cache_filter.is_empty() {
        return Err(CliError::usage(
            "--no-cache and --no-cache-filter exclude each other",
        ));
    }
    let no_cache = match (args.no_cache, &args.no_cache_filter[..]) {
        (true, _) => NoCache::All,
        (false, []) => NoCache::Use,
        (false, stages) => NoCache::Stages(stages.to_vec()),
    };
    let network = match args.network.as_deref() {
        None | Some("" | "default") => None,
        Some("host") => Some(Network::Host),
        Some("none") => Some(Network::None),
        Some(other) => {
            let problem = format!("--network {other}: it is default, none or host");
            return Err(CliError::usage(problem));
        }
    };
    Ok(FrontendOptions {
        target: args.target.clone().filter(|target| !target.is_empty()),
        build_args: build_args(args, around),
        labels: args.label.iter().map(|label| pair(label)).collect(),
        no_cache,
        pull: args.pull,
        add_hosts: each(&args.add_host, HostEntry::parse)?
            .into_iter()
            .flatten()
            .collect(),
        ulimits: ulimits(&args.ulimit)?,
        shm_size: match args.shm_size.as_deref() {
            None => None,
            Some(size) => Some(limits::parse_size("--shm-size", size).map_err(CliError::usage)?),
        },
        cgroup_parent: args
            .cgroup_parent
            .clone()
            .filter(|parent| !parent.is_empty()),
        network,
    })
}

/// The build arguments: those given, the proxies, and the epoch of the environment.
fn build_args(args: &BuildArgs, around: &Surroundings<'_>) -> BTreeMap<String, String> {
    let mut build_args = BTreeMap::new();
    for arg in &args.build_arg {
        match arg.split_once('=') {
            Some((name, value)) => drop(build_args.insert(name.to_owned(), value.to_owned())),
            // A name alone is taken from the environment, and left out where it is not set.
            None => {
                if let Some(value) = around.app.env.get(arg) {
                    build_args.insert(arg.clone(), value.clone());
                }
            }
        }
    }
    // A proxy that was given in any spelling is not given again in another.
    let mut proxied = Vec::new();
    for (name, value) in around.proxies.map(proxy_args).unwrap_or_default() {
        let given = build_args.keys().any(|key| key.eq_ignore_ascii_case(&name));
        if !given && !value.is_empty() {
            proxied.push((name, value));
        }
    }
    build_args.extend(proxied);
    if let Some(epoch) = around.app.var("SOURCE_DATE_EPOCH") {
        build_args
            .entry("SOURCE_DATE_EPOCH".to_owned())
            .or_insert_with(|| epoch.to_owned());
    }
    build_args
}

/// Both spellings of every proxy variable, as docker gives them.
fn proxy_args(proxies: &ProxySettings) -> Vec<(String, String)> {
    [
        ("http_proxy", &proxies.http_proxy),
        ("https_proxy", &proxies.https_proxy),
        ("no_proxy", &proxies.no_proxy),
        ("ftp_proxy", &proxies.ftp_proxy),
        ("all_proxy", &proxies.all_proxy),
    ]
    .into_iter()
    .flat_map(|(name, value)| {
        [
            (name.to_ascii_uppercase(), value.clone()),
            (name.to_owned(), value.clone()),
        ]
    })
    .collect()
}

/// The limits, the last one of a name counting.
fn ulimits(values: &[String]) -> Result<Vec<Ulimit>, CliError> {
    let mut limits: Vec<Ulimit> = Vec::new();
    for limit in each(values, Ulimit::parse)? {
        limits.retain(|other| other.name != limit.name);
        limits.push(limit);
    }
    Ok(limits)
}

fn entitlements(args: &BuildArgs) -> Result<BTreeSet<Entitlement>, CliError> {
    let mut granted: BTreeSet<Entitlement> = each(&args.allow, Entitlement::parse)?
        .into_iter()
        .flatten()
        .collect();
    if args.network.as_deref() == Some("host") {
        granted.insert(Entitlement::NetworkHost);
    }
    Ok(granted)
}

/// Parses every value of a flag that may be repeated.
fn each<T, E>(values: &[String], parse: impl Fn(&str) -> Result<T, E>) -> Result<Vec<T>, CliError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    values
        .iter()
        .map(|value| parse(value))
        .collect::<Result<_, _>>()
        .map_err(CliError::usage)
}

fn secrets(args: &BuildArgs) -> Result<Vec<SecretSpec>, CliError> {
    let mut secrets: Vec<SecretSpec> = Vec::new();
    for value in &args.secret {
        let Some(secret) = SecretSpec::parse(value).map_err(CliError::usage)? else {
            continue;
        };
        secret.check().map_err(CliError::usage)?;
        // The last one of an id is meant, as with every repeated flag of one name.
        secrets.retain(|other| other.id != secret.id);
        secrets.push(secret);
    }
    Ok(secrets)
}

/// `NAME=VALUE`, where a name alone has an empty value.
fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

/// A flag's value that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {value}")]
struct Flag {
    flag: &'static str,
    value: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Flag {
    fn new(
        flag: &'static str,
        value: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Flag {
            flag,
            value: value.to_owned(),
            source: source.into(),
        }
    }
}
