//! Builders whose daemons are pods: the flags that describe a pool, and what is done with one.
//!
//! Everything about the cluster is done by `builder::kubernetes`; here flags become options,
//! and results become sentences.

mod attach;
mod certs;
mod create;
mod export;
mod place;
mod remove;
mod scale;

use std::path::PathBuf;

use crate::attrs::{split_flag, split_pair};
use crate::builder::kubernetes::access::KubeError;
use crate::builder::kubernetes::cluster::{Cluster, ClusterSpec};
use crate::builder::kubernetes::options::{OptionError, PoolOptions};
use crate::builder::{PoolSpec, Transport};
use crate::platform::Platform;
use crate::request::parse_platforms;

use super::super::error::CliError;
use super::World;

pub(super) use certs::{CertsArgs, certs};
pub(super) use create::{Then, create, render};
pub(super) use export::{ExportArgs, export};
pub(super) use remove::{Keep, remove, stop};
pub(super) use scale::{ScaleArgs, scale};

const DRIVER_OPT: &str = "--driver-opt";

/// The flags that only `--driver kubernetes` has.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub(super) struct PoolArgs {
    /// Namespace [default: the context's, or the pod's own]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Pods for each architecture
    #[arg(long, value_name = "N")]
    replicas: Option<u32>,
    /// Kubeconfig file [default: KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// How bytes get to a pod: auto, direct, exec or port-forward
    #[arg(long, value_name = "WAY")]
    transport: Option<Transport>,
    /// How many builds a pod takes at once
    #[arg(long, value_name = "N")]
    slots: Option<std::num::NonZeroUsize>,
    /// Use a pool that is there: by its label selector, or by the standard labels
    #[arg(long, value_name = "SELECTOR", num_args = 0..=1, require_equals = true,
        default_missing_value = "")]
    attach: Option<String>,
    /// Use these pods only; goes with --attach
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "attach")]
    pod: Vec<String>,
    /// Take over objects that somebody else made
    #[arg(long)]
    force: bool,
}

/// A pool and how it is reached.
struct Asked {
    options: PoolOptions,
    /// As each node's; what differs by architecture is left open.
    reach: PoolSpec,
}

/// What describes a pool besides [`PoolArgs`], as `create` and `render` have it in common.
pub(super) struct Common<'a> {
    pub(super) name: &'a str,
    pub(super) platforms: &'a [String],
    pub(super) driver_opts: &'a [String],
    pub(super) config: Option<&'a PathBuf>,
    pub(super) flags: Option<&'a str>,
    pub(super) timeout: Option<&'a str>,
}

impl PoolArgs {
    /// Names a flag that was given and goes with `--driver kubernetes` only.
    pub(super) fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--namespace", self.namespace.is_some()),
            ("--replicas", self.replicas.is_some()),
            ("--kubeconfig", self.kubeconfig.is_some()),
            ("--context", self.context.is_some()),
            ("--transport", self.transport.is_some()),
            ("--slots", self.slots.is_some()),
            ("--attach", self.attach.is_some()),
            ("--force", self.force),
        ];
        let given = flags.into_iter().find(|(_, given)| *given);
        given.map(|(flag, _)| flag)
    }

    fn reach(&self, world: &World<'_>) -> PoolSpec {
        PoolSpec {
            kubeconfig: self.kubeconfig.as_ref().map(|file| world.app.path(file)),
            context: self.context.clone(),
            namespace: self.namespace.clone(),
            transport: self.transport.unwrap_or_default(),
            ..PoolSpec::default()
        }
    }

    /// How the pool is reached, as far as the flags say.
    fn place(&self, common: &Common<'_>, world: &World<'_>) -> Result<PoolSpec, CliError> {
        let (namespace, _) = driver_opts(common.driver_opts)?;
        let reach = self.reach(world);
        Ok(PoolSpec {
            namespace: namespace.or(reach.namespace),
            ..reach
        })
    }

    /// Reads all options of a pool in this namespace; contacts nobody.
    fn asked(
        &self,
        common: &Common<'_>,
        namespace: &str,
        world: &World<'_>,
    ) -> Result<Asked, CliError> {
        let platforms = platforms(common.platforms)?;
        let mut reach = PoolSpec {
            namespace: Some(namespace.to_owned()),
            ..self.place(common, world)?
        };
        let (_, fields) = driver_opts(common.driver_opts)?;
        let arches: Vec<&str> = arches(&platforms);
        let mut options = PoolOptions::new(common.name, namespace, &arches);
        let read = |path: &std::path::Path| std::fs::read(world.app.path(path));
        let set = |options: &mut PoolOptions, key: &str, value: &str| {
            options.set(key, value, &read).map_err(option_error)
        };
        for (key, value) in &fields {
            set(&mut options, key, value)?;
        }
        if let Some(replicas) = self.replicas {
            set(&mut options, "replicas", &replicas.to_string())?;
        }
        if let Some(timeout) = common.timeout {
            set(&mut options, "timeout", timeout)?;
        }
        if let Some(path) = common.config {
            options.set_config(path, &read).map_err(option_error)?;
        }
        let flags = common.flags.unwrap_or_default().split_whitespace();
        options.flags = flags.map(str::to_owned).collect();
        options.check().map_err(option_error)?;
        reach.load_balance = options.client.load_balance;
        Ok(Asked { options, reach })
    }
}

/// Options with their values.
type Fields = Vec<(String, String)>;

/// Splits the values of `--driver-opt`; a namespace is given apart.
fn driver_opts(values: &[String]) -> Result<(Option<String>, Fields), CliError> {
    let (mut namespace, mut fields) = (None, Vec::new());
    for value in values {
        for field in split_flag(DRIVER_OPT, value).map_err(CliError::usage)? {
            let (key, value) = split_pair(DRIVER_OPT, &field).map_err(CliError::usage)?;
            if key == "namespace" {
                namespace = Some(value.to_owned());
            }
            fields.push((key, value.to_owned()));
        }
    }
    Ok((namespace, fields))
}

/// The platforms that are asked for; this machine's own where none is.
fn platforms(values: &[String]) -> Result<Vec<Platform>, CliError> {
    let host = Platform::host();
    let platforms = parse_platforms(values, &host).map_err(CliError::usage)?;
    Ok(match platforms.is_empty() {
        true => vec![host],
        false => platforms,
    })
}

/// The architectures of the nodes that build these platforms, each once.
fn arches(platforms: &[Platform]) -> Vec<&str> {
    let mut arches: Vec<&str> = Vec::new();
    for platform in platforms {
        let arch = node_arch(platform);
        if !arches.contains(&arch) {
            arches.push(arch);
        }
    }
    arches
}

/// The architecture of the node that builds a platform natively.
fn node_arch(platform: &Platform) -> &str {
    match platform.architecture.as_str() {
        "386" => "amd64",
        other => other,
    }
}

async fn cluster(reach: &PoolSpec, world: &World<'_>) -> Result<Cluster, CliError> {
    let spec = ClusterSpec {
        kubeconfig: reach.kubeconfig.clone(),
        context: reach.context.clone(),
        namespace: reach.namespace.clone(),
    };
    let cluster = Cluster::connect(&spec, &world.app.env).await;
    cluster.map_err(kube_error)
}

fn option_error(error: OptionError) -> CliError {
    CliError::usage(error)
}

fn kube_error(error: KubeError) -> CliError {
    let advice = error.advice();
    advice
        .into_iter()
        .fold(CliError::config(error), CliError::hint)
}
