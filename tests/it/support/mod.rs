//! What tests share: the other sides of our protocols, played or real.

pub(crate) mod authority;
pub(crate) mod bridge;
pub(crate) mod buildx;
pub(crate) mod cluster;
pub(crate) mod dockerfile_build;
pub(crate) mod engine;
pub(crate) mod exporter;
pub(crate) mod fake_buildkitd;
pub(crate) mod fake_registry;
pub(crate) mod git_server;
pub(crate) mod guarded_server;
pub(crate) mod hub;
pub(crate) mod images;
pub(crate) mod kube_api;
pub(crate) mod listing;
pub(crate) mod pipeline;
pub(crate) mod ran;
pub(crate) mod rawjson;
pub(crate) mod real;
pub(crate) mod sandbox;
pub(crate) mod session_caller;
pub(crate) mod ssh_agent;
pub(crate) mod target;
pub(crate) mod turn;
pub(crate) mod web_server;
