//! Pools are made, changed, stopped and removed: on the double of an API server, and, where
//! `MBUILD_TEST_KUBECONFIG` names one, on a real cluster too.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use mbuild::builder::kubernetes::apply::{Applied, ApplyError, Others, apply};
use mbuild::builder::kubernetes::cluster::{Cluster, ClusterSpec};
use mbuild::builder::kubernetes::options::{Isolation, PoolOptions};
use mbuild::builder::kubernetes::remove::{Removed, Volumes, remove, stop};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::kube_api::{Door, KubeApi, Rights};

const POOL: &str = "farm";
const CLAIM: &str = "persistent-volume-claim.requests.storage";
/// What a pool of one architecture is made of.
const PARTS: [&str; 9] = [
    "configmap/farm-config",
    "networkpolicy/farm",
    "poddisruptionbudget/farm-amd64",
    "role/farm-client",
    "role/farm-start",
    "rolebinding/farm-client",
    "service/farm-amd64",
    "serviceaccount/farm-client",
    "statefulset/farm-amd64",
];

/// A cluster, with a namespace for one case.
struct Place {
    cluster: Cluster,
    namespace: String,
}

/// The double and its way in.
struct Double {
    api: KubeApi,
    place: Place,
    _dir: TempDir,
}

impl Place {
    async fn at(kubeconfig: &Path, namespace: &str) -> Self {
        let spec = ClusterSpec {
            kubeconfig: Some(kubeconfig.to_owned()),
            ..ClusterSpec::default()
        };
        Self {
            cluster: Cluster::connect(&spec, &BTreeMap::new()).await.unwrap(),
            namespace: namespace.to_owned(),
        }
    }

    /// Options of the case's pool with these words.
    fn options(&self, words: &[&str]) -> PoolOptions {
        let mut options = PoolOptions::new(POOL, &self.namespace, &["amd64"]);
        for word in words {
            let (option, value) = word.split_once('=').unwrap();
            let none = |_: &Path| Ok(Vec::new());
            options.set(option, value, &none).unwrap();
        }
        options
    }

    async fn apply(&self, words: &[&str]) -> Result<Applied, ApplyError> {
        apply(&self.cluster, &self.options(words), Others::Respect).await
    }

    async fn remove(&self, volumes: Volumes) -> Removed {
        let removed = remove(&self.cluster, &self.namespace, POOL, volumes).await;
        removed.unwrap()
    }
}

impl Double {
    async fn new() -> Self {
        let (api, dir) = (KubeApi::start(Door::Plain), tempfile::tempdir().unwrap());
        let config = dir.path().join("config");
        api.kubeconfig(&config, "here", "default");
        let place = Place::at(&config, "default").await;
        Self {
            api,
            place,
            _dir: dir,
        }
    }

    fn find(&self, api: &str, resource: &str, name: &str) -> Option<Value> {
        self.api.find(api, resource, "default", name)
    }
}

/// Runs a case on the double, and on a real cluster where there is one.
async fn everywhere(name: &str, case: impl AsyncFn(&Place)) {
    case(&Double::new().await.place).await;
    really(name, case).await;
}

