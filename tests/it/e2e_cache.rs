//! Caches that one run writes and another one reads, on daemons that know nothing of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::hub::{Hub, text};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";
const DIRS: [&str; 2] = ["linux_amd64", "linux_arm64"];

cases!(at_endpoints:
    two_platforms_in_a_registry_do_not_overwrite_each_other,
    a_placeholder_says_where_the_platform_goes,
    two_platforms_in_a_directory_have_one_each,
    a_failed_build_leaves_the_cache_as_it_was,
    a_reset_drops_what_is_not_needed_any_more,
    an_inline_cache_is_read_from_the_image,
    a_back_end_that_a_daemon_lacks_is_an_error_unless_it_may_be,
    what_cannot_be_is_refused_before_any_work,
    logins_are_shown_nowhere,
);

/// A step whose result is another one each time it runs, and that no other run has.
fn sandbox(target: &Target) -> Sandbox {
    let sandbox = Sandbox::new(target);
    // The other way round: what one daemon built, the other one has to find in the cache.
    let [amd64, arm64] = &target.nodes;
    let swapped = [
        amd64.with_platforms(&["linux/arm64"]),
        arm64.with_platforms(&["linux/amd64"]),
    ];
    sandbox.write("swapped.toml", target.config_of(&swapped));
    let step = "cat /proc/sys/kernel/random/uuid >/out";
    sandbox.dockerfile(&format!("FROM BASE\nRUN echo {}; {step}\n", fresh()));
    sandbox
}

/// Builds into a directory; gives what the step of each platform wrote.
fn build(sandbox: &Sandbox, line: &str) -> [String; 2] {
    let out = fresh();
    sandbox
        .run(&format!("{line} {BOTH} -o type=local,dest={out} ctx"))
        .exits(0);
    DIRS.map(|dir| sandbox.read(&format!("{out}/{dir}/out")))
}

/// With one name for all nodes buildx keeps the cache of the slowest one alone (docker/buildx#1044).
fn two_platforms_in_a_registry_do_not_overwrite_each_other(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("cache");
    let first = build(&sandbox, &format!("--cache-to {name}:c"));
    assert_ne!(first[0], first[1]);
    let hub = Hub::new(&name);
    for tag in ["c-linux-amd64", "c-linux-arm64"] {
        assert!(hub.find(tag).is_some(), "{tag}");
    }
    assert_eq!(hub.find("c"), None);
    let line = format!("--config swapped.toml --cache-from {name}:c");
    assert_eq!(build(&sandbox, &line), first);
}

fn a_placeholder_says_where_the_platform_goes(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("cache");
    let spec = format!("type=registry,ref={name}:{{arch}}");
    let first = build(&sandbox, &format!("--cache-to {spec},mode=max"));
    let hub = Hub::new(&name);
    assert!(hub.find("amd64").is_some() && hub.find("arm64").is_some());
    let line = format!("--config swapped.toml --cache-from {spec}");
    assert_eq!(build(&sandbox, &line), first);
}

fn index(sandbox: &Sandbox, dir: &str) -> Value {
    sandbox.json(&format!("{dir}/index.json"))
}

/// What a layout's directory holds, by name.
fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// buildx has all nodes write the tag `latest` of one index.json: the slowest one's cache stays.
fn two_platforms_in_a_directory_have_one_each(target: &Target) {
    let sandbox = sandbox(target);
    let missing = "no cache in ";
    let line = format!("{BOTH} --cache-from type=local,src=cache -o type=cacheonly ctx");
    sandbox.run(&line).exits(0).says(&[missing]);
    let first = build(&sandbox, "--cache-to type=local,dest=cache,mode=max");
    for dir in DIRS {
        let dir = format!("cache/{dir}");
        let expect = ["blobs", "index.json", "oci-layout"].map(str::to_owned);
        assert_eq!(names(&sandbox.path(&dir)), BTreeSet::from(expect));
        let entries = index(&sandbox, &dir);
        let [entry] = &entries["manifests"].as_array().unwrap()[..] else {
            panic!("{entries}");
        };
        let tag = &entry["annotations"]["org.opencontainers.image.ref.name"];
        assert_eq!(text(tag), "latest");
    }
    let line = "--config swapped.toml --cache-from type=local,src=cache";
    assert_eq!(build(&sandbox, line), first);
}

fn a_failed_build_leaves_the_cache_as_it_was(target: &Target) {
    let sandbox = sandbox(target);
    let to = "--cache-to type=local,dest=cache,mode=max";
    let first = build(&sandbox, to);
    let kept = DIRS.map(|dir| sandbox.read(&format!("cache/{dir}/index.json")));
    let good = sandbox.read("ctx/Dockerfile");
    sandbox.write("ctx/Dockerfile", format!("{good}RUN false\n"));
    let line = format!("{BOTH} {to} -o type=cacheonly ctx");
    sandbox.run(&line).exits(1);
    let left = DIRS.map(|dir| sandbox.read(&format!("cache/{dir}/index.json")));
    assert_eq!(left, kept);
    sandbox.write("ctx/Dockerfile", good);
    let line = "--config swapped.toml --cache-from type=local,src=cache";
    assert_eq!(build(&sandbox, line), first);
}

