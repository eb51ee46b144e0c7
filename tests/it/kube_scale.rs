//! Idle pods are given up, the last one first, and none that builds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mbuild::builder::PoolSpec;
use mbuild::builder::kubernetes::access::KubeError;
use mbuild::builder::kubernetes::scale::{Scaled, Scaler, Stays};
use mbuild::builder::kubernetes::sets::find_sets;
use tempfile::TempDir;

use crate::support::fake_buildkitd::{FakeBuildkitd, Script};
use crate::support::kube_api::{Door, KubeApi, PodState, Pool, Rights};

/// Longer than pods are there when a case begins to look at them.
const IDLE: Duration = Duration::from_millis(300);

/// A pool of amd64 pods, each on a node with a daemon of its own.
struct Farm {
    api: KubeApi,
    scaler: Scaler,
    _daemons: Vec<FakeBuildkitd>,
    _dir: TempDir,
}

impl Farm {
    /// One pod for each daemon: how many builds it has whenever it is asked.
    async fn new(running: &[&[usize]]) -> Self {
        let (api, dir) = (KubeApi::start(Door::Plain), tempfile::tempdir().unwrap());
        let mut daemons = Vec::new();
        for (number, running) in running.iter().enumerate() {
            let daemon = FakeBuildkitd::start(Script {
                running: running.to_vec(),
                ..Script::default()
            });
            api.node(&format!("n{number}"), "amd64", Arc::from(daemon.dialer()));
            daemons.push(daemon);
        }
        api.pool(&Pool::of("amd64", running.len()));
        let config = dir.path().join("config");
        api.kubeconfig(&config, "here", "default");
        tokio::time::sleep(IDLE * 2).await;
        Self {
            scaler: scaler(&config).await,
            api,
            _daemons: daemons,
            _dir: dir,
        }
    }

    async fn shrink(&self, least: i32) -> Result<Scaled, KubeError> {
        let set = &self.scaler.sets().sets[0];
        self.scaler.shrink(set, IDLE, least).await
    }

    fn is_ready(&self, pod: &str) -> bool {
        let pod = self.api.find("v1", "pods", "default", pod).unwrap();
        pod["status"]["containerStatuses"][0]["ready"] == true
    }
}

async fn scaler(kubeconfig: &Path) -> Scaler {
    let reach = PoolSpec {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..PoolSpec::default()
    };
    let env = BTreeMap::new();
    let mut pools = find_sets(&reach, &env).await.unwrap();
    assert_eq!((pools.len(), pools[0].name.as_str()), (1, "buildkitd"));
    assert_eq!(pools[0].arches(), ["amd64"]);
    Scaler::new(pools.remove(0), &reach, &env)
}

#[tokio::test]
async fn idle_pods_go_down_to_the_least_number() {
    let farm = Farm::new(&[&[0], &[0], &[0]]).await;
    let scaled = farm.shrink(1).await.unwrap();
    assert_eq!((scaled.from, scaled.to), (3, 1), "{scaled:?}");
    assert_eq!(scaled.gone, ["buildkitd-amd64-2", "buildkitd-amd64-1"]);
    assert_eq!(scaled.stays, None);
    let none = farm.shrink(0).await.unwrap();
    assert_eq!((none.from, none.to), (1, 0));
    let again = farm.shrink(0).await.unwrap();
    assert_eq!((again.from, again.to, again.gone.len()), (0, 0, 0));
}

#[tokio::test]
async fn a_pod_that_builds_stays_and_so_do_those_before_it() {
    let farm = Farm::new(&[&[0], &[2], &[0]]).await;
    let scaled = farm.shrink(0).await.unwrap();
    assert_eq!(scaled.gone, ["buildkitd-amd64-2"]);
    let stays = Some(("buildkitd-amd64-1".to_owned(), Stays::Building(2)));
    assert_eq!((scaled.to, scaled.stays), (2, stays));
    assert!(farm.is_ready("buildkitd-amd64-1"));
}