/// Runs a case on a real cluster, where there is one.
async fn really(name: &str, case: impl AsyncFn(&Place)) {
    if let Ok(kubeconfig) = std::env::var("MBUILD_TEST_KUBECONFIG") {
        let namespace = format!("mbuild-test-{name}");
        let place = Place::at(Path::new(&kubeconfig), &namespace).await;
        // What a run that failed has left.
        place.remove(Volumes::Remove).await;
        case(&place).await;
        place.remove(Volumes::Remove).await;
    }
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

fn parts() -> Vec<String> {
    PARTS.map(str::to_owned).to_vec()
}

#[tokio::test]
async fn making_a_pool_again_changes_nothing() {
    everywhere("again", async |place| {
        let first = place.apply(&[]).await.unwrap();
        assert_eq!(sorted(first.created), parts());
        assert!(first.skipped.is_empty(), "{:?}", first.skipped);
        let second = place.apply(&[]).await.unwrap();
        assert_eq!(sorted(second.unchanged), parts());
        assert_eq!(second.created.len() + second.changed.len(), 0);
        let removed = place.remove(Volumes::Remove).await;
        assert_eq!(sorted(removed.removed), parts());
        assert!(place.remove(Volumes::Remove).await.removed.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_pool_with_mutual_tls_gets_its_certificates_and_keeps_them() {
    everywhere("mtls", async |place| {
        let made = [
            "secret/farm-ca-certs",
            "secret/farm-server-certs",
            "secret/farm-client-certs",
        ]
        .map(str::to_owned);
        let first = place.apply(&["mtls=true"]).await.unwrap();
        assert!(made.iter().all(|secret| first.created.contains(secret)));
        let second = place.apply(&["mtls=true"]).await.unwrap();
        assert!(made.iter().all(|secret| second.unchanged.contains(secret)));
        let removed = place.remove(Volumes::Remove).await.removed;
        assert!(made.iter().all(|secret| removed.contains(secret)));
    })
    .await;
}

#[tokio::test]
async fn a_changed_option_changes_what_it_is_about() {
    everywhere("change", async |place| {
        place.apply(&["env.A=1"]).await.unwrap();
        let other = place.apply(&["env.B=2", "replicas=2"]).await.unwrap();
        assert_eq!(other.changed, ["statefulset/farm-amd64"]);
        let mut options = place.options(&["env.B=2", "replicas=2"]);
        let toml = |_: &Path| Ok("debug = true\n".into());
        options.set_config(Path::new("t.toml"), &toml).unwrap();
        let configured = apply(&place.cluster, &options, Others::Respect).await;
        let both = ["configmap/farm-config", "statefulset/farm-amd64"];
        assert_eq!(sorted(configured.unwrap().changed), both);
        let scaled = place
            .apply(&["autoscale.image=none/mbuild:1"])
            .await
            .unwrap();
        let made = [
            "cronjob/farm-scale",
            "horizontalpodautoscaler/farm-amd64",
            "role/farm-scale",
            "rolebinding/farm-scale",
            "serviceaccount/farm-scale",
        ];
        assert_eq!(sorted(scaled.created), made);
        let back = place.apply(&[]).await.unwrap();
        assert_eq!(sorted(back.removed), made);
    })
    .await;
}

#[tokio::test]
async fn making_a_scaled_pool_again_keeps_the_pods_that_load_has_brought() {
    let double = Double::new().await;
    let replicas = || {
        let workload = double.find("apps/v1", "statefulsets", "farm-amd64");
        workload.unwrap()["spec"]["replicas"].clone()
    };
    double.place.apply(&["replicas=5"]).await.unwrap();
    let words = ["autoscale.image=none/mbuild:1", "replicas=2"];
    double.place.apply(&words).await.unwrap();
    assert_eq!(replicas(), 5);
    stop(&double.place.cluster, "default", POOL).await.unwrap();
    assert_eq!(replicas(), 0);
    // To make it again is to start it.
    double.place.apply(&words).await.unwrap();
    assert_eq!(replicas(), 2);
}

#[tokio::test]
async fn what_cannot_be_changed_says_so_and_changes_nothing() {
    everywhere("fixed", async |place| {
        place.apply(&[&format!("{CLAIM}=1Gi")]).await.unwrap();
        let larger = format!("{CLAIM}=2Gi");
        let error = place.apply(&[&larger, "env.A=1"]).await.unwrap_err();
        assert!(matches!(error, ApplyError::Immutable { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("statefulset/farm-amd64 cannot be changed"),
            "{text}"
        );
        let same = place.apply(&[&format!("{CLAIM}=1Gi")]).await.unwrap();
        assert_eq!(same.changed, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_half_made_pool_is_completed() {
    let double = Double::new().await;
    double.place.apply(&[]).await.unwrap();
    let rest = ["service/farm-amd64", "statefulset/farm-amd64"];
    let removed = double.place.remove(Volumes::Remove).await;
    assert_eq!(removed.removed.len(), parts().len());
    let options = double.place.options(&[]);
    // All but the last two were made when it was cut off.
    for object in mbuild::builder::kubernetes::manifest::objects(&options).unwrap() {
        if object["kind"] != "StatefulSet" && object["kind"] != "Service" {
            double.api.put(object);
        }
    }
    let completed = double.place.apply(&[]).await.unwrap();
    assert_eq!(sorted(completed.created), rest);
}

#[tokio::test]
async fn a_pool_that_others_made_is_left_alone_unless_taken_over() {
    let double = Double::new().await;
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"buildkitd.toml": "theirs"},
        "metadata": {"name": "farm-config", "namespace": "default"},
    });
    double.api.put(theirs);
    let error = double.place.apply(&[]).await.unwrap_err().to_string();
    assert!(
        error.starts_with("configmap/farm-config in namespace `default` was not made by mbuild"),
        "{error}"
    );
    assert!(
        error.contains("--attach") && error.contains("--force"),
        "{error}"
    );
    assert_eq!(double.find("apps/v1", "statefulsets", "farm-amd64"), None);
    assert!(
        double
            .place
            .remove(Volumes::Remove)
            .await
            .removed
            .is_empty()
    );
    let found = double.find("v1", "configmaps", "farm-config").unwrap();
    assert_eq!(found["data"]["buildkitd.toml"], "theirs");
    let options = double.place.options(&[]);
    let taken = apply(&double.place.cluster, &options, Others::TakeOver).await;
    assert_eq!(taken.unwrap().changed, ["configmap/farm-config"]);
    assert_eq!(
        double.place.remove(Volumes::Remove).await.removed.len(),
        parts().len()
    );
}

#[tokio::test]
async fn another_pool_of_the_namespace_stays() {
    everywhere("other", async |place| {
        let other = PoolOptions::new("other", &place.namespace, &["amd64"]);
        apply(&place.cluster, &other, Others::Respect)
            .await
            .unwrap();
        place.apply(&[]).await.unwrap();
        let removed = place.remove(Volumes::Remove).await.removed;
        assert!(
            removed.iter().all(|name| name.contains("farm")),
            "{removed:?}"
        );
        let again = apply(&place.cluster, &other, Others::Respect)
            .await
            .unwrap();
        assert_eq!(again.unchanged.len(), parts().len());
        let gone = remove(&place.cluster, &place.namespace, "other", Volumes::Remove).await;
        assert_eq!(gone.unwrap().removed.len(), parts().len());
    })
    .await;
}

#[tokio::test]
async fn without_a_right_that_is_needed_nothing_is_made() {
    let double = Double::new().await;
    let rights = Rights::none()
        .and("get create patch", "configmaps")
        .and("get create patch", "services")
        .and("get", "statefulsets");
    double.api.allow(rights);
    let ApplyError::Kube(error) = double.place.apply(&[]).await.unwrap_err() else {
        panic!("not an error of the API server");
    };
    let text = error.to_string();
    assert!(
        text.contains("patch") && text.contains("statefulsets"),
        "{text}"
    );
    let grant = error.grant().unwrap();
    assert!(
        grant.contains("statefulsets") && grant.contains("kind: Role"),
        "{grant}"
    );
    double.api.allow(Rights::all());
    assert_eq!(double.find("v1", "configmaps", "farm-config"), None);
    assert_eq!(double.find("v1", "services", "farm-amd64"), None);
}

#[tokio::test]
async fn without_rights_for_the_rest_a_pool_is_made_all_the_same() {
    let double = Double::new().await;
    let mut rights = Rights::none();
    for resource in ["configmaps", "services", "statefulsets"] {
        rights = rights.and("get list create patch delete", resource);
    }
    double.api.allow(rights);
    let applied = double.place.apply(&[]).await.unwrap();
    let made = [
        "configmap/farm-config",
        "service/farm-amd64",
        "statefulset/farm-amd64",
    ];
    assert_eq!(sorted(applied.created), made);
    assert_eq!(applied.skipped.len(), parts().len() - made.len());
    for (_, why) in &applied.skipped {
        assert!(why.grant().is_some(), "{why}");
    }
    let removed = double.place.remove(Volumes::Remove).await;
    assert_eq!(sorted(removed.removed), made);
    assert!(!removed.skipped.is_empty());
}

#[tokio::test]
async fn a_namespace_that_is_missing_is_made_and_stays() {
    let double = Double::new().await;
    let mut options = double.place.options(&[]);
    options.namespace = "new".into();
    let applied = apply(&double.place.cluster, &options, Others::Respect)
        .await
        .unwrap();
    assert_eq!(applied.namespace.as_deref(), Some("new"));
    assert_eq!(applied.created.len(), parts().len());
    remove(&double.place.cluster, "new", POOL, Volumes::Remove)
        .await
        .unwrap();
    let namespace = double.api.find("v1", "namespaces", "", "new").unwrap();
    let labels = &namespace["metadata"]["labels"];
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "privileged");
}

#[tokio::test]
async fn bad_options_ask_nothing_of_the_cluster() {
    let double = Double::new().await;
    let mut options = double.place.options(&[&format!("{CLAIM}=1Gi")]);
    options.root_memory = Some("1Gi".into());
    options.isolation = Isolation::Rootless;
    let error = apply(&double.place.cluster, &options, Others::Respect).await;
    assert!(matches!(error, Err(ApplyError::Manifest(_))));
    assert!(double.api.journal().is_empty());
}

#[tokio::test]
async fn stopping_keeps_the_definition() {
    everywhere("stop", async |place| {
        place.apply(&["replicas=2"]).await.unwrap();
        let stopped = stop(&place.cluster, &place.namespace, POOL).await.unwrap();
        assert_eq!(stopped, ["statefulset/farm-amd64"]);
        let started = place.apply(&["replicas=2"]).await.unwrap();
        assert_eq!(started.changed, ["statefulset/farm-amd64"]);
    })
    .await;
}

const ITS_CLAIM: &str = "persistentvolumeclaim/root-farm-amd64-0";

#[tokio::test]
async fn claims_stay_when_that_is_asked_for_and_go_otherwise() {
    let double = Double::new().await;
    let words = [&*format!("{CLAIM}=1Gi")];
    double.place.apply(&words).await.unwrap();
    let owner =
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "farm-amd64", "uid": "u"});
    double.api.put(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "root-farm-amd64-0", "namespace": "default", "ownerReferences": [owner],
            "labels": {
                "app.kubernetes.io/instance": POOL, "app.kubernetes.io/managed-by": "mbuild",
            },
        },
    }));
    let removed = double.place.remove(Volumes::Keep).await;
    assert_eq!(removed.kept, [ITS_CLAIM]);
    assert_eq!(sorted(removed.removed), parts());
    let claim = double.find("v1", "persistentvolumeclaims", "root-farm-amd64-0");
    let owners = claim.unwrap()["metadata"]["ownerReferences"].clone();
    assert_eq!(owners.as_array().map(Vec::len), Some(0), "{owners}");
    let removed = double.place.remove(Volumes::Remove).await;
    assert_eq!(removed.removed, [ITS_CLAIM]);
}

/// What no double has: a controller that gives claims to workloads, and a collector of garbage.
#[tokio::test]
async fn a_real_cluster_keeps_claims_that_are_to_stay() {
    really("claims", async |place| {
        let words = [&*format!("{CLAIM}=1Gi")];
        place.apply(&words).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let removed = place.remove(Volumes::Keep).await;
        assert_eq!(removed.kept, [ITS_CLAIM]);
        tokio::time::sleep(Duration::from_secs(10)).await;
        place.apply(&words).await.unwrap();
        let removed = place.remove(Volumes::Remove).await.removed;
        assert!(removed.contains(&ITS_CLAIM.to_owned()), "{removed:?}");
    })
    .await;
}
