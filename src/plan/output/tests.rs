//! What outputs become, an exporter a line.

use super::image::join;
use super::*;
use crate::request::{BuildContext, Dockerfile, OutputSpec};

fn request(outputs: &[&str], tags: &[&str]) -> BuildRequest {
    let dockerfile = Dockerfile::InContext("Dockerfile".to_owned());
    BuildRequest {
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        outputs: outputs
            .iter()
            .map(|text| OutputSpec::parse(text).unwrap().unwrap())
            .collect(),
        ..BuildRequest::new(BuildContext::Empty, dockerfile)
    }
}

/// What a unit for linux/arm64 exports, an exporter a line, and the merge steps.
fn check(outputs: &[&str], tags: &[&str], platforms: usize, expect: &[&str]) {
    let planned = plan_outputs(&request(outputs, tags), platforms).unwrap();
    let exports = exports_for(&planned.templates, &"linux/arm64".parse().unwrap());
    let mut got: Vec<String> = exports
        .iter()
        .map(|export| {
            let attrs = export
                .attrs
                .iter()
                .map(|(key, value)| format!(" {key}={value}"));
            format!("{:?}{}", export.kind, attrs.collect::<String>())
        })
        .collect();
    got.extend(planned.merge.iter().map(|step| match step {
        MergeStep::Publish { tags, .. } => format!("publish {}", join(tags)),
        MergeStep::Local {
            dest,
            mirror,
            split,
            ..
        } => {
            format!("local {} mirror={mirror} split={split}", dest.display())
        }
        MergeStep::File { dest, .. } => format!("file {dest:?}"),
    }));
    assert_eq!(got, expect);
}

fn refused(outputs: &[&str], tags: &[&str], platforms: usize, expect: &str) {
    let error = plan_outputs(&request(outputs, tags), platforms)
        .err()
        .unwrap();
    assert_eq!(error.to_string(), expect);
}

const PUSH: &str = "oci-mediatypes=true push=true push-by-digest=true store=false";

#[test]
fn every_pushing_output_pushes_by_digest_and_gets_the_whole_index() {
    check(
        &[
            "type=registry,name=r.io/a:1",
            "type=image,push=true,\"name=r.io/b:1,r.io/b:2\"",
        ],
        &[],
        2,
        &[
            &format!("Push name=r.io/a {PUSH}"),
            &format!("Push name=r.io/b {PUSH}"),
            "publish r.io/a:1",
            "publish r.io/b:1,r.io/b:2",
        ],
    );
}

#[test]
fn tags_replace_the_names_of_outputs_and_repositories_count_once() {
    check(
        &["type=image,push=true,name=r.io/other"],
        &["r.io/a:1", "r.io/a:2", "r.io/b"],
        1,
        &[
            &format!("Push name=r.io/a,r.io/b {PUSH}"),
            "publish r.io/a:1,r.io/a:2,r.io/b:latest",
        ],
    );
}

#[test]
fn what_is_pushed_by_digest_alone_moves_no_name() {
    check(
        &["type=image,push=true,push-by-digest=true,name=r.io/a"],
        &[],
        2,
        &[&format!("Push name=r.io/a {PUSH}"), "publish "],
    );
}

#[test]
fn an_image_that_is_not_pushed_stays_with_its_daemon() {
    check(
        &["type=image"],
        &["r.io/a"],
        1,
        &["Store name=r.io/a:latest"],
    );
    check(
        &["type=registry,push=false"],
        &["r.io/a:1"],
        1,
        &["Store name=r.io/a:1"],
    );
}

#[test]
fn several_platforms_are_split_unless_the_user_says_otherwise() {
    check(
        &["out"],
        &[],
        1,
        &[
            "Tree platform-split=false",
            "local out mirror=false split=false",
        ],
    );
    check(
        &["out"],
        &[],
        2,
        &[
            "Tree platform-split=true",
            "local out mirror=false split=true",
        ],
    );
    check(
        &["type=local,dest=out,platform-split=false,mode=delete"],
        &[],
        2,
        &[
            "Tree platform-split=false",
            "local out mirror=true split=false",
        ],
    );
}

#[test]
fn annotations_go_to_the_manifest_the_index_or_nowhere() {
    check(
        &[
            "type=registry,name=r.io/a,annotation.x=1,annotation-manifest[linux/amd64].y=2,annotation-index.z=3",
        ],
        &[],
        2,
        &[
            &format!("Push annotation-manifest.x=1 name=r.io/a {PUSH}"),
            "publish r.io/a:latest",
        ],
    );
}

#[test]
fn what_cannot_be_is_refused_before_anything_starts() {
    refused(
        &["type=registry"],
        &[],
        1,
        "--output type=registry: a tag is needed to push: give -t NAME or name=NAME",
    );
    refused(
        &["type=tar"],
        &[],
        2,
        "--output type=tar: only one platform fits in; use type=local, or name one platform with --platform",
    );
    refused(
        &["type=local,dest=o,mode=move"],
        &[],
        1,
        "--output type=local: mode=move is neither copy nor delete",
    );
    refused(
        &["type=tar", "type=oci,dest=-"],
        &[],
        1,
        "--output type=oci: two outputs would be written to stdout",
    );
    refused(
        &["o", "type=tar,dest=o/"],
        &[],
        1,
        "--output type=tar: two outputs would be written to o/",
    );
    refused(
        &["type=floppy"],
        &[],
        1,
        "--output type=floppy: no such output: local, tar, oci, docker, image, registry and cacheonly exist",
    );
    refused(
        &["type=registry,name=r.io/A"],
        &[],
        1,
        "--output type=registry: name: repository `A` in image name `r.io/A` must be lower-case",
    );
}
