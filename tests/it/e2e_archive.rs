//! Images and file trees as archives: from two nodes as one, whole or absent.
//!
//! What buildx does with several nodes is said at each case.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use mbuild::digest::Digest;
use mbuild::oci::archive::Archive;
use mbuild::oci::layout::Layout;
use mbuild::oci::{Descriptor, Index, names};

use crate::support::hub::Hub;
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    two_platforms_are_one_archive_and_equal_builds_equal_bytes,
    attestations_follow_their_images,
    one_platform_is_the_daemons_own_archive,
    an_archive_goes_to_stdout,
    a_layout_gets_new_images_and_keeps_the_old_ones,
    several_outputs_are_each_merged_their_own_way,
    archives_of_different_compression_come_from_one_build,
    images_of_different_compression_are_pushed_from_one_build,
    a_tar_of_two_platforms_has_a_directory_for_each,
    a_docker_archive_holds_one_platform,
    a_failed_build_leaves_the_old_archive,
    a_layout_of_another_version_is_refused_before_anything_is_built,
);

fn sandbox(target: &Target) -> Sandbox {
    let sandbox = Sandbox::new(target);
    sandbox.write("ctx/file", "of the context");
    sandbox.dockerfile("FROM BASE\nARG TARGETARCH\nCOPY file /file\nRUN echo $TARGETARCH >/arch\n");
    sandbox
}

/// The platforms of the one image in an archive, every blob of which is checked.
#[track_caller]
fn platforms(path: &Path) -> Vec<String> {
    let archive = Archive::read(File::open(path).unwrap()).unwrap();
    let root = archive.root().unwrap();
    for blob in archive.closure(&root).unwrap().values() {
        archive.copy(blob, &mut std::io::sink()).unwrap();
    }
    listed(&archive.document(&root).unwrap(), &root)
}

fn listed(document: &[u8], root: &Descriptor) -> Vec<String> {
    let entries = match Index::parse(document) {
        Ok(index) => index.manifests,
        Err(_) => vec![root.clone()],
    };
    let platforms = entries.iter().filter_map(Descriptor::known_platform);
    platforms.map(|platform| platform.to_string()).collect()
}

#[track_caller]
fn only(dir: &Path, expect: &[&str]) {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, expect);
}

/// buildx: "oci for multi-node builds currently not supported".
fn two_platforms_are_one_archive_and_equal_builds_equal_bytes(target: &Target) {
    let sandbox = sandbox(target);
    let line = |file: &str| {
        format!(
            "{BOTH} -t app:1 -t r.io/app:2 --metadata-file {file}.json --iidfile {file}.id \
             -o type=oci,dest=out/{file} ctx"
        )
    };
    sandbox.run(&line("a.tar")).exits(0).prints_nothing();
    sandbox.run(&line("b.tar")).exits(0);
    let a = sandbox.path("out/a.tar");
    assert_eq!(platforms(&a), ["linux/amd64", "linux/arm64"]);
    only(&sandbox.path("out"), &["a.tar", "b.tar"]);
    assert!(fs::read(&a).unwrap() == fs::read(sandbox.path("out/b.tar")).unwrap());
    let archive = Archive::read(File::open(&a).unwrap()).unwrap();
    let names = names::listed(archive.index());
    assert_eq!(names, ["docker.io/library/app:1", "r.io/app:2"]);
    let digest = archive.root().unwrap().digest.to_string();
    let metadata = sandbox.json("a.tar.json");
    assert_eq!(metadata["containerimage.digest"], *digest);
    assert_eq!(metadata["image.name"], "docker.io/library/app:1,r.io/app:2");
    let manifest = metadata["mbuild.platforms"]["linux/arm64"]["manifest"].as_str();
    let index = Index::parse(&archive.document(&archive.root().unwrap()).unwrap()).unwrap();
    assert_eq!(manifest, Some(&*index.manifests[1].digest.to_string()));
    assert_eq!(sandbox.read("a.tar.id"), digest);
}

fn attestations_follow_their_images(target: &Target) {
    let sandbox = sandbox(target);
    sandbox
        .run(&format!(
            "{BOTH} -t app:1 --provenance=mode=min -o type=oci,dest=image.tar ctx"
        ))
        .exits(0);
    let path = sandbox.path("image.tar");
    assert_eq!(platforms(&path), ["linux/amd64", "linux/arm64"]);
    let archive = Archive::read(File::open(path).unwrap()).unwrap();
    let document = archive.document(&archive.root().unwrap()).unwrap();
    let entries = Index::parse(&document).unwrap().manifests;
    let attests: Vec<_> = entries.iter().map(Descriptor::attests).collect();
    let [one, two] = [entries[0].digest, entries[2].digest];
    assert_eq!(attests, [None, Some(one), None, Some(two)]);
}

