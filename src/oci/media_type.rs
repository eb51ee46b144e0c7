//! The media types of indexes, manifests and what they point to.

/// An OCI index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Docker's form of an index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's form of a manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What we ask a registry for when we want a manifest or an index: all forms, OCI first.
///
/// Without such a list a registry may convert to a form of 2016.
pub const ACCEPT: [&str; 4] = [INDEX, MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// Whether the type is an index, of OCI or of Docker.
pub fn is_index(media_type: &str) -> bool {
    media_type == INDEX || media_type == DOCKER_LIST
}

/// Whether the type is a manifest's, of OCI or of Docker.
pub fn is_manifest(media_type: &str) -> bool {
    media_type == MANIFEST || media_type == DOCKER_MANIFEST
}

/// Whether the type is Docker's own.
pub fn is_docker(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.")
}

/// The bare type of a `Content-Type` header: without parameters such as `charset`.
pub fn of_header(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headers_parameters_are_left_out() {
        assert_eq!(
            of_header("application/json; charset=utf-8"),
            "application/json"
        );
        assert_eq!(of_header(INDEX), INDEX);
        assert_eq!(of_header(""), "");
    }

    #[test]
    fn lists_count_as_indexes_and_as_dockers() {
        assert!(is_index(DOCKER_LIST) && is_docker(DOCKER_LIST));
        assert!(is_index(INDEX) && !is_docker(INDEX));
        assert!(!is_index(MANIFEST) && !is_index(DOCKER_MANIFEST));
    }
}
