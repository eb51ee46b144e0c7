//! A pool's certificates are made once, renewed and rotated, and never taken from others.

use std::collections::BTreeMap;

use mbuild::builder::kubernetes::certs::{
    Certified, CertsError, CertsRequest, Deed, Rotate, certify, ensure, render,
};
use mbuild::builder::kubernetes::cluster::{Cluster, ClusterSpec};
use mbuild::builder::kubernetes::remove::{Volumes, remove};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::kube_api::{Door, KubeApi, Rights};

const SECRETS: [&str; 3] = ["p-ca-certs", "p-server-certs", "p-client-certs"];

struct Double {
    api: KubeApi,
    cluster: Cluster,
    _dir: TempDir,
}

impl Double {
    async fn new() -> Self {
        let (api, dir) = (KubeApi::start(Door::Plain), tempfile::tempdir().unwrap());
        let config = dir.path().join("config");
        api.kubeconfig(&config, "here", "default");
        let spec = ClusterSpec {
            kubeconfig: Some(config),
            ..ClusterSpec::default()
        };
        Self {
            api,
            cluster: Cluster::connect(&spec, &BTreeMap::new()).await.unwrap(),
            _dir: dir,
        }
    }

    async fn certify(&self, rotate: Rotate) -> Result<Certified, CertsError> {
        certify(&self.cluster, &request(rotate)).await
    }

    fn secret(&self, name: &str) -> Option<Value> {
        self.api.find("v1", "secrets", "default", name)
    }

    fn data(&self) -> Vec<Value> {
        let data = |name| self.secret(name).unwrap()["data"].clone();
        SECRETS.into_iter().map(data).collect()
    }
}

fn request(rotate: Rotate) -> CertsRequest {
    CertsRequest {
        pool: "p".into(),
        namespace: "default".into(),
        arches: vec!["amd64".into()],
        days: 365,
        rotate,
    }
}

fn deeds(certified: &Certified) -> Vec<Deed> {
    certified.secrets.iter().map(|secret| secret.deed).collect()
}

#[tokio::test]
async fn making_them_again_changes_nothing() {
    let double = Double::new().await;
    let first = double.certify(Rotate::Due).await.unwrap();
    assert_eq!(deeds(&first), [Deed::Made; 3]);
    assert!(!first.concerns_daemons());
    let before = double.data();
    for (name, data) in SECRETS.into_iter().zip(&before) {
        let secret = double.secret(name).unwrap();
        assert_eq!(secret["type"], "kubernetes.io/tls");
        let labels = &secret["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/managed-by"], "mbuild");
        let keys: Vec<_> = data.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["ca.crt", "tls.crt", "tls.key"]);
    }
    let again = ensure(&double.cluster, "p", "default", &["amd64".to_owned()]).await;
    assert_eq!(deeds(&again.unwrap().unwrap()), [Deed::Kept; 3]);
    assert_eq!(double.data(), before);
    assert_eq!(double.api.count("update", "secrets"), 0);
    let removed = remove(&double.cluster, "default", "p", Volumes::Remove).await;
    assert_eq!(removed.unwrap().removed.len(), 3);
}

#[tokio::test]
async fn rotating_changes_what_it_is_about() {
    let double = Double::new().await;
    double.certify(Rotate::Due).await.unwrap();
    let before = double.data();
    let leaves = double.certify(Rotate::Leaves).await.unwrap();
    assert_eq!(deeds(&leaves), [Deed::Kept, Deed::Replaced, Deed::Replaced]);
    assert!(leaves.concerns_daemons());
    let after = double.data();
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1]["tls.key"], after[1]["tls.key"]);
    let all = double.certify(Rotate::Authority).await.unwrap();
    assert_eq!(deeds(&all), [Deed::Replaced; 3]);
    let trusted = &all.client["ca.crt"];
    assert_eq!(trusted.matches("BEGIN CERTIFICATE").count(), 2, "{trusted}");
    let again = double.certify(Rotate::Due).await.unwrap();
    assert_eq!(deeds(&again), [Deed::Kept; 3]);
}

#[tokio::test]
async fn a_dry_run_prints_what_would_change_and_changes_nothing() {
    let double = Double::new().await;
    let yaml = render(&double.cluster, &request(Rotate::Due))
        .await
        .unwrap();
    let documents: Vec<Value> = yaml
        .split("\n---\n")
        .map(|yaml| serde_saphyr::from_str(yaml).unwrap())
        .collect();
    let names: Vec<_> = documents
        .iter()
        .map(|d| d["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, SECRETS);
    assert_eq!(double.secret("p-ca-certs"), None);
    // What was printed can be applied, and is then as good as made.
    for mut document in documents {
        let text = document["stringData"].take();
        let data = text.as_object().unwrap().iter();
        let data = data.map(|(key, text)| {
            use base64::Engine;
            let bytes = text.as_str().unwrap();
            let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
            (key.clone(), Value::from(base64))
        });
        document["data"] = Value::Object(data.collect());
        document.as_object_mut().unwrap().remove("stringData");
        double.api.put(document);
    }
    let kept = double.certify(Rotate::Due).await.unwrap();
    assert_eq!(deeds(&kept), [Deed::Kept; 3]);
    assert_eq!(
        render(&double.cluster, &request(Rotate::Due))
            .await
            .unwrap(),
        ""
    );
}

#[tokio::test]
async fn secrets_of_others_are_left_alone() {
    let double = Double::new().await;
    double.api.put(json!({
        "apiVersion": "v1", "kind": "Secret", "data": {"tls.crt": "dGhlaXJz"},
        "metadata": {"name": "p-server-certs", "namespace": "default"},
    }));
    let error = double.certify(Rotate::Authority).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "secret p-server-certs in namespace `default` was not made by mbuild for this pool, and \
         is left alone"
    );
    // A pool whose certificates come from elsewhere is made all the same.
    let ensured = ensure(&double.cluster, "p", "default", &[]).await;
    assert!(ensured.unwrap().is_none());
    assert_eq!(double.secret("p-ca-certs"), None);
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_before_anything_is_made() {
    let double = Double::new().await;
    double.api.allow(Rights::none().and("get", "secrets"));
    let CertsError::Kube(error) = double.certify(Rotate::Due).await.unwrap_err() else {
        panic!("not an error of the API server");
    };
    let grant = error.grant().unwrap();
    assert!(
        grant.contains("secrets") && grant.contains("create"),
        "{grant}"
    );
    double.api.allow(Rights::all());
    assert_eq!(double.secret("p-server-certs"), None);
}
