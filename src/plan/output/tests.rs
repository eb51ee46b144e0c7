//! What outputs become, an exporter a line.

use super::image::join;
use super::*;
use crate::node::{ImageStore, Reported};
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

/// A builder's nodes: as many as there are platforms, or one with this store for all of them.
#[derive(Clone, Copy)]
enum Nodes {
    Each,
    One(ImageStore),
}

fn node(name: &str, store: ImageStore) -> NodeInfo {
    NodeInfo {
        name: name.to_owned(),
        configured: Vec::new(),
        reported: Reported::Unasked,
        store,
        slots: None,
        running: 0,
    }
}

fn planned(
    request: &BuildRequest,
    platforms: usize,
    nodes: Nodes,
    engine: ImageStore,
) -> Result<PlannedOutputs, PlanError> {
    let nodes: Vec<NodeInfo> = (0..platforms)
        .map(|number| match nodes {
            Nodes::Each => node(&format!("n{number}"), ImageStore::None),
            Nodes::One(store) => node("n0", store),
        })
        .collect();
    let info = EngineInfo {
        name: "docker+unix:///d.sock".to_owned(),
        store: engine,
        node: None,
    };
    let engines = (0..request.outputs.len()).map(|output| (output, info.clone()));
    plan_outputs(
        request,
        &nodes.iter().collect::<Vec<_>>(),
        &engines.collect(),
    )
}

/// What a unit for linux/arm64 exports, an exporter a line, and the merge steps.
fn shown(planned: &PlannedOutputs) -> Vec<String> {
    let exports = planned.exports_for(&"linux/arm64".parse().unwrap(), "n0");
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
        MergeStep::Tars { dest, .. } => format!("tars {dest:?}"),
        MergeStep::Image { notes, to, .. } => format!("image {} {to:?}", join(&notes.names)),
    }));
    got
}

fn check(outputs: &[&str], tags: &[&str], platforms: usize, expect: &[&str]) {
    let request = request(outputs, tags);
    let planned = planned(&request, platforms, Nodes::Each, ImageStore::Classic).unwrap();
    assert_eq!(shown(&planned), expect);
}