fn one_platform_is_the_daemons_own_archive(target: &Target) {
    let sandbox = sandbox(target);
    sandbox
        .run("--platform linux/arm64 -t app:1 --iidfile id -o type=oci,dest=image.tar ctx")
        .exits(0);
    let path = sandbox.path("image.tar");
    assert_eq!(platforms(&path), ["linux/arm64"]);
    let archive = Archive::read(File::open(&path).unwrap()).unwrap();
    let manifest = archive.document(&archive.root().unwrap()).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["config"]["digest"], *sandbox.read("id"));
}

fn an_archive_goes_to_stdout(target: &Target) {
    let sandbox = sandbox(target);
    let ran = sandbox.run(&format!("{BOTH} -o type=oci ctx")).exits(0);
    sandbox.write("image.tar", &ran.stdout);
    let path = sandbox.path("image.tar");
    assert_eq!(platforms(&path), ["linux/amd64", "linux/arm64"]);
    sandbox.dockerfile("FROM BASE\nARG TARGETARCH\nRUN [ $TARGETARCH = amd64 ]\n");
    sandbox
        .run(&format!("{BOTH} -o type=oci ctx"))
        .exits(1)
        .prints_nothing();
}

/// buildx: refused with several nodes, and with `tar=false` only one such output a build.
fn a_layout_gets_new_images_and_keeps_the_old_ones(target: &Target) {
    let sandbox = sandbox(target);
    let line = |tag: &str| format!("{BOTH} -t {tag} -o type=oci,tar=false,dest=layout ctx");
    sandbox.run(&line("app:1")).exits(0);
    let layout = Layout::open(sandbox.path("layout")).unwrap();
    let first = layout.find("app:1").unwrap();
    sandbox.run(&line("app:1")).exits(0);
    assert_eq!(layout.index().unwrap().manifests.len(), 1);
    sandbox.write("ctx/file", "another");
    sandbox.run(&line("app:2")).exits(0);
    assert_eq!(layout.find("app:1").unwrap(), first);
    let second = layout.find("app:2").unwrap();
    assert_ne!(second.digest, first.digest);
    let document = layout.read_manifest(&second).unwrap();
    assert_eq!(listed(&document, &second), ["linux/amd64", "linux/arm64"]);
    for blob in fs::read_dir(sandbox.path("layout/blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        let digest = Digest::of(&fs::read(blob.path()).unwrap());
        assert_eq!(blob.file_name().to_str(), Some(&*digest.hex()));
    }
    only(layout.dir(), &["blobs", "index.json", "oci-layout"]);
}

/// buildx: the archive is refused, and of two pushes the second repository gets one platform.
fn several_outputs_are_each_merged_their_own_way(target: &Target) {
    let sandbox = sandbox(target);
    let name = target.repository("mixed");
    sandbox
        .run(&format!(
            "{BOTH} --metadata-file m.json -o files -o type=oci,dest=image.tar \
             -o type=image,push=true,name={name}:1 -o type=tar,dest=files.tar ctx"
        ))
        .exits(0);
    assert_eq!(sandbox.read("files/linux_arm64/arch"), "arm64\n");
    let path = sandbox.path("image.tar");
    assert_eq!(platforms(&path), ["linux/amd64", "linux/arm64"]);
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    assert_eq!(index.platforms(), ["linux/amd64", "linux/arm64"]);
    assert_eq!(
        hub.file(&hub.image(&index, "linux/arm64"), "arch"),
        b"arm64\n"
    );
    assert_eq!(
        sandbox.json("m.json")["containerimage.digest"],
        *index.digest
    );
    assert!(sandbox.path("files.tar").exists());
}

fn archives_of_different_compression_come_from_one_build(target: &Target) {
    let sandbox = sandbox(target);
    sandbox
        .run(&format!(
            "{BOTH} -o type=oci,dest=gzip.tar -o \
             type=oci,dest=plain.tar,compression=uncompressed,force-compression=true ctx"
        ))
        .exits(0);
    let media_types = |file: &str| {
        let archive = Archive::read(File::open(sandbox.path(file)).unwrap()).unwrap();
        let root = archive.root().unwrap();
        let blobs = archive.closure(&root).unwrap();
        let types = blobs.into_values().map(|blob| blob.media_type);
        types
            .filter(|name| name.contains(".layer."))
            .collect::<Vec<_>>()
    };
    let (gzip, plain) = (media_types("gzip.tar"), media_types("plain.tar"));
    assert!(gzip.iter().all(|name| name.ends_with("+gzip")), "{gzip:?}");
    assert!(plain.iter().all(|name| name.ends_with(".tar")), "{plain:?}");
}

/// buildx: the daemon's answer names one digest for both, and one of the merges fails.
fn images_of_different_compression_are_pushed_from_one_build(target: &Target) {
    let sandbox = sandbox(target);
    let (gzip, zstd) = (target.repository("gzip"), target.repository("zstd"));
    sandbox
        .run(&format!(
            "{BOTH} -o type=image,push=true,name={zstd}:1,compression=zstd,force-compression=true \
             -o type=image,push=true,name={gzip}:1 ctx"
        ))
        .exits(0);
    for (repository, end) in [(gzip, "+gzip"), (zstd, "+zstd")] {
        let hub = Hub::new(&repository);
        let image = hub.image(&hub.manifest("1"), "linux/arm64");
        let layers = image.json["layers"].as_array().unwrap();
        let media_type = layers.last().unwrap()["mediaType"].as_str().unwrap();
        assert!(media_type.ends_with(end), "{media_type}");
    }
}

/// buildx: "tar for multi-node builds currently not supported".
fn a_tar_of_two_platforms_has_a_directory_for_each(target: &Target) {
    let sandbox = sandbox(target);
    sandbox.dockerfile(
        "FROM BASE AS made\nARG TARGETARCH\nRUN mkdir /t && echo $TARGETARCH >/t/arch && \
         ln -s /arch /t/absolute && ln -s arch /t/relative && ln /t/arch /t/hard && \
         chmod 0751 /t/arch\nFROM scratch\nCOPY --from=made /t /\n",
    );
    let line = |file: &str| format!("{BOTH} -o type=tar,dest={file} ctx");
    sandbox.run(&line("a.tar")).exits(0);
    sandbox.run(&line("b.tar")).exits(0);
    let bytes = |file: &str| fs::read(sandbox.path(file)).unwrap();
    assert!(bytes("a.tar") == bytes("b.tar"));
    let mut tar = tar::Archive::new(File::open(sandbox.path("a.tar")).unwrap());
    let mut found = BTreeMap::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let link = entry
            .link_name()
            .unwrap()
            .map(|link| link.display().to_string());
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let mode = entry.header().mode().unwrap() & 0o7777;
        found.insert(path, (link.unwrap_or(text), mode));
    }
    let content = |path: &str| found[path].0.as_str();
    assert_eq!(content("linux_arm64/relative"), "arch");
    assert_eq!(content("linux_arm64/absolute"), "/linux_arm64/arch");
    let first = ["linux_amd64/arch", "linux_amd64/hard"].map(content);
    assert!(first.contains(&"amd64\n"), "{first:?}");
    assert!(
        first.iter().any(|link| link.starts_with("linux_amd64/")),
        "{first:?}"
    );
    assert_eq!(found["linux_arm64/arch"].1, 0o751);
    assert!(found.contains_key("linux_amd64/") && found.contains_key("linux_arm64/"));
}

