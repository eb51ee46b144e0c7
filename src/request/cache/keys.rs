//! The keys that each kind of cache knows, on either side.

use super::{CacheKind, CacheSide};

/// What every place that cache is written to knows, before its own keys.
macro_rules! export {
    ($($key:literal),*) => {
        &[
            "type", "mode", "ignore-error", "compression", "compression-level",
            "force-compression", $($key),*
        ]
    };
}
/// What every place that cache is read from knows, before its own keys.
macro_rules! import {
    ($($key:literal),*) => { &["type", "ignore-error", $($key),*] };
}
/// What GitHub's cache knows, whichever side it is.
macro_rules! gha {
    ($side:ident) => {
        $side!(
            "scope",
            "token",
            "url",
            "url_v2",
            "version",
            "timeout",
            "repository",
            "ghtoken"
        )
    };
}
/// What a bucket knows, whichever side it is.
macro_rules! s3 {
    ($side:ident) => {
        $side!(
            "bucket",
            "region",
            "name",
            "prefix",
            "blobs_prefix",
            "manifests_prefix",
            "endpoint_url",
            "use_path_style",
            "access_key_id",
            "secret_access_key",
            "session_token",
            "touch_refresh",
            "upload_parallelism",
            "retry_mode",
            "retry_max_attempts",
            "disable_accept_encoding"
        )
    };
}
/// What a blob container knows, whichever side it is.
macro_rules! azblob {
    ($side:ident) => {
        $side!(
            "account_url",
            "account_name",
            "container",
            "name",
            "prefix",
            "blobs_prefix",
            "manifests_prefix",
            "secret_access_key"
        )
    };
}

/// Kinds of cache that can be written.
pub(super) const EXPORTS: &str = "registry, local, inline, gha, s3 or azblob";
/// Kinds of cache that can be read.
pub(super) const IMPORTS: &str = "registry, local, gha, s3 or azblob";

/// Keys whose values are `true` or `false`.
pub(super) const BOOLEANS: &[&str] = &[
    "force-compression",
    "ignore-error",
    "image-manifest",
    "oci-mediatypes",
    "registry.insecure",
    "reset",
    "use_path_style",
];

/// The keys of a kind; `None` for a kind that is not known, or not on this side.
pub(super) fn known(kind: &CacheKind, side: CacheSide) -> Option<&'static [&'static str]> {
    use CacheKind::{Azblob, Gha, Inline, Local, Other, Registry, S3};
    use CacheSide::{From, To};
    Some(match (kind, side) {
        (Registry, To) => export!(
            "ref",
            "image-manifest",
            "oci-mediatypes",
            "registry.insecure"
        ),
        (Registry, From) => import!("ref", "registry.insecure"),
        (Local, To) => export!("dest", "tag", "reset", "image-manifest", "oci-mediatypes"),
        (Local, From) => import!("src", "tag", "digest"),
        (Inline, To) => &["type", "mode", "ignore-error"],
        (Gha, To) => gha!(export),
        (Gha, From) => gha!(import),
        (S3, To) => s3!(export),
        (S3, From) => s3!(import),
        (Azblob, To) => azblob!(export),
        (Azblob, From) => azblob!(import),
        (Inline, From) | (Other(_), _) => return None,
    })
}
