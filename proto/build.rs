//! Compiles the `.proto` files beside this script; no `protoc` is needed.

use std::error::Error;

use tonic_build::manual;

/// One file per wire package.
const PROTOS: &[&str] = &[
    "content.proto",
    "control.proto",
    "exporter.proto",
    "filesync.proto",
    "frontend.proto",
    "fsutil.proto",
    "health.proto",
    "pb.proto",
    "rpc.proto",
    "secrets.proto",
    "sourcepolicy.proto",
    "sshforward.proto",
    "types.proto",
    "upload.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for proto in PROTOS {
        println!("cargo:rerun-if-changed={proto}");
    }
    println!("cargo:rerun-if-changed=build.rs");

    let files = protox::compile(PROTOS, ["."])?;
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .build_transport(false)
        // A server implements the methods it knows; the others answer Unimplemented.
        .generate_default_stubs(true)
        // One tree of modules, shaped like the packages, so that they find each other.
        .include_file("wire.rs")
        .compile_fds(files)?;

    manual::Builder::new()
        .build_transport(false)
        .compile(&[file_send()]);
    Ok(())
}

/// `FileSend`, whose messages have one of two types: it passes their bytes on undecoded.
fn file_send() -> manual::Service {
    let diff_copy = manual::Method::builder()
        .name("diff_copy")
        .route_name("DiffCopy")
        .comment("What an exporter sends to the client, one stream per output")
        .input_type("bytes::Bytes")
        .output_type("bytes::Bytes")
        .codec_path("crate::RawCodec")
        .client_streaming()
        .server_streaming()
        .build();
    manual::Service::builder()
        .name("FileSend")
        .package("moby.filesync.v1")
        .method(diff_copy)
        .build()
}
