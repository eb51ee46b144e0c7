//! Reads one node of an instance, as the instance's driver understands it: [`NodeReader`].

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::docker_host::{DEFAULT_CONTEXT, docker_context};
use super::super::pool::PoolSpec;
use super::super::spec::{NodeSpec, Reach};
use super::{ImportError, pods};
use crate::buildkit::dial::TlsFiles;
use crate::buildkit::endpoint::{Endpoint, EndpointError};
use crate::config::Env;
use crate::platform::Platform;

/// What buildx puts before a node's name to name its container.
const CONTAINER_PREFIX: &str = "buildx_buildkit_";

/// Go writes `null` for what is empty, hence the options.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InstanceNode {
    pub(super) name: String,
    #[serde(default)]
    endpoint: String,
    platforms: Option<Vec<InstancePlatform>>,
    driver_opts: Option<BTreeMap<String, String>>,
    flags: Option<Vec<String>>,
    files: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct InstancePlatform {
    architecture: String,
    os: String,
    #[serde(default)]
    variant: String,
}

/// One node of an instance, and what it takes to read it.
pub(super) struct NodeReader<'a> {
    pub(super) env: &'a Env,
    pub(super) builder: &'a str,
    pub(super) node: &'a InstanceNode,
}

impl NodeReader<'_> {
    fn platforms(&self) -> Vec<Platform> {
        let platforms = self.node.platforms.iter().flatten().map(|platform| {
            let plain = Platform::new(&platform.os, &platform.architecture);
            plain.with_variant(&platform.variant).normalized()
        });
        platforms.collect()
    }

    fn spec(&self, endpoint: Endpoint, tls: Option<TlsFiles>) -> NodeSpec {
        NodeSpec {
            platforms: self.platforms(),
            ..NodeSpec::reached(&self.node.name, Reach::Endpoint { endpoint, tls })
        }
    }

    pub(super) fn remote(&self, notes: &mut Vec<String>) -> Result<NodeSpec, ImportError> {
        if let Some(pod) = pods::of_endpoint(&self.node.endpoint) {
            return Ok(self.pods(pod));
        }
        let endpoint: Endpoint = self
            .node
            .endpoint
            .parse()
            .map_err(|e| self.not_reached(e))?;
        let mut tls = TlsFiles::default();
        for (key, value) in self.node.driver_opts.iter().flatten() {
            match key.as_str() {
                "cacert" => tls.ca = Some(value.into()),
                "cert" => tls.cert = Some(value.into()),
                "key" => tls.key = Some(value.into()),
                "servername" => tls.server_name = Some(value.clone()),
                _ => notes.push(self.left_out(&format!("driver option `{key}`"))),
            }
        }
        // As with buildx, a server's name alone asks for TLS too.
        let tls = Some(tls).filter(|tls| *tls != TlsFiles::default() && endpoint.allows_tls());
        Ok(self.spec(endpoint, tls))
    }

    pub(super) fn kubernetes(&self, notes: &mut Vec<String>) -> Result<NodeSpec, ImportError> {
        let options = self.node.driver_opts.clone().unwrap_or_default();
        let (pool, left_out) = pods::of_deployment(&self.node.name, &self.node.endpoint, &options);
        for option in left_out {
            notes.push(self.left_out(&format!("driver option `{option}`")));
        }
        Ok(self.pods(pool))
    }

    fn pods(&self, pool: PoolSpec) -> NodeSpec {
        NodeSpec {
            platforms: self.platforms(),
            ..NodeSpec::reached(&self.node.name, Reach::Pods(pool))
        }
    }

    pub(super) fn docker(&self) -> Result<NodeSpec, ImportError> {
        let text = self.node.endpoint.as_str();
        if text.contains("://") {
            let endpoint =
                Endpoint::from_docker_host(text, false).map_err(|e| self.not_reached(e))?;
            return Ok(self.spec(endpoint, None));
        }
        let context = if text.is_empty() {
            DEFAULT_CONTEXT
        } else {
            text
        };
        let named_by = format!("node `{}`", self.node.name);
        let engine = docker_context(self.env, context, &named_by).map_err(|source| {
            let (builder, node) = (self.builder.to_owned(), self.node.name.clone());
            ImportError::Docker {
                builder,
                node,
                source: Box::new(source),
            }
        })?;
        Ok(self.spec(engine.endpoint, engine.tls))
    }

    pub(super) fn container(&self, notes: &mut Vec<String>) -> Result<NodeSpec, ImportError> {
        let name = format!("{CONTAINER_PREFIX}{}", self.node.name);
        let endpoint = Endpoint::DockerContainer(name);
        let local = ["", DEFAULT_CONTEXT, "unix:///var/run/docker.sock"];
        if !local.contains(&self.node.endpoint.as_str()) {
            notes.push(format!(
                "node `{}` runs on Docker engine `{}`; its container is found only while that \
                 is the one DOCKER_HOST or DOCKER_CONTEXT leads to",
                self.node.name, self.node.endpoint
            ));
        }
        let InstanceNode {
            driver_opts,
            flags,
            files,
            ..
        } = self.node;
        let settings = [
            ("driver options", driver_opts.iter().flatten().count()),
            ("flags of buildkitd", flags.iter().flatten().count()),
            (
                "configuration files of buildkitd",
                files.iter().flatten().count(),
            ),
        ];
        let given = settings.iter().filter(|(_, count)| *count > 0);
        notes.extend(given.map(|(what, _)| self.left_out(what)));
        Ok(self.spec(endpoint, None))
    }

    fn left_out(&self, what: &str) -> String {
        format!(
            "node `{}`: {what} left out; the running daemon keeps its own",
            self.node.name
        )
    }

    fn not_reached(&self, source: EndpointError) -> ImportError {
        let (builder, node) = (self.builder.to_owned(), self.node.name.clone());
        ImportError::Endpoint {
            builder,
            node,
            source,
        }
    }
}
