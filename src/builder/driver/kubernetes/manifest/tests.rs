//! The objects held against what kubectl's kustomize makes of the same files, and what options
//! do to them.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::super::options::{DaemonConfig, OptionError, PoolOptions};
use super::*;

/// Options of the pool that `deploy/buildkit` describes, with these words.
fn options(words: &[&str]) -> PoolOptions {
    let mut options = PoolOptions::new("buildkitd", "buildkit", &["amd64", "arm64"]);
    for word in words {
        set(&mut options, word).unwrap();
    }
    options
}

fn set(options: &mut PoolOptions, word: &str) -> Result<(), OptionError> {
    let (option, value) = word.split_once('=').unwrap();
    options.set(option, value, &|path| match path.to_str() {
        Some("affinity.yaml") => Ok("nodeAffinity: {x: 1}\n".into()),
        Some("spread.yaml") => Ok("[{maxSkew: 1, topologyKey: zone}]\n".into()),
        Some("pod.yaml") => {
            Ok("spec: {dnsPolicy: None, containers: [{name: buildkitd, tty: true}]}".into())
        }
        Some("broken.yaml") => Ok("a: [\n".into()),
        Some("odd.yaml") => Ok("spec: {volumes: [{emptyDir: {}}]}".into()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    })
}

fn made(words: &[&str]) -> Vec<Value> {
    objects(&options(words)).unwrap()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|o| o["kind"] == kind).collect()
}

/// The pods of amd64.
fn pod(words: &[&str]) -> Value {
    of_kind(&made(words), "StatefulSet")[0]["spec"]["template"]["spec"].clone()
}

fn daemon(words: &[&str]) -> Value {
    pod(words)["containers"][0].clone()
}

#[test]
fn kustomize_makes_the_same_objects() {
    let Ok(kubectl) = std::env::var("MBUILD_TEST_KUBECTL") else {
        return;
    };
    let claim = "persistent-volume-claim.requests.storage=50Gi";
    let check = |components: &[&str], words: &[&str]| {
        let mut options = options(words);
        if components.contains(&"autoscale") {
            // The files leave it empty, which `check` refuses.
            let _ = set(&mut options, "autoscale.max=8");
        }
        let mut ours = pool::assemble(&options).unwrap();
        ours.push(namespace(&options).unwrap());
        assert_eq!(
            sorted(ours),
            sorted(kustomized(&kubectl, components)),
            "{components:?}"
        );
    };
    check(&[], &[]);
    check(&["rootless"], &["rootless=true"]);
    check(&["userns"], &["hostusers=false"]);
    check(&["persistent"], &[claim]);
    check(&["mtls"], &["mtls=true"]);
    check(&["autoscale"], &[]);
    check(
        &["rootless", "persistent", "mtls", "autoscale"],
        &["rootless=true", "mtls=true", claim],
    );
}

fn kustomized(kubectl: &str, components: &[&str]) -> Vec<Value> {
    // kustomize takes no absolute path, so ours goes to the root of the file system first.
    let dir = tempfile::tempdir().unwrap();
    let up: PathBuf = dir.path().components().skip(1).map(|_| "..").collect();
    let files = up
        .join(&env!("CARGO_MANIFEST_DIR")[1..])
        .join("deploy/buildkit");
    let path = |name: &str| json!(files.join(name).to_str().unwrap());
    let components: Vec<_> = components
        .iter()
        .map(|name| path(&format!("components/{name}")))
        .collect();
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "buildkit",
        "resources": [path("base")],
        "components": components,
    });
    std::fs::write(
        dir.path().join("kustomization.yaml"),
        kustomization.to_string(),
    )
    .unwrap();
    let output = Command::new(kubectl)
        .arg("kustomize")
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

fn sorted(mut objects: Vec<Value>) -> Vec<String> {
    objects.sort_by_key(|o| format!("{} {}", o["kind"], o["metadata"]["name"]));
    let lines = objects
        .iter()
        .map(|o| serde_json::to_string_pretty(o).unwrap());
    lines.collect()
}

