//! `--build-context`: what a Dockerfile uses by name, the same on every node.

use std::fs;

use mbuild::digest::Digest;
use mbuild::oci::layout::Layout;

use crate::support::git_server::GitServer;
use crate::support::hub::Hub;
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases};
use crate::support::web_server::WebServer;

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    directories_have_their_own_ignore_files,
    a_name_in_the_dockerfile_is_replaced_by_an_image_of_one_digest,
    a_layout_of_this_machine_is_an_image_on_both_nodes,
    what_cannot_be_a_context_is_refused_before_anything_starts,
);

mod on_the_host {
    use super::*;

    cases!(at_host: repositories_and_files_on_the_web_have_names_too);
}

fn directories_have_their_own_ignore_files(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile(
        "FROM scratch\nCOPY own /\nCOPY --from=lib . /lib\nCOPY --from=context . /context\n",
    );
    sandbox.write("ctx/own", "own");
    sandbox.write("ctx/.dockerignore", "wanted\n");
    sandbox.write("lib/.dockerignore", "unwanted\n.dockerignore\n");
    sandbox.write("lib/wanted", "1");
    sandbox.write("lib/unwanted", "2");
    // A name that the build's own context has already.
    sandbox.write("other/there", "3");
    sandbox
        .run(&format!(
            "{BOTH} -o out --build-context lib=lib --build-context context=other ctx"
        ))
        .exits(0);
    for platform in ["linux_amd64", "linux_arm64"] {
        let out = sandbox.path("out").join(platform);
        assert_eq!(fs::read(out.join("own")).unwrap(), b"own");
        assert_eq!(fs::read(out.join("lib/wanted")).unwrap(), b"1");
        assert_eq!(fs::read(out.join("context/there")).unwrap(), b"3");
        assert_eq!(fs::read_dir(out.join("lib")).unwrap().count(), 1);
    }
}

fn a_name_in_the_dockerfile_is_replaced_by_an_image_of_one_digest(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM nowhere.example/x:1\nCOPY Dockerfile /file\n");
    let name = target.repository("named");
    let base = &target.base;
    sandbox
        .run(&format!(
            "{BOTH} -t {name}:1 --push --metadata-file meta.json \
             --build-context nowhere.example/x:1=docker-image://{base} ctx"
        ))
        .exits(0);
    let index = Hub::new(&name).manifest("1");
    assert_eq!(index.platforms(), ["linux/amd64", "linux/arm64"]);
    let (repository, tag) = base.rsplit_once(':').unwrap();
    let digest = Hub::new(repository).manifest(tag).digest;
    let contexts = &sandbox.json("meta.json")["mbuild.contexts"];
    let expect = format!("docker-image://{base}@{digest}");
    assert_eq!(contexts["nowhere.example/x:1"], expect);
    // One that the registry does not have is a warning, since a node might have it.
    sandbox
        .run(&format!(
            "{BOTH} -o out --build-context nowhere.example/x:1=docker-image://{name}:none ctx"
        ))
        .exits(1)
        .says(&["every node asks by itself which image", "has no such image"]);
}

/// Copies an image with all its parts into a layout on this machine; gives its digest.
fn pull(image: &str, layout: &Layout) -> String {
    let (repository, tag) = image.rsplit_once(':').unwrap();
    let hub = Hub::new(repository);
    let index = hub.manifest(tag);
    let keep = |digest: &str| {
        let path = layout.blob_path(digest.parse().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, hub.blob(digest)).unwrap();
    };
    let text = |json: &serde_json::Value| json.as_str().unwrap().to_owned();
    let mut manifests = Vec::new();
    for platform in ["linux/amd64", "linux/arm64"] {
        let manifest = hub.image(&index, platform);
        keep(&text(&manifest.json["config"]["digest"]));
        for layer in manifest.json["layers"].as_array().unwrap() {
            keep(&text(&layer["digest"]));
        }
        let bytes = serde_json::to_vec(&manifest.json).unwrap();
        let digest = layout.put_blob(&bytes).unwrap();
        let (os, architecture) = platform.split_once('/').unwrap();
        manifests.push(serde_json::json!({
            "mediaType": manifest.media_type, "digest": digest, "size": bytes.len(),
            "platform": {"os": os, "architecture": architecture},
        }));
    }
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": index.media_type, "manifests": manifests,
    });
    let bytes = serde_json::to_vec(&index).unwrap();
    let digest = layout.put_blob(&bytes).unwrap();
    let top = serde_json::json!({
        "schemaVersion": 2, "manifests": [{
            "mediaType": index["mediaType"], "digest": digest, "size": bytes.len(),
            "annotations": {"org.opencontainers.image.ref.name": "kept"},
        }],
    });
    fs::write(layout.dir().join("index.json"), top.to_string()).unwrap();
    digest.to_string()
}

