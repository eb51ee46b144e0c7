//! The kinds of objects that the double knows, and how it tells `kubectl` of them.

use serde_json::{Value, json};

/// One kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// `v1`, or group and version: `apps/v1`.
    pub(super) api: &'static str,
    pub(super) kind: &'static str,
    pub(super) resource: &'static str,
    /// Whether its objects are in a namespace.
    pub(super) namespaced: bool,
}

const RBAC: &str = "rbac.authorization.k8s.io/v1";

const KINDS: [Kind; 20] = [
    kind("v1", "Pod", "pods"),
    whole("v1", "Namespace", "namespaces"),
    whole("v1", "Node", "nodes"),
    kind("v1", "Service", "services"),
    kind("v1", "ConfigMap", "configmaps"),
    kind("v1", "Secret", "secrets"),
    kind("v1", "ServiceAccount", "serviceaccounts"),
    kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    kind("v1", "Event", "events"),
    kind("apps/v1", "StatefulSet", "statefulsets"),
    kind("apps/v1", "Deployment", "deployments"),
    kind(RBAC, "Role", "roles"),
    kind(RBAC, "RoleBinding", "rolebindings"),
    kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    kind(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    kind("batch/v1", "CronJob", "cronjobs"),
    kind("batch/v1", "Job", "jobs"),
    kind("events.k8s.io/v1", "Event", "events"),
    whole(
        "authorization.k8s.io/v1",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
    ),
];

const fn kind(api: &'static str, kind: &'static str, resource: &'static str) -> Kind {
    Kind {
        api,
        kind,
        resource,
        namespaced: true,
    }
}

const fn whole(api: &'static str, name: &'static str, resource: &'static str) -> Kind {
    Kind {
        namespaced: false,
        ..kind(api, name, resource)
    }
}

impl Kind {
    /// Finds the kind that a path names.
    pub(super) fn of_resource(api: &str, resource: &str) -> Option<Self> {
        let mut kinds = KINDS.into_iter();
        kinds.find(|kind| kind.api == api && kind.resource == resource)
    }

    /// Finds the kind that an object says it is.
    pub(super) fn of_object(object: &Value) -> Option<Self> {
        let mut kinds = KINDS.into_iter();
        kinds.find(|kind| object["apiVersion"] == kind.api && object["kind"] == kind.kind)
    }
}

/// What there is, as far as the path asks: `None` for a path that is about objects.
pub(super) fn discovery(path: &str) -> Option<Value> {
    let path = path.trim_end_matches('/');
    match path {
        "/version" => Some(json!({
            "major": "1", "minor": "36", "gitVersion": "v1.36.2", "platform": "linux/amd64",
        })),
        "/api" => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => Some(groups()),
        _ => {
            let api = path.strip_prefix("/apis/").or(path.strip_prefix("/api/"))?;
            resources(api)
        }
    }
}

fn groups() -> Value {
    let mut apis: Vec<_> = KINDS.iter().map(|kind| kind.api).collect();
    apis.retain(|api| api.contains('/'));
    apis.dedup();
    let group = |api: &str| {
        let (name, version) = api.split_once('/').unwrap();
        let version = json!({"groupVersion": api, "version": version});
        json!({"name": name, "versions": [version], "preferredVersion": version})
    };
    let groups: Vec<_> = apis.into_iter().map(group).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn resources(api: &str) -> Option<Value> {
    let verbs = [
        "get", "list", "watch", "create", "update", "patch", "delete",
    ];
    let of_api = KINDS.iter().filter(|kind| kind.api == api);
    let resource = |kind: &Kind| {
        json!({
            "name": kind.resource, "singularName": kind.kind.to_lowercase(), "kind": kind.kind,
            "namespaced": kind.namespaced, "verbs": verbs,
        })
    };
    let resources: Vec<_> = of_api.map(resource).collect();
    (!resources.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api,
            "resources": resources,
        })
    })
}