#[test]
fn the_same_options_give_the_same_bytes() {
    let words = [
        "env.B=2",
        "env.A=1",
        "labels=b=1,a=2",
        "rootless=true",
        "env.C=3",
        // What some readers of YAML take for something else than text.
        "annotations=a=true,b=1.0,c=0x1f,d=null,e=~,f=12:30:00,g=1e3",
        "env.W=a: b",
        "env.X=yes",
        "env.Y=#no",
        "env.Z= one\ntwo\n",
    ];
    let one = render(&options(&words)).unwrap();
    assert_eq!(one, render(&options(&words)).unwrap());
    let back: Vec<Value> = serde_saphyr::from_multiple(&one).unwrap();
    let mut all = vec![namespace(&options(&words)).unwrap()];
    all.extend(made(&words));
    assert_eq!(back, all);
}

#[test]
fn everything_is_under_the_pools_own_name() {
    let options = PoolOptions::new("farm", "ci", &["s390x"]);
    let text = render(&options).unwrap();
    let stray: Vec<_> = text
        .lines()
        .filter(|line| line.contains(": buildkitd"))
        .collect();
    let names = [
        "app.kubernetes.io/name: buildkitd",
        "name: buildkitd",
        "- name: buildkitd",
        "buildkitd.toml: |",
    ];
    let known = |line: &&&str| !names.contains(&line.trim());
    assert_eq!(
        stray.iter().filter(known).collect::<Vec<_>>(),
        Vec::<&&str>::new()
    );
    let all = objects(&options).unwrap();
    for object in &all {
        assert_eq!(object["metadata"]["namespace"], "ci");
        assert_eq!(object["metadata"]["labels"][MANAGED_BY_LABEL], MANAGED_BY);
        assert_eq!(object["metadata"]["labels"][INSTANCE_LABEL], "farm");
    }
    let workload = of_kind(&all, "StatefulSet")[0];
    assert_eq!(workload["metadata"]["name"], "farm-s390x");
    assert_eq!(workload["spec"]["serviceName"], "farm-s390x");
    let pod = &workload["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"]["kubernetes.io/arch"], "s390x");
    assert_eq!(pod["volumes"][0]["configMap"]["name"], "farm-config");
    assert_eq!(pod["containers"][0]["name"], "buildkitd");
}

/// buildx takes the rootless image as soon as the key is there, whatever its value.
#[test]
fn rootless_false_is_not_rootless() {
    assert_eq!(daemon(&["rootless=false"]), daemon(&[]));
    assert_eq!(
        daemon(&["rootless=false"])["image"],
        "moby/buildkit:buildx-stable-1"
    );
    let rootless = daemon(&["rootless=1"]);
    assert_eq!(rootless["image"], "moby/buildkit:buildx-stable-1-rootless");
    assert_eq!(
        rootless["securityContext"]["appArmorProfile"]["type"],
        "Unconfined"
    );
}

/// buildx writes `requests.ephemeral-storage` into the limits.
#[test]
fn requests_are_requests_and_limits_are_limits() {
    let resources = daemon(&[
        "requests.ephemeral-storage=3Gi",
        "limits.cpu=4",
        "requests.memory=20Gi",
    ])["resources"]
        .clone();
    assert_eq!(
        resources,
        json!({
            "requests": {"ephemeral-storage": "3Gi", "memory": "20Gi"},
            "limits": {"cpu": "4"},
        })
    );
}

/// buildx loses the configuration where there is a claim, and a rootless daemon of its looks for it
/// elsewhere.
#[test]
fn a_configuration_is_found_by_every_daemon() {
    let with = |words: &[&str]| {
        let mut options = options(words);
        options.config = Some(DaemonConfig {
            toml: "debug = true\n".into(),
            files: [("r-key.pem".to_owned(), b"secret".to_vec())].into(),
        });
        objects(&options).unwrap()
    };
    let claim = "persistent-volume-claim.requests.storage=1Gi";
    for words in [
        &[][..],
        &["rootless=true"],
        &[claim],
        &["rootless=true", claim],
    ] {
        let all = with(words);
        assert_eq!(
            of_kind(&all, "ConfigMap")[0]["data"]["buildkitd.toml"],
            "debug = true\n"
        );
        // Keys are in a Secret.
        let secret = of_kind(&all, "Secret")[0];
        assert_eq!(secret["data"]["r-key.pem"], "c2VjcmV0");
        assert!(!of_kind(&all, "ConfigMap")[0].to_string().contains("r-key"));
        let pod = &of_kind(&all, "StatefulSet")[0]["spec"]["template"]["spec"];
        let daemon = &pod["containers"][0];
        let args = daemon["args"].as_array().unwrap();
        assert!(args.contains(&json!("--config=/etc/buildkit/buildkitd.toml")));
        let mounts = daemon["volumeMounts"].as_array().unwrap().iter();
        let paths: Vec<_> = mounts.map(|m| m["mountPath"].as_str().unwrap()).collect();
        assert!(paths.contains(&"/etc/buildkit"), "{paths:?}");
        assert!(paths.contains(&"/etc/buildkit/certs"), "{paths:?}");
    }
}

