//! A cluster of two architectures over the target's daemons, and places to run the program in:
//! [`Farm`].

use std::sync::Arc;
use std::time::Duration;

use mbuild::buildkit::dial::dialer;

use super::{Door, KubeApi, Pool};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, plain_http};

/// The architectures, in the order of the target's nodes.
const ARCHES: [&str; 2] = ["amd64", "arm64"];

/// A cluster with a node per architecture, whose pods are the target's daemons.
pub(crate) struct Farm<'a> {
    pub(crate) api: KubeApi,
    target: &'a Target,
}

impl<'a> Farm<'a> {
    /// One without pods.
    pub(crate) fn empty(target: &'a Target, door: Door) -> Self {
        let api = KubeApi::start(door);
        for (node, arch) in target.nodes.iter().zip(ARCHES) {
            let endpoint = node.endpoint.parse().unwrap();
            let daemon = Arc::from(dialer(&endpoint, None));
            api.node(&format!("node-{arch}"), arch, daemon);
        }
        Self { api, target }
    }

    /// One with the pool `buildkitd` in namespace `default`: so many pods of each architecture,
    /// all ready.
    pub(crate) fn new(target: &'a Target, replicas: usize) -> Self {
        let farm = Self::empty(target, Door::Plain).with_pools(replicas);
        for arch in ARCHES {
            farm.await_pods(&Pool::of(arch, replicas));
        }
        farm
    }

    /// Waits until all pods of a pool in namespace `default` are ready.
    pub(crate) fn await_pods(&self, pool: &Pool) {
        (0..pool.replicas).for_each(|number| self.await_ready(&pool.pod(number)));
    }

    fn await_ready(&self, pod: &str) {
        let is_ready = || {
            let pod = self.api.find("v1", "pods", "default", pod)?;
            let conditions = pod["status"]["conditions"].as_array()?.clone();
            let ready = conditions.iter().find(|each| each["type"] == "Ready")?;
            (ready["status"] == "True").then_some(())
        };
        for _ in 0..500 {
            if is_ready().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{pod} does not become ready");
    }

    /// Adds the pool `buildkitd` of both architectures.
    pub(crate) fn with_pools(self, replicas: usize) -> Self {
        for arch in ARCHES {
            self.api.pool(&Pool::of(arch, replicas));
        }
        self
    }

    /// The configuration of builder `kube`; `more` is in the table of each node.
    pub(crate) fn config(&self, more: &str) -> String {
        let mut text = "builder = \"kube\"\n[builders.kube]\ndriver = \"kubernetes\"\n".to_owned();
        for arch in ARCHES {
            text += &format!(
                "[[builders.kube.nodes]]\nname = \"{arch}\"\nplatforms = [\"linux/{arch}\"]\n\
                 {more}\n"
            );
        }
        text + &plain_http(&self.target.registry)
    }

    /// A sandbox whose user has that configuration, and the cluster's kubeconfig.
    pub(crate) fn sandbox(&self, more: &str) -> Sandbox {
        self.sandbox_with(&self.config(more))
    }

    /// A sandbox whose user has this configuration, and the cluster's kubeconfig.
    pub(crate) fn sandbox_with(&self, config: &str) -> Sandbox {
        let sandbox = Sandbox::with_config(self.target, config);
        let path = sandbox.path("home/.kube/config");
        self.api.kubeconfig(&path, "double", "default");
        sandbox
    }

    /// The pods into which there was an exec, in the order of the first one; also those that
    /// were only asked how busy they are.
    pub(crate) fn pods_asked(&self) -> Vec<String> {
        let mut pods: Vec<String> = Vec::new();
        for ask in self.api.journal() {
            if ask.resource == "pods/exec" && !pods.contains(&ask.name) {
                pods.push(ask.name);
            }
        }
        pods
    }

    /// The pod of an architecture that a build has taken; others may be asked meanwhile.
    #[track_caller]
    pub(crate) fn pod_in_use(&self, arch: &str) -> String {
        let mut used = Vec::new();
        for _ in 0..200 {
            used = self.api.pods_in_use("default");
            used.retain(|name| name.contains(arch));
            if let [name] = &used[..] {
                return name.clone();
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("no single pod of {arch} is in use: {used:?}");
    }
}
