//! Other programs read what is built here, whole and with their own checks, and what they write
//! is read here: skopeo, umoci and buildah as Debian has them.

use std::path::PathBuf;
use std::process::Command;

use mbuild::digest::Digest;
use serde_json::Value;

use crate::support::hub::{Hub, text};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";
const ONE: &str = "--platform linux/amd64";

cases!(beside:
    skopeo_copies_a_pushed_index_whole,
    skopeo_copies_attestations_too,
    buildah_pulls_a_platform_of_a_pushed_index,
    umoci_unpacks_an_archive_of_one_platform,
    buildah_loads_archives_of_both_kinds,
    an_archive_of_several_platforms_is_an_index_to_skopeo,
    a_layout_of_several_platforms_is_an_index_to_skopeo,
    a_layout_of_skopeo_is_a_context_and_a_source,
    an_image_of_umoci_is_a_context_and_a_source,
);

/// Other programs, in a sandbox.
struct Others<'a> {
    sandbox: Sandbox,
    target: &'a Target,
}

impl<'a> Others<'a> {
    /// One whose context makes an image with a file that names its platform; `None` where the
    /// environment has no such programs.
    fn find(target: &'a Target) -> Option<Self> {
        for name in ["SKOPEO", "UMOCI", "BUILDAH"] {
            if target.find(name).is_none() {
                let text = format!("needs MBUILD_TEST_{name}: run tests/env/up");
                let must = std::env::var("CI").as_deref() == Ok("true");
                // The environment of a cluster has no such programs; ours must.
                assert!(!must || target.cluster.is_some(), "{text}");
                target.skip(&text);
                return None;
            }
        }
        let sandbox = Sandbox::new(target);
        sandbox.write(
            "policy",
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
        );
        sandbox.dockerfile(&format!(
            "FROM BASE\nARG TARGETARCH\nLABEL run={}\nRUN echo $TARGETARCH >/arch\n",
            fresh()
        ));
        Some(Self { sandbox, target })
    }

    fn build(&self, words: &str) {
        self.sandbox.run(&format!("{words} ctx")).exits(0);
    }

    /// Runs a program with words that are split at spaces; gives what it prints.
    #[track_caller]
    fn run(&self, name: &str, words: &str) -> Vec<u8> {
        let mut command = Command::new(self.target.get(name));
        command
            .args(words.split_whitespace())
            .current_dir(self.sandbox.path(""))
            .env("HOME", self.sandbox.path("home"))
            .env("TMPDIR", self.sandbox.path("tmp"));
        let output = command.output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {words}: {problem}");
        output.stdout
    }

    #[track_caller]
    fn skopeo(&self, words: &str) -> Vec<u8> {
        self.run("SKOPEO", &format!("--policy policy {words}"))
    }

    #[track_caller]
    fn umoci(&self, words: &str) -> Vec<u8> {
        self.run("UMOCI", words)
    }

    /// Its images are in the sandbox too, without any file system of its own.
    #[track_caller]
    fn buildah(&self, words: &str) -> String {
        let storage = "--root images --runroot state --storage-driver vfs";
        let printed = self.run("BUILDAH", &format!("{storage} {words}"));
        String::from_utf8(printed).unwrap().trim().to_owned()
    }

    /// Pulls an image, and reads a file of it.
    #[track_caller]
    fn buildah_reads(&self, source: &str, file: &str) -> String {
        let image = self.buildah(&format!("pull --signature-policy policy {source}"));
        // A pull may print the image's name before its id.
        let id = image.lines().last().unwrap();
        let container = self.buildah(&format!("from --pull-never {id}"));
        let at = PathBuf::from(self.buildah(&format!("mount {container}")));
        let text = std::fs::read_to_string(at.join(file)).unwrap();
        self.buildah(&format!("umount {container}"));
        self.buildah(&format!("rm {container}"));
        text
    }

