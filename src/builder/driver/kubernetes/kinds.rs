//! The kinds of objects that a pool is made of, known here so that no request goes into asking
//! the cluster for them: [`Kind`].
//!
//! What is done to the objects is for `apply` and `remove`.

use kube::Api;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use serde_json::Value;

use super::access::Doing;
use super::cluster::Cluster;

/// A kind of objects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    name: &'static str,
    group: &'static str,
    version: &'static str,
    /// As paths and access rules have it.
    pub(super) plural: &'static str,
    /// Whether a pool builds without it: such objects are left out where the rights for them
    /// are missing.
    pub(super) needed: bool,
}

/// All kinds, those first that others refer to.
pub(super) static KINDS: [Kind; 12] = [
    kind("Secret", "", "v1", "secrets", true),
    kind("ConfigMap", "", "v1", "configmaps", true),
    kind("ServiceAccount", "", "v1", "serviceaccounts", false),
    kind("Role", "rbac.authorization.k8s.io", "v1", "roles", false),
    kind(
        "RoleBinding",
        "rbac.authorization.k8s.io",
        "v1",
        "rolebindings",
        false,
    ),
    kind(
        "NetworkPolicy",
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        false,
    ),
    kind("Service", "", "v1", "services", true),
    kind(
        "PodDisruptionBudget",
        "policy",
        "v1",
        "poddisruptionbudgets",
        false,
    ),
    kind("StatefulSet", "apps", "v1", "statefulsets", true),
    kind(
        "HorizontalPodAutoscaler",
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        true,
    ),
    kind("CronJob", "batch", "v1", "cronjobs", true),
    kind(
        "PersistentVolumeClaim",
        "",
        "v1",
        "persistentvolumeclaims",
        false,
    ),
];

const NAMESPACE: Kind = kind("Namespace", "", "v1", "namespaces", true);

const fn kind(
    name: &'static str,
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    needed: bool,
) -> Kind {
    Kind {
        name,
        group,
        version,
        plural,
        needed,
    }
}

impl Kind {
    /// The kind of an object; `None` for one that no pool has.
    pub(super) fn of(object: &Value) -> Option<&'static Self> {
        let kind = object["kind"].as_str()?;
        KINDS.iter().find(|known| known.name == kind)
    }

    /// A kind by its name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|known| known.name == name)
    }

    /// Its objects in a namespace.
    pub(super) fn api(&self, cluster: &Cluster, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(cluster.client.clone(), namespace, &self.resource())
    }

    /// A request about one object, or about many.
    pub(super) fn doing(&self, verb: &'static str, namespace: &str, name: Option<&str>) -> Doing {
        let doing = Doing::new(verb, self.plural, namespace).group(self.group);
        match name {
            Some(name) => doing.named(name),
            None => doing,
        }
    }

    /// What an object is called in messages, as kubectl has it.
    pub(super) fn label(&self, name: &str) -> String {
        format!("{}/{name}", self.name.to_lowercase())
    }

    fn resource(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: match self.group {
                "" => self.version.to_owned(),
                group => format!("{group}/{}", self.version),
            },
            kind: self.name.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}

/// The cluster's namespaces.
pub(super) fn namespaces(cluster: &Cluster) -> Api<DynamicObject> {
    Api::all_with(cluster.client.clone(), &NAMESPACE.resource())
}

#[cfg(test)]
mod tests {
    use super::super::manifest;
    use super::super::options::PoolOptions;
    use super::*;

    #[test]
    fn every_object_of_a_pool_is_of_a_known_kind() {
        let mut options = PoolOptions::new("p", "ns", &["amd64"]);
        let none = |_: &std::path::Path| Ok(Vec::new());
        for (option, value) in [("autoscale.image", "i"), ("mtls", "true")] {
            options.set(option, value, &none).unwrap();
        }
        for object in manifest::objects(&options).unwrap() {
            let kind = Kind::of(&object).unwrap_or_else(|| panic!("{}", object["kind"]));
            assert_eq!(kind.resource().api_version, object["apiVersion"]);
        }
    }
}