#[test]
fn a_changed_configuration_changes_the_pods() {
    let note = |toml: &str| {
        let mut options = options(&[]);
        options.config = Some(DaemonConfig {
            toml: toml.into(),
            ..DaemonConfig::default()
        });
        let all = objects(&options).unwrap();
        let template = &of_kind(&all, "StatefulSet")[0]["spec"]["template"];
        template["metadata"]["annotations"]["mbuild/config"].clone()
    };
    assert_eq!(note("a = 1"), note("a = 1"));
    assert_ne!(note("a = 1"), note("a = 2"));
}

#[test]
fn every_option_gets_to_its_place() {
    let pod = pod(&[
        "image=r/buildkit:1",
        "nodeselector=disk=ssd",
        "tolerations=key=a,operator=Exists",
        "serviceaccount=builder",
        "schedulername=mine",
        "priorityclass=high",
        "imagepullsecrets=one,two",
        "affinity=affinity.yaml",
        "topologyspread=spread.yaml",
        "podtemplate=pod.yaml",
        "grace=10m",
        "buildkit-root-volume-memory=2Gi",
        "env.HTTP_PROXY=http://p",
        "qemu.install=true",
        "qemu.image=r/binfmt",
    ]);
    let selector =
        json!({"disk": "ssd", "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"});
    assert_eq!(pod["nodeSelector"], selector);
    assert_eq!(
        pod["tolerations"],
        json!([{"key": "a", "operator": "Exists"}])
    );
    assert_eq!(pod["serviceAccountName"], "builder");
    assert_eq!(pod["schedulerName"], "mine");
    assert_eq!(pod["priorityClassName"], "high");
    assert_eq!(
        pod["imagePullSecrets"],
        json!([{"name": "one"}, {"name": "two"}])
    );
    assert_eq!(pod["affinity"]["nodeAffinity"]["x"], 1);
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "zone");
    assert_eq!(pod["terminationGracePeriodSeconds"], 600);
    let memory = json!({"medium": "Memory", "sizeLimit": "2Gi"});
    assert_eq!(pod["volumes"][1]["emptyDir"], memory);
    assert_eq!(pod["initContainers"][0]["image"], "r/binfmt");
    assert_eq!(
        pod["initContainers"][0]["args"],
        json!(["--install", "all"])
    );
    assert_eq!(pod["dnsPolicy"], "None");
    let daemon = &pod["containers"][0];
    assert_eq!(daemon["image"], "r/buildkit:1");
    assert_eq!(daemon["tty"], true);
    assert_eq!(
        daemon["env"][2],
        json!({"name": "HTTP_PROXY", "value": "http://p"})
    );
    let all = made(&["labels=team=a", "annotations=note=b=c", "replicas=3"]);
    let workload = of_kind(&all, "StatefulSet")[1];
    assert_eq!(workload["spec"]["replicas"], 3);
    for of in [workload, &workload["spec"]["template"]] {
        assert_eq!(of["metadata"]["labels"]["team"], "a");
        assert_eq!(of["metadata"]["annotations"]["note"], "b=c");
    }
    assert_eq!(
        workload["spec"]["selector"]["matchLabels"].get("team"),
        None
    );
}