    /// What a layout's index lists, as skopeo or we wrote it.
    fn layout(&self, dir: &str) -> Vec<Value> {
        let index = self.sandbox.json(&format!("{dir}/index.json"));
        index["manifests"].as_array().unwrap().clone()
    }

    /// Checks that skopeo, which verifies each blob, makes a layout of all that `source` holds,
    /// with both platforms in an index of this digest.
    #[track_caller]
    fn copies_whole(&self, source: &str, digest: &str) {
        self.skopeo(&format!(
            "copy --all --src-tls-verify=false {source} oci:copied:1"
        ));
        let entries = self.layout("copied");
        assert_eq!(entries.len(), 1);
        assert_eq!(text(&entries[0]["digest"]), digest, "{source}");
        let raw = self.skopeo("inspect --raw oci:copied:1");
        assert_eq!(Digest::of(&raw).to_string(), digest);
        let index: Value = serde_json::from_slice(&raw).unwrap();
        let arch = |entry: &Value| text(&entry["platform"]["architecture"]).to_owned();
        let mut found: Vec<_> = index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(arch)
            .collect();
        // What attestations are for.
        found.retain(|arch| arch != "unknown");
        assert_eq!(found, ["amd64", "arm64"]);
        for arch in ["amd64", "arm64"] {
            let shown = self.skopeo(&format!("--override-arch {arch} inspect oci:copied:1"));
            let shown: Value = serde_json::from_slice(&shown).unwrap();
            assert_eq!(shown["Architecture"], arch);
        }
    }
}

fn skopeo_copies_a_pushed_index_whole(target: &Target) {
    let Some(others) = Others::find(target) else {
        return;
    };
    let name = target.repository("interop");
    others.build(&format!("{BOTH} -t {name}:1 --push"));
    let index = Hub::new(&name).manifest("1");
    others.copies_whole(&format!("docker://{name}:1"), &index.digest);
}

fn skopeo_copies_attestations_too(target: &Target) {
    let Some(others) = Others::find(target) else {
        return;
    };
    let name = target.repository("interop");
    others.build(&format!("{BOTH} -t {name}:1 --push --provenance=mode=max"));
    let index = Hub::new(&name).manifest("1");
    assert_eq!(index.platforms().len(), 4);
    others.copies_whole(&format!("docker://{name}:1"), &index.digest);
    for entry in index.json["manifests"].as_array().unwrap() {
        let blob = text(&entry["digest"]).replace("sha256:", "copied/blobs/sha256/");
        assert!(others.sandbox.path(blob).is_file());
    }
}

fn buildah_pulls_a_platform_of_a_pushed_index(target: &Target) {
    let Some(others) = Others::find(target) else {
        return;
    };
    let name = target.repository("interop");
    others.build(&format!("{BOTH} -t {name}:1 --push"));
    for arch in ["amd64", "arm64"] {
        let source = format!("--tls-verify=false --arch {arch} docker://{name}:1");
        let read = others.buildah_reads(&source, "arch");
        assert_eq!(read, format!("{arch}\n"));
    }
}

fn umoci_unpacks_an_archive_of_one_platform(target: &Target) {
    let Some(others) = Others::find(target) else {
        return;
    };
    others.build(&format!("{ONE} -t a.example/x:1 -o type=oci,dest=made.tar"));
    others.skopeo("copy oci-archive:made.tar oci:layout:mine");
    let listed = others.umoci("ls --layout layout");
    assert_eq!(listed, b"mine\n");
    others.umoci("unpack --image layout:mine bundle");
    assert_eq!(others.sandbox.read("bundle/rootfs/arch"), "amd64\n");
}

