//! Pools as `deploy/buildkit` makes them: [`Pool`].

use serde_json::{Value, json};

use super::KubeApi;

/// The workload of one architecture.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) namespace: String,
    /// The pool's name; workloads have the architecture after it.
    pub(crate) name: String,
    pub(crate) arch: String,
    pub(crate) replicas: usize,
    /// The container's memory limit.
    pub(crate) memory: String,
}

impl Pool {
    /// The pool `buildkitd` in namespace `default`.
    pub(crate) fn of(arch: &str, replicas: usize) -> Self {
        Self {
            namespace: "default".into(),
            name: "buildkitd".into(),
            arch: arch.into(),
            replicas,
            memory: "2Gi".into(),
        }
    }

    /// The same under another name.
    pub(crate) fn named(self, name: &str) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// The same in another namespace.
    pub(crate) fn within(self, namespace: &str) -> Self {
        Self {
            namespace: namespace.into(),
            ..self
        }
    }

    /// The name of its pod of this number.
    pub(crate) fn pod(&self, number: usize) -> String {
        format!("{}-{}-{number}", self.name, self.arch)
    }

    fn object(&self) -> Value {
        let labels = json!({
            "app.kubernetes.io/name": "buildkitd",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/component": self.arch,
        });
        let name = format!("{}-{}", self.name, self.arch);
        let container = json!({
            "name": "buildkitd", "image": "moby/buildkit:v0.32.0",
            "resources": {"limits": {"memory": self.memory}},
            "ports": [{"name": "buildkit", "containerPort": 1234}],
        });
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "spec": {
                "replicas": self.replicas, "serviceName": name,
                "podManagementPolicy": "Parallel", "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {
                    "nodeSelector": {"kubernetes.io/arch": self.arch},
                    "containers": [container],
                }},
            },
        })
    }
}

impl KubeApi {
    /// Makes a pool, and the namespace that it is in.
    pub(crate) fn pool(&self, pool: &Pool) {
        self.namespace(&pool.namespace);
        self.put(pool.object());
    }
}