fn refused(outputs: &[&str], tags: &[&str], platforms: usize, expect: &str) {
    let request = request(outputs, tags);
    let error = planned(&request, platforms, Nodes::Each, ImageStore::Classic)
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

fn attested(outputs: &[&str], platforms: usize) -> PlannedOutputs {
    let statement = crate::request::AttestSpec::parse("type=provenance").unwrap();
    let request = BuildRequest {
        attestations: vec![statement],
        ..request(outputs, &["r.io/a:1"])
    };
    planned(&request, platforms, Nodes::Each, ImageStore::None).unwrap()
}

/// buildx's daemons say the same, after the build.
#[test]
fn an_index_of_one_platform_can_be_annotated_only_where_attestations_make_one() {
    for place in ["index", "index-descriptor"] {
        for kind in ["type=registry", "type=oci,dest=o.tar", "type=image"] {
            let expect = format!(
                "--output {}: annotation-{place} needs an index, and one platform without \
                 attestations has none",
                kind.split(',').next().unwrap()
            );
            let output = format!("{kind},annotation-{place}.x=1");
            refused(&[&output], &["r.io/a:1"], 1, &expect);
            attested(&[&output], 1);
        }
    }
}

#[test]
fn a_daemon_that_keeps_an_attested_image_annotates_its_index() {
    let planned = attested(&["type=image,annotation-index.x=1"], 1);
    let expect = ["Store annotation-index.x=1 name=r.io/a:1"];
    assert_eq!(shown(&planned), expect);
}

#[test]
fn annotations_that_come_to_nothing_are_told() {
    let warnings = |output: &str, platforms: usize| {
        let mut request = request(&[output], &["r.io/a:1"]);
        let names = ["linux/amd64", "linux/arm64"];
        request.platforms = names[..platforms]
            .iter()
            .map(|p| p.parse().unwrap())
            .collect();
        let planned = planned(&request, platforms, Nodes::Each, ImageStore::None);
        planned.unwrap().warnings.join("\n")
    };
    let text = warnings("type=registry,annotation-index-descriptor.x=1", 2);
    assert!(
        text.contains("annotation-index-descriptor is written nowhere"),
        "{text}"
    );
    let text = warnings("type=registry,annotation-manifest-descriptor.x=1", 1);
    assert!(
        text.contains("annotation-manifest-descriptor is written nowhere"),
        "{text}"
    );
    let text = warnings("type=registry,annotation-manifest[linux/s390x].x=1", 2);
    assert!(
        text.contains("is for linux/s390x, which is not built"),
        "{text}"
    );
    let all = "type=registry,annotation-manifest-descriptor[linux/arm64].x=1,annotation.y=2";
    assert_eq!(warnings(all, 2), "");
}

#[test]
fn statements_in_one_directory_have_their_platforms_name() {
    let unsplit = "type=local,dest=o,platform-split=false";
    let expect = "Tree attestation-prefix=linux_arm64. platform-split=false";
    assert_eq!(shown(&attested(&[unsplit], 2))[0], expect);
    assert_eq!(
        shown(&attested(&[unsplit], 1))[0],
        "Tree platform-split=false"
    );
    let split = shown(&attested(&["type=local,dest=o"], 2));
    assert_eq!(split[0], "Tree platform-split=true");
}

#[test]
fn what_cannot_be_is_refused_before_anything_starts() {
    refused(
        &["type=registry"],
        &[],
        1,
        "--output type=registry: a tag is needed to push: give -t NAME or name=NAME",
    );
    // buildx refuses here too: "docker exporter does not support exporting manifest lists".
    refused(
        &["type=docker,dest=x"],
        &[],
        2,
        "--output type=docker: an archive of this type holds one platform; type=oci holds all of \
         them, and `docker load` reads it where the engine has the containerd image store",
    );
    refused(
        &["type=oci,tar=false"],
        &[],
        1,
        "--output type=oci: tar=false makes a directory: dest=DIRECTORY is required",
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

#[test]
fn archives_of_several_platforms_become_one() {
    check(
        &[
            "type=oci,dest=o.tar",
            "type=oci,tar=false,dest=o",
            "type=tar,dest=t.tar",
        ],
        &["r.io/a:1"],
        2,
        &[
            "File(Oci) name=r.io/a:1",
            "File(Oci) name=r.io/a:1",
            "File(Tar)",
            "image r.io/a:1 File(Some(\"o.tar\"))",
            "image r.io/a:1 Layout(\"o\")",
            "tars Some(\"t.tar\")",
        ],
    );
    check(&["type=tar"], &[], 1, &["File(Tar)", "file None"]);
    check(
        &["type=docker,dest=d.tar"],
        &[],
        1,
        &["File(Docker)", "image  File(Some(\"d.tar\"))"],
    );
}

#[test]
fn what_is_pushed_is_exported_last_so_that_its_digest_is_the_answers() {
    check(
        &["type=registry", "type=image,push=false", "type=oci", "out"],
        &["r.io/a:1"],
        1,
        &[
            "File(Oci) name=r.io/a:1",
            "Tree platform-split=false",
            "Store name=r.io/a:1",
            &format!("Push name=r.io/a {PUSH}"),
            "publish r.io/a:1",
            "image r.io/a:1 File(None)",
            "local out mirror=false split=false",
        ],
    );
}

#[test]
fn an_engine_gets_what_its_store_holds() {
    let load = |platforms, store| {
        let request = request(&["type=docker"], &["app"]);
        planned(&request, platforms, Nodes::Each, store).map(|planned| shown(&planned))
    };
    let name = "docker.io/library/app:latest";
    assert_eq!(
        load(2, ImageStore::Containerd).unwrap(),
        [
            format!("File(Oci) name={name}"),
            format!("image {name} NamedEngine")
        ]
    );
    assert_eq!(
        load(1, ImageStore::Classic).unwrap(),
        [
            format!("File(Docker) name={name}"),
            format!("image {name} NamedEngine")
        ]
    );
    let error = load(2, ImageStore::Classic).unwrap_err();
    assert!(error.to_string().contains("holds one platform"), "{error}");
    assert!(error.hint().unwrap().contains("--platform local"));
}

#[test]
fn a_node_that_builds_several_platforms_keeps_one_index_of_them_or_refuses() {
    let keep = |store| {
        let request = request(&["type=image,unpack=true"], &["r.io/a:1"]);
        planned(&request, 2, Nodes::One(store), ImageStore::None).map(|planned| shown(&planned))
    };
    assert_eq!(
        keep(ImageStore::Containerd).unwrap(),
        ["File(Oci) name=r.io/a:1", "image r.io/a:1 Node(\"n0\")"]
    );
    let text = |store| keep(store).unwrap_err().to_string();
    assert!(text(ImageStore::Classic).contains("classic image store"));
    assert!(text(ImageStore::None).contains("would keep only the last"));
}

#[test]
fn without_an_output_engines_keep_the_image_and_others_say_that_they_do_not() {
    let mut request = request(&["type=image"], &["app:1"]);
    request.outputs_by_default = true;
    let (engine, other) = (node("n0", ImageStore::Engine), node("n1", ImageStore::None));
    let planned = plan_outputs(&request, &[&engine, &other], &BTreeMap::new()).unwrap();
    assert_eq!(shown(&planned), ["Store name=docker.io/library/app:1"]);
    let arm = "linux/arm64".parse().unwrap();
    assert_eq!(planned.exports_for(&arm, "n1"), []);
    assert_eq!(planned.warnings.len(), 1, "{:?}", planned.warnings);
    assert!(planned.warnings[0].contains("n1 is no Docker engine"));
    let second = node("n1", ImageStore::Engine);
    let planned = plan_outputs(&request, &[&engine, &second], &BTreeMap::new()).unwrap();
    assert!(planned.warnings[0].contains("each node keeps the image of its own platform"));
}