fn buildah_loads_archives_of_both_kinds(target: &Target) {
    let Some(others) = Others::find(target) else {
        return;
    };
    for (kind, transport) in [("oci", "oci-archive"), ("docker", "docker-archive")] {
        others.build(&format!(
            "{ONE} -t a.example/x:{kind} -o type={kind},dest={kind}.tar"
        ));
        let read = others.buildah_reads(&format!("{transport}:{kind}.tar"), "arch");
        assert_eq!(read, "amd64\n", "{kind}");
        // It is found under its name.
        let name = format!("a.example/x:{kind}");
        let found = others.buildah(&format!("inspect --type image {name}"));
        assert!(
            found.contains(&format!("\"FromImage\": \"{name}\"")),
            "{found}"
        );
    }
}

fn an_archive_of_several_platforms_is_an_index_to_skopeo(target: &Target) {
    let Some(others) = Others::find(target) else {
        return;
    };
    others.build(&format!(
        "{BOTH} -t a.example/x:1 -o type=oci,dest=made.tar --metadata-file meta.json"
    ));
    let meta = others.sandbox.json("meta.json");
    others.copies_whole("oci-archive:made.tar", text(&meta["containerimage.digest"]));
}

fn a_layout_of_several_platforms_is_an_index_to_skopeo(target: &Target) {
    let Some(others) = Others::find(target) else {
        return;
    };
    others.build(&format!(
        "{BOTH} -t a.example/x:1 -o type=oci,dest=made,tar=false"
    ));
    let entries = others.layout("made");
    others.copies_whole("oci:made:1", text(&entries[0]["digest"]));
    let listed = others.umoci("ls --layout made");
    assert_eq!(listed, b"1\n");
}

/// Builds on top of an image of a layout, and pushes what stands there.
fn is_read(others: &Others<'_>, platforms: &str, image: &str) {
    let sandbox = &others.sandbox;
    sandbox.dockerfile(
        "FROM there AS made\nRUN cp /arch /again\nFROM scratch\nCOPY --from=made /again /\n",
    );
    others.build(&format!(
        "{platforms} --build-context there=oci-layout://{image} -o type=local,dest=out,platform-split=true"
    ));
    assert_eq!(sandbox.read("out/linux_amd64/again"), "amd64\n");
    if platforms == BOTH {
        assert_eq!(sandbox.read("out/linux_arm64/again"), "arm64\n");
    }
    let name = others.target.repository("interop");
    let hub = Hub::new(&name);
    let (dir, _) = image.split_once(':').unwrap();
    let digest = text(&others.layout(dir)[0]["digest"]).to_owned();
    sandbox
        .run(&format!("manifest copy oci-layout://{image} {name}:copied"))
        .exits(0);
    assert_eq!(hub.manifest("copied").digest, digest);
    sandbox
        .run(&format!(
            "manifest create -t {name}:created oci-layout://{image}"
        ))
        .exits(0);
    assert!(hub.find("created").is_some());
}

fn a_layout_of_skopeo_is_a_context_and_a_source(target: &Target) {
    let Some(others) = Others::find(target) else {
        return;
    };
    let name = target.repository("interop");
    others.build(&format!("{BOTH} -t {name}:1 --push"));
    others.skopeo(&format!(
        "copy --all --src-tls-verify=false docker://{name}:1 oci:theirs:mine"
    ));
    is_read(&others, BOTH, "theirs:mine");
}

fn an_image_of_umoci_is_a_context_and_a_source(target: &Target) {
    let Some(base) = target.find("BASE_DIR") else {
        return target.skip("needs the files of the base image (MBUILD_TEST_BASE_DIR)");
    };
    let Some(others) = Others::find(target) else {
        return;
    };
    others.umoci("init --layout theirs");
    others.umoci("new --image theirs:mine");
    others
        .umoci("config --image theirs:mine --os linux --architecture amd64 --config.env PATH=/bin");
    others.umoci(&format!("insert --image theirs:mine {base}/amd64 /"));
    others.sandbox.write("arch", "amd64\n");
    others.umoci("insert --image theirs:mine arch /arch");
    is_read(&others, ONE, "theirs:mine");
}
