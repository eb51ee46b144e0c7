//! A context or a Dockerfile on stdin, which every node gets whole.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::hub::Hub;
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases};

const BOTH: &str = "--platform linux/amd64,linux/arm64";

cases!(beside:
    a_tar_reaches_both_nodes,
    a_gzipped_tar_reaches_both_nodes,
    tars_of_other_compressions_reach_both_nodes,
    a_dockerfile_in_a_tar_may_have_any_name,
    a_dockerfile_alone_needs_no_context,
    a_dockerfile_on_stdin_goes_with_a_directory,
    both_on_stdin_are_refused,
);

/// More than what fits into a pipe, or one message.
fn large() -> Vec<u8> {
    (0..3_000_000_u32).map(|at| (at % 251) as u8).collect()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Builds and pushes with this on stdin; both images then have these files.
#[track_caller]
fn check(target: &Target, line: &str, stdin: Vec<u8>, files: &[(&str, &[u8])]) {
    let sandbox = Sandbox::new(target);
    sandbox.write("ctx/file", "of the directory");
    let name = target.repository("stdin");
    sandbox
        .mbuild(&format!("{BOTH} -t {name}:1 --push {line}"))
        .stdin(stdin)
        .run()
        .exits(0);
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    for platform in ["linux/amd64", "linux/arm64"] {
        let image = hub.image(&index, platform);
        for (path, bytes) in files {
            assert!(hub.file(&image, path) == *bytes, "{path} on {platform}");
        }
    }
}

fn dockerfile(target: &Target, rest: &str) -> Vec<u8> {
    format!("FROM {}\n{rest}\n", target.base).into_bytes()
}

fn a_tar_reaches_both_nodes(target: &Target) {
    let dockerfile = dockerfile(target, "COPY sub/large small /");
    let (large, small): (_, &[u8]) = (large(), b"small");
    let tar = tar(&[
        ("Dockerfile", &dockerfile),
        ("sub/large", &large),
        ("small", small),
    ]);
    check(target, "-", tar, &[("large", &large), ("small", small)]);
}

fn a_gzipped_tar_reaches_both_nodes(target: &Target) {
    let dockerfile = dockerfile(target, "COPY sub/large /");
    let large = large();
    let tar = tar(&[("Dockerfile", &dockerfile), ("sub/large", &large)]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar).unwrap();
    check(target, "-", gzip.finish().unwrap(), &[("large", &large)]);
}

/// The same tar three times: a Dockerfile that copies `file`, which says what it is of.
fn tars_of_other_compressions_reach_both_nodes(target: &Target) {
    let bzip2 = include_bytes!("data/archives/context.tar.bz2");
    let xz = include_bytes!("data/archives/context.tar.xz");
    let dockerfile: &[u8] = b"FROM scratch\nCOPY file /\n";
    let tar = tar(&[("Dockerfile", dockerfile), ("file", b"of zstd\n")]);
    let fast = ruzstd::encoding::CompressionLevel::Fastest;
    // buildx takes this one for a Dockerfile.
    let zstd = ruzstd::encoding::compress_to_vec(&tar[..], fast);
    check(target, "-", bzip2.to_vec(), &[("file", b"of bzip2\n")]);
    check(target, "-", xz.to_vec(), &[("file", b"of xz\n")]);
    check(target, "-", zstd, &[("file", b"of zstd\n")]);
}

fn a_dockerfile_in_a_tar_may_have_any_name(target: &Target) {
    let dockerfile = dockerfile(target, "COPY small /");
    let tar = tar(&[("build/my.Dockerfile", &dockerfile), ("small", b"small")]);
    check(
        target,
        "-f build/my.Dockerfile -",
        tar,
        &[("small", b"small")],
    );
}

fn a_dockerfile_alone_needs_no_context(target: &Target) {
    let dockerfile = dockerfile(target, "RUN echo made >/made");
    check(target, "-", dockerfile, &[("made", b"made\n")]);
}

fn a_dockerfile_on_stdin_goes_with_a_directory(target: &Target) {
    let dockerfile = dockerfile(target, "COPY file /");
    check(
        target,
        "-f - ctx",
        dockerfile,
        &[("file", b"of the directory")],
    );
}

fn both_on_stdin_are_refused(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox
        .mbuild("-f - -")
        .stdin("FROM scratch\n")
        .run()
        .exits(2)
        .says(&["cannot both come on stdin"]);
    sandbox.mbuild("-").run().exits(2).says(&["stdin is empty"]);
    let tar = tar(&[("Dockerfile", b"FROM scratch\n")]);
    sandbox
        .mbuild("-f - ctx")
        .stdin(tar)
        .run()
        .exits(2)
        .says(&["stdin holds a tar"]);
}