#[tokio::test]
async fn a_build_that_comes_after_the_mark_keeps_its_pod_and_takes_the_mark_away() {
    // Asked when it is reached, before the mark and after it.
    let farm = Farm::new(&[&[0, 0, 1]]).await;
    let scaled = farm.shrink(0).await.unwrap();
    let stays = Some(("buildkitd-amd64-0".to_owned(), Stays::Chosen));
    assert_eq!((scaled.to, scaled.stays), (1, stays));
    let asked = farm.api.count("patch", "statefulsets/scale");
    assert_eq!(asked, 0);
    for _ in 0..100 {
        if farm.is_ready("buildkitd-amd64-0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the mark is still there");
}

#[tokio::test]
async fn what_cannot_be_asked_is_left_alone() {
    // Its daemon keeps no record.
    let farm = Farm::new(&[&[]]).await;
    let scaled = farm.shrink(0).await.unwrap();
    assert!(
        matches!(scaled.stays, Some((_, Stays::Silent(_)))),
        "{scaled:?}"
    );
    let crashing = PodState::CrashLoopBackOff(1, "no".into());
    farm.api.set("default", "buildkitd-amd64-0", &crashing);
    let scaled = farm.shrink(0).await.unwrap();
    assert!(
        matches!(scaled.stays, Some((_, Stays::Silent(_)))),
        "{scaled:?}"
    );
    assert_eq!(farm.api.count("patch", "statefulsets/scale"), 0);
}

#[tokio::test]
async fn a_pod_that_no_node_takes_goes_unasked() {
    let farm = Farm::new(&[]).await;
    let set = &farm.scaler.sets().sets[0];
    farm.scaler.set(set, 1).await.unwrap();
    // The controller takes a moment to make it.
    tokio::time::sleep(IDLE).await;
    let early = farm.scaler.shrink(set, Duration::from_mins(30), 0).await;
    let stays = early.unwrap().stays;
    assert!(matches!(stays, Some((_, Stays::New(_)))), "{stays:?}");
    // Creation times have no fractions.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let scaled = farm.shrink(0).await.unwrap();
    assert_eq!(
        (scaled.to, &*scaled.gone),
        (0, &["buildkitd-amd64-0".to_owned()][..])
    );
}

#[tokio::test]
async fn a_pod_that_has_just_started_waits_for_its_first_build() {
    let farm = Farm::new(&[&[0]]).await;
    let set = &farm.scaler.sets().sets[0];
    let scaled = farm.scaler.shrink(set, Duration::from_mins(30), 0).await;
    assert!(matches!(scaled.unwrap().stays, Some((_, Stays::New(_)))));
}

/// The rights of the CronJob's service account.
#[tokio::test]
async fn the_role_of_deploy_buildkit_is_enough_and_less_is_named() {
    let farm = Farm::new(&[&[0]]).await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/buildkit/components/autoscale/scale-down.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let documents = text.split("\n---\n");
    let documents = documents.map(|yaml| serde_saphyr::from_str(yaml).unwrap());
    let role = documents
        .into_iter()
        .find(|object: &serde_json::Value| object["kind"] == "Role")
        .unwrap();
    farm.api.allow(Rights::none().and("get", "pods"));
    let error = farm.shrink(0).await.unwrap_err();
    let grant = error.grant().unwrap();
    assert!(grant.contains("statefulsets/scale"), "{grant}");
    farm.api.allow(Rights::of_role(&role));
    assert_eq!(farm.shrink(0).await.unwrap().to, 0);
}

#[tokio::test]
async fn a_number_is_set_as_it_is() {
    let farm = Farm::new(&[&[1]]).await;
    let set = &farm.scaler.sets().sets[0];
    let scaled = farm.scaler.set(set, 3).await.unwrap();
    assert_eq!((scaled.from, scaled.to), (1, 3));
    let scaled = farm.scaler.set(set, 3).await.unwrap();
    assert_eq!((scaled.from, scaled.to), (3, 3));
    assert_eq!(farm.api.count("patch", "statefulsets/scale"), 1);
}