fn a_layout_of_this_machine_is_an_image_on_both_nodes(target: &Target) {
    let sandbox = Sandbox::new(target);
    let layout = Layout::create(sandbox.path("layout")).unwrap();
    let digest = pull(&target.base, &layout);
    sandbox.dockerfile("FROM nowhere.example/x\nRUN echo made >/made\n");
    for place in ["layout:kept", "layout", &format!("layout@{digest}")] {
        let name = target.repository("layout");
        sandbox
            .run(&format!(
                "{BOTH} -t {name}:1 --push --metadata-file meta.json \
                 --build-context nowhere.example/x=oci-layout://{place} ctx"
            ))
            .exits(0);
        let hub = Hub::new(&name);
        let index = hub.manifest("1");
        for platform in ["linux/amd64", "linux/arm64"] {
            assert_eq!(hub.file(&hub.image(&index, platform), "made"), b"made\n");
        }
        let contexts = &sandbox.json("meta.json")["mbuild.contexts"];
        assert_eq!(
            contexts["nowhere.example/x"],
            format!("oci-layout://{digest}")
        );
    }
}

fn what_cannot_be_a_context_is_refused_before_anything_starts(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM scratch\nCOPY --from=x . /\n");
    sandbox.write("file", "x");
    let layout = Layout::create(sandbox.path("layout")).unwrap();
    let digest = layout.put_blob(b"{\"schemaVersion\":2}").unwrap();
    fs::write(layout.blob_path(digest), b"{\"schemaVersion\":3}").unwrap();
    let absent = Digest::of(b"absent");
    let check = |value: &str, says: &[&str]| {
        let line = format!("{BOTH} -o out --build-context {value} ctx");
        sandbox.run(&line).exits(2).says(says);
        assert!(!sandbox.path("out").exists(), "{value}");
    };
    check(
        "x",
        &["`x` is not of the form name=source", "hint: such as"],
    );
    check("x=", &["--build-context x=: it has no value"]);
    check("x=none", &["cannot use the directory", "No such file"]);
    check("x=file", &["file is not a directory"]);
    check("x=target:y", &["in bake files only"]);
    check("x=s3://bucket", &["nothing is known of such addresses"]);
    check("x=docker-image://A", &["this is no image name"]);
    check(
        "x=https://h/a.git?tag=",
        &["`tag` is ``, which is not a value"],
    );
    check("x=oci-layout://ctx", &["is no OCI image layout"]);
    check("x=oci-layout://layout:v1", &["has no image `v1`"]);
    check(
        "x=oci-layout://layout",
        &["does not hold exactly one image"],
    );
    check(
        "x=oci-layout://layout@sha256:1",
        &["`sha256:1` is no digest"],
    );
    check(
        &format!("x=oci-layout://layout@{absent}"),
        &["lacks sha256:"],
    );
    check(
        &format!("x=oci-layout://layout@{digest}"),
        &[&digest.to_string()],
    );
}

fn repositories_and_files_on_the_web_have_names_too(target: &Target) {
    let host = target.get("HOST");
    let server = GitServer::new(host);
    let commit = server.commit(&[("sub/file", "of git")]);
    let web = WebServer::new(host, &[("/data", b"of the web".to_vec())]);
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM scratch\nCOPY --from=repo file /\nCOPY --from=data context /data\n");
    let (git, data) = (server.url(), web.url("/data"));
    sandbox
        .run(&format!(
            "{BOTH} -o out --metadata-file meta.json --build-context repo={git}?subdir=sub \
             --build-context data={data} ctx"
        ))
        .exits(0);
    for platform in ["linux_amd64", "linux_arm64"] {
        assert_eq!(sandbox.read(&format!("out/{platform}/file")), "of git");
        assert_eq!(sandbox.read(&format!("out/{platform}/data")), "of the web");
    }
    let contexts = &sandbox.json("meta.json")["mbuild.contexts"];
    assert_eq!(contexts["repo"], format!("{git}#{commit}:sub"));
    let digest = Digest::of(b"of the web");
    assert_eq!(contexts["data"], format!("{data}@{digest}"));
}