#[test]
fn claims_and_scaling_are_as_said() {
    let all = made(&[
        "persistent-volume-claim.requests.storage=7Gi",
        "storageclass=fast",
    ]);
    let claim = &of_kind(&all, "StatefulSet")[0]["spec"]["volumeClaimTemplates"][0];
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "7Gi");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    let all = made(&[
        "autoscale.image=r/mbuild:1",
        "autoscale.idle=5m",
        "replicas=2",
    ]);
    assert_eq!(
        of_kind(&all, "StatefulSet")[0]["spec"].get("replicas"),
        None
    );
    assert_eq!(
        of_kind(&all, "HorizontalPodAutoscaler")[0]["spec"]["minReplicas"],
        2
    );
    let pod = &of_kind(&all, "CronJob")[0]["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "r/mbuild:1");
    assert_eq!(
        pod["containers"][0]["args"],
        json!(["builder", "scale", "buildkitd", "--idle", "5m"])
    );
    assert_eq!(pod["serviceAccountName"], "buildkitd-scale");
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_option_and_the_part() {
    let check = |words: &[&str], expect: &str| {
        let mut options = options(&[]);
        let set = words.iter().try_for_each(|word| set(&mut options, word));
        let result = set.map_err(ManifestError::from);
        let error = result
            .and_then(|()| objects(&options).map(drop))
            .unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(
        &["requests.cpu=lots"],
        "`requests.cpu`: `lots` is not a quantity",
    );
    check(
        &["requests.gpu=1"],
        "driver option `requests.gpu` is not known; there are image,",
    );
    check(&["colour=red"], "`colour` is not known");
    check(
        &["nodeselector=a=b,c"],
        "`nodeselector`: `c` is not of the form",
    );
    check(
        &["labels=app.kubernetes.io/name=x"],
        "is the pool's own label",
    );
    check(
        &["tolerations=key=a,effect=Never"],
        "`tolerations`: `Never` is not an effect",
    );
    check(&["replicas=-1"], "`replicas`: `-1`");
    check(
        &["rootless=maybe"],
        "`rootless`: `maybe` is neither true nor false",
    );
    check(&["loadbalance=most"], "`loadbalance`: `most` is not known");
    check(&["timeout=soon"], "`timeout`: `soon` is not a duration");
    check(&["serviceaccount=A"], "`serviceaccount`: `A` is not a name");
    check(&["image="], "`image`: `` is not the name of an image");
    check(
        &["env.1A=b"],
        "`env.1A`: `1A` is not the name of a variable",
    );
    check(
        &["podtemplate=none.yaml"],
        "`podtemplate`: cannot read none.yaml",
    );
    check(
        &["podtemplate=broken.yaml"],
        "`podtemplate`: broken.yaml cannot be understood",
    );
    check(
        &["podtemplate=affinity.yaml"],
        "a map with `metadata` or `spec`",
    );
    check(&["podtemplate=odd.yaml"], "`podtemplate` cannot be merged");
    check(&["topologyspread=affinity.yaml"], "it must be a list");
    check(
        &["storageclass=fast"],
        "`storageclass` needs `persistent-volume-claim",
    );
    check(&["autoscale.max=3"], "`autoscale` needs `autoscale.image`");
    check(
        &["autoscale.image=i", "autoscale.max=3", "replicas=4"],
        "`autoscale.max`: `3` is less",
    );
    check(
        &["hostusers=false", "qemu.install=1"],
        "`qemu.install` and `hostusers=false` exclude",
    );
    let memory = [
        "buildkit-root-volume-memory=1Gi",
        "persistent-volume-claim.requests.storage=1Gi",
    ];
    check(&memory, "exclude each other");
    let bad = |name: &str, namespace: &str, arch: &[&str], expect: &str| {
        let error = objects(&PoolOptions::new(name, namespace, arch)).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    bad("a.b", "ns", &["amd64"], "pool `a.b` must be lower-case");
    bad(
        &"a".repeat(47),
        "ns",
        &["amd64"],
        "is longer than 46 characters",
    );
    bad("a", "Ns", &["amd64"], "namespace `Ns`");
    bad("a", "ns", &["linux/amd64"], "architecture `linux/amd64`");
    bad("a", "ns", &[], "architecture `` is missing");
}

#[test]
fn options_have_the_defaults_of_buildx() {
    let plain = options(&[]).client;
    assert_eq!(plain.timeout.as_secs(), 120);
    assert!(!plain.default_load);
    let set = options(&["timeout=5m", "default-load=true", "loadbalance=random"]).client;
    assert_eq!(set.timeout.as_secs(), 300);
    assert!(set.default_load);
    assert_eq!(set.load_balance.to_string(), "random");
}