/// As in buildx, but known before anything is built, and a layout directory works too.
fn a_docker_archive_holds_one_platform(target: &Target) {
    let sandbox = sandbox(target);
    sandbox
        .run(&format!("{BOTH} -t app:1 -o type=docker,dest=two.tar ctx"))
        .exits(2)
        .says(&["type=docker", "type=oci"])
        .says_not(&["#1 "]);
    sandbox
        .run("--platform linux/arm64 -t app:1 -o type=docker,dest=one.tar ctx")
        .exits(0);
    let mut tar = tar::Archive::new(File::open(sandbox.path("one.tar")).unwrap());
    let mut entries = tar.entries().unwrap().map(Result::unwrap);
    assert!(entries.any(|entry| entry.path().unwrap().ends_with("manifest.json")));
    sandbox
        .run("--platform linux/arm64 -t app:1 -o type=docker,tar=false,dest=one ctx")
        .exits(0);
    let layout = Layout::open(sandbox.path("one")).unwrap();
    assert!(layout.read_manifest(&layout.find("app:1").unwrap()).is_ok());
}

fn a_failed_build_leaves_the_old_archive(target: &Target) {
    let sandbox = sandbox(target);
    sandbox.write("out/image.tar", "old");
    sandbox.dockerfile("FROM BASE\nARG TARGETARCH\nRUN [ $TARGETARCH = amd64 ]\n");
    let line = format!("{BOTH} -o type=oci,dest=out/image.tar -o type=oci,tar=false,dest=new ctx");
    sandbox.run(&line).exits(1);
    assert_eq!(sandbox.read("out/image.tar"), "old");
    only(&sandbox.path("out"), &["image.tar"]);
    assert!(!sandbox.path("new").exists());
}

fn a_layout_of_another_version_is_refused_before_anything_is_built(target: &Target) {
    let sandbox = sandbox(target);
    sandbox.write("layout/oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#);
    sandbox
        .run(&format!("{BOTH} -o type=oci,tar=false,dest=layout ctx"))
        .exits(4)
        .says(&["nothing was built", "version 2.0.0"])
        .says_not(&["#1 "]);
    only(&sandbox.path("layout"), &["oci-layout"]);
}
