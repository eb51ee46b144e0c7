//! Turns what was typed into a [`BuildRequest`]: every string parsed once, every path made
//! absolute, every default looked up.
//!
//! Reads the disk only to see whether the context and the Dockerfile are there.

mod cache;
mod contexts;
mod frontend;
mod logins;
mod outputs;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;

use crate::credentials::ProxySettings;
use crate::platform::Platform;
use crate::request::{
    BuildRequest, DEFAULT_WAIT, Entitlement, NamedContext, RemoteContext, SecretSpec, SshSpec,
    parse_platforms,
};

use super::super::app::App;
use super::super::error::CliError;
use super::args::BuildArgs;
use super::provenance;
use super::source::Source;
pub(super) use outputs::makes_image;

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
    let mut outputs = outputs::outputs(args, around.app)?;
    outputs::annotate(&mut outputs, &args.annotation)?;
    let named_contexts = contexts::contexts(&args.build_context, around.app)?;
    let named = named_contexts.iter().filter_map(NamedContext::remote);
    let needs_ssh = source
        .context
        .remote()
        .into_iter()
        .chain(named)
        .any(RemoteContext::is_ssh);
    let frontend = frontend::frontend(args, around)?;
    let cache_to = cache::cache_to(args, &frontend.build_args, around.app)?;
    let attestations = args.attest.resolve()?;
    if !attestations.is_empty() && outputs::no_artifacts(around.app) {
        outputs::forgo_artifacts(&mut outputs);
    }
    Ok(BuildRequest {
        context: source.context.clone(),
        dockerfile: source.dockerfile.clone(),
        named_contexts,
        downloaded: BTreeMap::new(),
        platforms: platforms(args, around)?,
        tags: outputs::tags(args)?,
        outputs,
        outputs_by_default: false,
        frontend,
        recorded: provenance::wanted(args, &attestations, around.app),
        attestations,
        call: args.call.resolve()?,
        entitlements: entitlements(args)?,
        cache_from: cache::cache_from(args, around.app)?,
        cache_to,
        secrets: secrets(args)?,
        ssh: ssh(args, needs_ssh)?,
        context_key: args.context_key.clone(),
        allow_emulation: args.allow_emulation
            || around.allow_emulation
            || around.app.is_on("MBUILD_ALLOW_EMULATION"),
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

/// The agents that are lent; where daemons reach a repository over ssh and none is, the user's.
fn ssh(args: &BuildArgs, needs_one: bool) -> Result<Vec<SshSpec>, CliError> {
    let mut agents: Vec<SshSpec> = Vec::new();
    if needs_one && args.ssh.is_empty() {
        agents.extend(SshSpec::parse("default").map_err(CliError::usage)?);
    }
    for agent in each(&args.ssh, SshSpec::parse)?.into_iter().flatten() {
        if agents.iter().any(|other| other.id() == agent.id()) {
            let problem = format!("--ssh: `{}` is given twice", agent.id());
            return Err(CliError::usage(problem));
        }
        agents.push(agent);
    }
    Ok(agents)
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
