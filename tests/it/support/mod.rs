//! What tests share: the other sides of our protocols, played or real.

pub(crate) mod bridge;
pub(crate) mod dockerfile_build;
pub(crate) mod exporter;
pub(crate) mod fake_buildkitd;
pub(crate) mod fake_registry;
pub(crate) mod images;
pub(crate) mod rawjson;
pub(crate) mod real;
pub(crate) mod session_caller;
