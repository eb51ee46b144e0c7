//! The tables and keys of `mbuild.toml`, as the deserializer reads them.
//!
//! Says which keys there are and keeps the places of those that messages point at; what
//! the values mean is decided in `parse`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileTable {
    pub(super) version: Option<Spanned<u32>>,
    pub(super) builder: Option<Spanned<String>>,
    pub(super) allow_emulation: Option<bool>,
    #[serde(default)]
    pub(super) build: BuildTable,
    #[serde(default)]
    pub(super) builders: BTreeMap<Spanned<String>, BuilderTable>,
    #[serde(default)]
    pub(super) registries: BTreeMap<Spanned<String>, RegistryTable>,
}

/// `[build]`: defaults of `mbuild build`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildTable {
    #[serde(default)]
    pub(super) platforms: Vec<Spanned<String>>,
    pub(super) progress: Option<Spanned<String>>,
}

/// `[builders.NAME]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BuilderTable {
    pub(super) driver: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) nodes: Vec<NodeTable>,
}

/// `[[builders.NAME.nodes]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeTable {
    pub(super) name: Spanned<String>,
    pub(super) endpoint: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) platforms: Vec<Spanned<String>>,
    pub(super) slots: Option<NonZeroUsize>,
    pub(super) tls: Option<Spanned<TlsTable>>,
    pub(super) namespace: Option<Spanned<String>>,
    pub(super) kubeconfig: Option<Spanned<PathBuf>>,
    pub(super) context: Option<Spanned<String>>,
    pub(super) selector: Option<Spanned<String>>,
    pub(super) pods: Option<Spanned<Vec<String>>>,
    pub(super) container: Option<Spanned<String>>,
    pub(super) transport: Option<Spanned<String>>,
    pub(super) loadbalance: Option<Spanned<String>>,
    pub(super) port: Option<Spanned<u16>>,
    pub(super) created: Option<Spanned<bool>>,
}

/// `tls` of a node.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsTable {
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) server_name: Option<String>,
}

/// `[registries."host:port"]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryTable {
    #[serde(default)]
    pub(super) http: bool,
    #[serde(default)]
    pub(super) insecure: bool,
    pub(super) ca: Option<PathBuf>,
}
