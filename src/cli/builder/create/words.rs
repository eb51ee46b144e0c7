//! Reads what a command line says of a builder: its name, its driver, its nodes.

use super::super::super::error::CliError;
use super::super::change::check_new_name;
use super::super::node_flags::{NodeChange, NodeError, apply_driver_opts, parse_endpoint};
use super::super::{World, store_error};
use super::CreateArgs;
use super::define::CreateError;
use crate::platform::Platform;
use crate::request::parse_platforms;

/// The name of a builder with a pool; buildx's way of naming an endpoint means nothing here.
pub(super) fn pool_name(args: &CreateArgs, world: &World<'_>) -> Result<String, CliError> {
    if !args.endpoint.is_empty() || args.leave {
        let text = "--endpoint and --leave do not go with --driver kubernetes";
        return Err(CliError::usage(text));
    }
    let name = match name_and_endpoint(args)? {
        (_, Some(endpoint)) if !endpoint.starts_with("kubernetes://") => {
            let text = format!("{endpoint}: pods have no endpoint to name");
            return Err(CliError::usage(text));
        }
        (Some(name), _) => name.to_owned(),
        (None, _) => free_name(world)?,
    };
    check_new_name(&name, world)?;
    Ok(name)
}

/// Refuses drivers that mbuild has no use for, and flags that go with another one.
pub(super) fn check_driver(args: &CreateArgs) -> Result<(), CliError> {
    let refuse = |text: String, hint: &str| Err(CliError::usage(text).hint(hint));
    if args.buildkitd_flags.is_some() || args.buildkitd_config.is_some() {
        let text = "mbuild starts daemons only in Kubernetes pools, and gives flags and \
                    configuration to no other";
        return refuse(text.to_owned(), "configure buildkitd where it is started");
    }
    if let Some(flag) = args.pool.given() {
        let text = format!("{flag} describes pods");
        return refuse(text, "it goes with --driver kubernetes");
    }
    match args.driver.as_deref() {
        None | Some("remote") => Ok(()),
        Some("docker") => refuse(
            "driver `docker` needs no builder of its own".to_owned(),
            "name the engine as an endpoint: docker+unix:///var/run/docker.sock",
        ),
        Some("docker-container") => refuse(
            "driver `docker-container` would start a daemon, which mbuild does not do".to_owned(),
            "name a running container as an endpoint: docker-container://NAME",
        ),
        Some(other) => refuse(
            format!("driver `{}` is not known", other.escape_debug()),
            "the driver is remote, where each node has an endpoint, or kubernetes",
        ),
    }
}

/// Tells a name from an endpoint in what was given without a flag.
pub(super) fn name_and_endpoint(
    args: &CreateArgs,
) -> Result<(Option<&str>, Option<&str>), CliError> {
    let (word, flag) = (args.what.as_deref(), args.name.as_deref());
    match (word, flag) {
        (Some(word), name) if word.contains("://") => {
            if args.endpoint.is_empty() {
                Ok((name, Some(word)))
            } else {
                Err(CliError::usage(
                    "give each endpoint with --endpoint, or one without a flag",
                ))
            }
        }
        (Some(word), Some(_)) => {
            let text = format!("`{word}` is not an endpoint, and the builder's name is given");
            Err(CliError::usage(text).hint("an endpoint is, for example, tcp://10.0.0.5:1234"))
        }
        (word, name) => Ok((name.or(word), None)),
    }
}

/// Makes up a name that no builder has.
pub(super) fn free_name(world: &World<'_>) -> Result<String, CliError> {
    let stored = world.store.names().map_err(store_error)?;
    let taken = |name: &String| stored.contains(name) || world.settings.builders.contains_key(name);
    let mut names = (1_u32..).map(|n| match n {
        1 => "builder".to_owned(),
        n => format!("builder{n}"),
    });
    names
        .find(|name| !taken(name))
        .ok_or_else(|| CliError::usage("every name is taken"))
}

/// Reads what was said of nodes, and which options do nothing.
pub(super) fn changes(
    args: &CreateArgs,
    endpoint: Option<&str>,
    world: &World<'_>,
) -> Result<(Vec<NodeChange>, Vec<String>), CreateError> {
    let (cwd, host) = (&world.app.cwd, Platform::host());
    let platforms = parse_platforms(&args.platform, &host).map_err(NodeError::from)?;
    if !args.endpoint.is_empty() {
        let parse = |value: &String| {
            let mut change = parse_endpoint(value, cwd, &host)?;
            if change.platforms.is_empty() {
                change.platforms.clone_from(&platforms);
            }
            Ok(change)
        };
        let changes: Result<Vec<_>, NodeError> = args.endpoint.iter().map(parse).collect();
        return Ok((changes?, Vec::new()));
    }
    let endpoint = endpoint
        .map(str::parse)
        .transpose()
        .map_err(NodeError::from)?;
    let mut change = NodeChange {
        name: args.node.clone(),
        endpoint,
        platforms,
        ..NodeChange::default()
    };
    let left_out = apply_driver_opts(&mut change, &args.driver_opt, cwd)?;
    let said = change != NodeChange::default();
    Ok((if said { vec![change] } else { Vec::new() }, left_out))
}