fn a_reset_drops_what_is_not_needed_any_more(target: &Target) {
    let sandbox = sandbox(target);
    let line = |more: &str| {
        let to = format!("--cache-to type=local,dest=cache,mode=max{more}");
        format!("--platform linux/amd64 {to} -o type=cacheonly ctx")
    };
    sandbox.run(&line(",tag=old")).exits(0);
    let before = names(&sandbox.path("cache/blobs/sha256"));
    sandbox.dockerfile(&format!("FROM BASE\nRUN echo {} >/other\n", fresh()));
    sandbox.run(&line(",tag=new")).exits(0);
    assert_eq!(
        index(&sandbox, "cache")["manifests"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert!(names(&sandbox.path("cache/blobs/sha256")).is_superset(&before));

    sandbox.run(&line(",tag=new,reset=true")).exits(0);
    let entries = index(&sandbox, "cache");
    let [entry] = &entries["manifests"].as_array().unwrap()[..] else {
        panic!("{entries}");
    };
    let hex = |digest: &Value| text(digest).strip_prefix("sha256:").unwrap().to_owned();
    let root = hex(&entry["digest"]);
    let manifest = sandbox.json(&format!("cache/blobs/sha256/{root}"));
    let mut needed = BTreeSet::from([root, hex(&manifest["config"]["digest"])]);
    let layers = manifest["layers"].as_array().unwrap();
    needed.extend(layers.iter().map(|layer| hex(&layer["digest"])));
    assert_eq!(names(&sandbox.path("cache/blobs/sha256")), needed);
}

fn an_inline_cache_is_read_from_the_image(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("inline");
    let line = format!("{BOTH} --build-arg BUILDKIT_INLINE_CACHE=1 -t {name}:1 --push ctx");
    sandbox.run(&line).exits(0);
    let hub = Hub::new(&name);
    let pushed = hub.manifest("1");
    let first = ["linux/amd64", "linux/arm64"]
        .map(|platform| hub.file(&hub.image(&pushed, platform), "out"))
        .map(|bytes| String::from_utf8(bytes).unwrap());
    let line =
        format!("--config swapped.toml --build-arg BUILDKIT_INLINE_CACHE=1 --cache-from {name}:1");
    assert_eq!(build(&sandbox, &line), first);
}

/// buildx drops what a node does not support without a word.
fn a_back_end_that_a_daemon_lacks_is_an_error_unless_it_may_be(target: &Target) {
    if target.engine_version().is_none() {
        return target.skip("these daemons have all back ends");
    }
    let sandbox = sandbox(target);
    let line = |more: &str| {
        let to = format!("--cache-to type=s3,bucket=b,region=r{more}");
        format!("--platform linux/amd64 {to} -o type=cacheonly ctx")
    };
    let lack = "is a Docker engine, which does not support --cache-to type=s3, only ";
    sandbox
        .run(&line(""))
        .exits(3)
        .says(&["linux/amd64 on amd64: ", lack]);
    sandbox
        .run(&line(",ignore-error=true"))
        .exits(0)
        .says(&[lack, "; the build goes on without it"]);
}

fn what_cannot_be_is_refused_before_any_work(target: &Target) {
    let sandbox = sandbox(target);
    let refused = |flags: &str, says: &str| {
        let line = format!("{BOTH} -o type=cacheonly {flags} ctx");
        sandbox.run(&line).exits(2).says(&[says]).prints_nothing();
    };
    refused("--cache-to type=gha", "`token` (ACTIONS_RUNTIME_TOKEN)");
    refused(
        "--cache-from type=registry,ref=a,mod=max",
        "--cache-from: unknown key `mod`, expected one of: type, ignore-error, ref",
    );
    refused("--cache-to type=s3,region=r", "has no `bucket`");
    refused(
        "--cache-to type=inline,mode=max",
        "--cache-to: `mode` is `max`",
    );
    refused(
        "--cache-to app:{os}",
        "linux/amd64 and linux/arm64 would overwrite each other's cache",
    );
    sandbox.write("file", "in the way");
    let line = "--cache-to type=local,dest=file/cache -o type=cacheonly ctx";
    sandbox
        .run(line)
        .exits(4)
        .says(&["nothing was built", "file is no directory"]);
    refused("--cache-to app --cache-to app:latest", "it is given twice");
    sandbox
        .run(&format!(
            "{BOTH} -o type=cacheonly --cache-to type=gha,ignore-error=true ctx"
        ))
        .exits(0)
        .says(&[
            "WARNING: --cache-to type=gha",
            "the build goes on without it",
        ]);
}

fn logins_are_shown_nowhere(target: &Target) {
    let sandbox = sandbox(target);
    let secret = "hunter2hunter2";
    let s3 =
        "--cache-to type=s3,bucket=b,region=r,ignore-error=true,endpoint_url=http://127.0.0.1:9";
    let gha = "--cache-from type=gha --cache-to type=gha,scope=x";
    let lines = [
        format!("-v -v --progress plain {gha}"),
        format!("-v -v --progress rawjson {s3} {gha}"),
        format!("--progress plain --metadata-file meta.json {s3}"),
        format!("--dry-run {s3} {gha}"),
        format!("--dry-run --format json {s3} {gha}"),
        "--cache-to type=s3,bucket=b,secret_access_key=hunter2hunter2".to_owned(),
        "--cache-to type=s3,secret_access_key=hunter2hunter2,x".to_owned(),
        "--cache-to type=gha,token=hunter2hunter2,url=http://me:hunter2hunter2@h,z=1".to_owned(),
    ];
    for line in lines {
        let ran = sandbox
            .mbuild(&format!("{line} {BOTH} -o type=cacheonly ctx"))
            .env("AWS_ACCESS_KEY_ID", format!("id-{secret}"))
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_SESSION_TOKEN", secret)
            .env("ACTIONS_RUNTIME_TOKEN", secret)
            .env("ACTIONS_CACHE_URL", "http://127.0.0.1:9/")
            .run();
        let printed = format!("{}{}", ran.out(), ran.stderr);
        assert!(
            !printed.is_empty() && !printed.contains(secret),
            "{line}: {printed}"
        );
    }
    if let Ok(metadata) = fs::read_to_string(sandbox.path("meta.json")) {
        assert!(!metadata.contains(secret), "{metadata}");
    }
}
