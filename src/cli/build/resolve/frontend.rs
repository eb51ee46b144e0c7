//! What the Dockerfile frontend is told: stages, arguments, labels, the steps' surroundings.

use std::collections::BTreeMap;

use crate::credentials::ProxySettings;
use crate::request::{FrontendOptions, HostEntry, Network, NoCache, Ulimit, limits};

use super::super::super::error::CliError;
use super::super::args::BuildArgs;
use super::{Surroundings, each};

pub(super) fn frontend(
    args: &BuildArgs,
    around: &Surroundings<'_>,
) -> Result<FrontendOptions, CliError> {
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
        // Known only once it is known where the files come from.
        vcs: BTreeMap::new(),
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

/// `NAME=VALUE`, where a name alone has an empty value.
fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}
