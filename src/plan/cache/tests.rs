//! Which caches each platform reads and writes.

use super::*;
use crate::request::{BuildContext, Dockerfile};

const BOTH: &[&str] = &["linux/amd64", "linux/arm64"];

fn request(to: &[&str], from: &[&str]) -> BuildRequest {
    let parse = |flag, values: &[&str]| {
        let specs = values
            .iter()
            .map(|value| CacheSpec::parse(flag, value).unwrap());
        specs.flatten().collect()
    };
    BuildRequest {
        cache_to: parse("--cache-to", to),
        cache_from: parse("--cache-from", from),
        ..BuildRequest::new(BuildContext::Empty, Dockerfile::InContext("D".to_owned()))
    }
}

fn planned(request: &BuildRequest, platforms: &[&str]) -> Result<Vec<UnitCaches>, PlanError> {
    let platforms: Vec<Platform> = platforms.iter().map(|name| name.parse().unwrap()).collect();
    caches(request, &platforms)
}

fn shown(caches: &[UnitCache]) -> Vec<String> {
    caches.iter().map(ToString::to_string).collect()
}

/// What each platform writes.
fn writes(to: &str, platforms: &[&str], expect: &[&str]) {
    let units = planned(&request(&[to], &[]), platforms).unwrap();
    let got: Vec<String> = units.iter().flat_map(|unit| shown(&unit.exports)).collect();
    assert_eq!(got, expect, "{to}");
}

/// What the first platform reads.
fn reads(from: &[&str], platforms: &[&str], expect: &[&str]) {
    let units = planned(&request(&[], from), platforms).unwrap();
    assert_eq!(shown(&units[0].imports), expect, "{from:?}");
}

fn refused(to: &[&str], platforms: &[&str], expect: &str) {
    let error = planned(&request(to, &[]), platforms).unwrap_err();
    assert_eq!(error.to_string(), expect);
}

#[test]
fn one_platform_writes_what_was_named() {
    let one = &["linux/arm64"];
    writes("host/app:c", one, &["registry ref=host/app:c"]);
    writes("type=gha", one, &["gha"]);
    writes("type=local,dest=/c", one, &["local /c latest"]);
    writes(
        "host/app:{arch}-{os}{variant}",
        one,
        &["registry ref=host/app:arm64-linux"],
    );
}

#[test]
fn several_platforms_have_names_of_their_own() {
    writes(
        "host:5000/app",
        BOTH,
        &[
            "registry ref=host:5000/app:latest-linux-amd64",
            "registry ref=host:5000/app:latest-linux-arm64",
        ],
    );
    writes(
        "type=registry,ref=app:c,mode=max",
        &["linux/arm/v7", "linux/arm64"],
        &[
            "registry mode=max ref=docker.io/library/app:c-linux-arm-v7",
            "registry mode=max ref=docker.io/library/app:c-linux-arm64",
        ],
    );
    writes(
        "type=gha,scope=main",
        BOTH,
        &["gha scope=main-linux-amd64", "gha scope=main-linux-arm64"],
    );
    writes(
        "type=s3,bucket=b,name=x;y",
        BOTH,
        &[
            "s3 bucket=b name=x-linux-amd64;y-linux-amd64",
            "s3 bucket=b name=x-linux-arm64;y-linux-arm64",
        ],
    );
    writes(
        "type=azblob",
        BOTH,
        &[
            "azblob name=buildkit-linux-amd64",
            "azblob name=buildkit-linux-arm64",
        ],
    );
    writes(
        "type=local,dest=/c,tag=t",
        BOTH,
        &["local /c/linux_amd64 t", "local /c/linux_arm64 t"],
    );
    writes("type=inline", BOTH, &["inline", "inline"]);
}

#[test]
fn placeholders_take_the_place_of_a_suffix() {
    writes(
        "type=registry,ref=host/{arch}/app:{os}",
        BOTH,
        &[
            "registry ref=host/amd64/app:linux",
            "registry ref=host/arm64/app:linux",
        ],
    );
    writes(
        "type=local,dest=/c,tag={platform}",
        BOTH,
        &["local /c linux-amd64", "local /c linux-arm64"],
    );
    // A name in braces that means nothing is no placeholder.
    writes(
        "type=local,dest=/{x}",
        BOTH,
        &[
            "local /{x}/linux_amd64 latest",
            "local /{x}/linux_arm64 latest",
        ],
    );
}

#[test]
fn a_platform_reads_its_own_then_the_plain_name_then_the_others() {
    reads(
        &["host:5000/app:c", "type=gha"],
        BOTH,
        &[
            "registry ref=host:5000/app:c-linux-amd64",
            "gha scope=buildkit-linux-amd64",
            "registry ref=host:5000/app:c",
            "gha",
            "registry ref=host:5000/app:c-linux-arm64",
            "gha scope=buildkit-linux-arm64",
        ],
    );
    reads(
        &["host:5000/app:c"],
        &["linux/amd64"],
        &["registry ref=host:5000/app:c"],
    );
    reads(
        &["host:5000/app:{arch}"],
        BOTH,
        &[
            "registry ref=host:5000/app:amd64",
            "registry ref=host:5000/app:arm64",
        ],
    );
    reads(
        &["type=local,src=/c,ignore-error=true"],
        BOTH,
        &[
            "local /c/linux_amd64 latest",
            "local /c latest",
            "local /c/linux_arm64 latest",
        ],
    );
}

#[test]
fn what_a_digest_names_is_read_as_it_is() {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let name = format!("host:5000/app@{digest}");
    reads(&[&name], BOTH, &[&format!("registry ref={name}")]);
    reads(
        &[&format!("type=local,src=/c,digest={digest}")],
        BOTH,
        &["local /c latest"],
    );
}

#[test]
fn platforms_that_would_share_a_cache_are_refused() {
    refused(
        &["host/app:{os}"],
        BOTH,
        "--cache-to type=registry,ref=host/app:{os}: linux/amd64 and linux/arm64 would overwrite \
         each other's cache; put {platform} into its name",
    );
}

#[test]
fn a_cache_given_twice_is_refused() {
    let one = &["linux/amd64"];
    refused(
        &["host/app", "type=registry,ref=host/app:latest,mode=max"],
        one,
        "--cache-to type=registry,mode=max,ref=host/app:latest: it is given twice",
    );
    refused(
        &["type=inline", "type=inline"],
        BOTH,
        "--cache-to type=inline: it is given twice",
    );
    let both = request(&["type=local,dest=/c", "type=local,dest=/c,tag=b"], &[]);
    assert!(planned(&both, one).is_ok());
}

#[test]
fn a_reset_does_not_drop_another_platforms_cache() {
    refused(
        &["type=local,dest=/c,tag={platform},reset=true"],
        BOTH,
        "--cache-to type=local,dest=/c,reset=true,tag={platform}: reset=true would drop the other \
         cache in that directory",
    );
    let own = request(&["type=local,dest=/c,reset=true"], &[]);
    assert!(planned(&own, BOTH).is_ok());
}

#[test]
fn names_that_cannot_be_are_refused() {
    let long = format!("host/app:{}", "t".repeat(125));
    let error = planned(&request(&[&long], &[]), BOTH).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("--cache-to type=registry,ref="),
        "{error}"
    );
}

#[test]
fn no_secret_is_shown() {
    let request = request(&["type=s3,bucket={os},secret_access_key=hunter2"], &[]);
    let error = planned(&request, BOTH).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let units = planned(&request, &["linux/amd64"]).unwrap();
    assert!(!format!("{units:?} {}", units[0].exports[0]).contains("hunter2"));
}
