//! Values of the OCI image format: indexes and descriptors that keep what they don't know.
//!
//! [`Index`] and [`Descriptor`] are what we write and re-hash; [`merge_index`] makes one
//! index of several. Configs and manifests are only read, with `oci-spec`. Only [`layout`] and
//! [`archive`] touch the disk.

pub mod archive;
pub mod attestation;
mod index;
pub mod layout;
pub mod media_type;
mod merge;
pub mod names;
mod read;

pub use index::{Descriptor, DescriptorPlatform, Index, ParseError};
pub use merge::{Child, MergeError, Root, merge_index};
pub use read::{blobs_below, config_platform, manifest_parts};

/// The annotation that says what kind of companion of an image a manifest is.
pub const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// The annotation that names the image that a companion belongs to, by digest.
pub const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// The value of [`REFERENCE_TYPE`] for provenance and SBOM.
pub const ATTESTATION: &str = "attestation-manifest";
