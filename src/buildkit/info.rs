//! What a daemon says of itself: its version, its workers, what they run on.
//!
//! The version is for people. Nothing is decided by it: distributions leave it empty or
//! write `v0.0.0+unknown`.

use std::collections::BTreeMap;

use mbuild_proto::control::control_client::ControlClient;
use mbuild_proto::control::{InfoRequest, ListWorkersRequest};
use mbuild_proto::{pb, types};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::platform::Platform;

const SNAPSHOTTER: &str = "org.mobyproject.buildkit.worker.snapshotter";
const HOST_GATEWAY_IP: &str = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";

/// What a daemon says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonInfo {
    /// The version as the daemon calls it; `None` if it says nothing.
    pub version: Option<String>,
    /// Its workers; the first one builds unless asked otherwise.
    pub workers: Vec<Worker>,
    /// Whether it is the BuildKit inside a Docker engine.
    pub docker: bool,
}

/// One worker of a daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Worker {
    /// The worker's id.
    pub id: String,
    /// What it can build for; the first one is native, the others may be emulated.
    pub platforms: Vec<Platform>,
    /// Facts about it, by name.
    pub labels: BTreeMap<String, String>,
}

impl DaemonInfo {
    /// Asks the daemon; an old one without `Info` is asked for its workers only.
    pub(super) async fn ask(client: ControlClient<Channel>) -> Result<Self, Status> {
        let (mut for_workers, mut for_info) = (client.clone(), client);
        let (workers, info) = tokio::join!(
            for_workers.list_workers(ListWorkersRequest::default()),
            for_info.info(InfoRequest::default()),
        );
        let records = workers?.into_inner().record;
        let version = match info {
            Ok(info) => info.into_inner().buildkit_version,
            Err(status) if status.code() == Code::Unimplemented => None,
            Err(status) => return Err(status),
        };
        Ok(Self::from_wire(version, records))
    }

    fn from_wire(
        version: Option<types::BuildkitVersion>,
        records: Vec<types::WorkerRecord>,
    ) -> Self {
        let first = records
            .first()
            .and_then(|record| record.buildkit_version.clone());
        let version = version.or(first).map(|version| version.version);
        let mut info = Self {
            version: version.filter(|version| !version.is_empty()),
            workers: records.into_iter().map(Worker::from_wire).collect(),
            docker: false,
        };
        // Engines before 23 have no such label; there, the way to them tells.
        info.docker = info.label(HOST_GATEWAY_IP).is_some();
        info
    }

    /// The worker that builds unless asked otherwise; `None` if there is none at all.
    pub fn default_worker(&self) -> Option<&Worker> {
        self.workers.first()
    }

    /// Tells whether this is the BuildKit inside a Docker engine.
    pub fn is_docker(&self) -> bool {
        self.docker
    }

    /// Tells whether a Docker engine keeps images in containerd's store, which decides the
    /// exporters it has. Of no meaning for other daemons.
    pub fn containerd_store(&self) -> bool {
        self.label(SNAPSHOTTER).is_some()
    }

    /// What `host-gateway` stands for in `--add-host`; `None` unless a Docker engine says.
    pub fn host_gateway_ip(&self) -> Option<&str> {
        self.label(HOST_GATEWAY_IP)
            .filter(|address| !address.is_empty())
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.default_worker()?.labels.get(name).map(String::as_str)
    }
}

impl Worker {
    fn from_wire(record: types::WorkerRecord) -> Self {
        Self {
            id: record.id,
            platforms: record.platforms.into_iter().map(platform).collect(),
            labels: record.labels,
        }
    }
}

fn platform(wire: pb::Platform) -> Platform {
    let platform = Platform {
        os: wire.os,
        architecture: wire.architecture,
        variant: wire.variant,
        os_version: wire.os_version,
        os_features: wire.os_features,
    };
    platform.normalized()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(labels: &[(&str, &str)], version: &str) -> types::WorkerRecord {
        types::WorkerRecord {
            id: "w".into(),
            labels: labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            platforms: vec![pb::Platform {
                os: "linux".into(),
                architecture: "aarch64".into(),
                ..pb::Platform::default()
            }],
            buildkit_version: Some(types::BuildkitVersion {
                version: version.into(),
                ..types::BuildkitVersion::default()
            }),
            ..types::WorkerRecord::default()
        }
    }

    #[test]
    fn platforms_are_normalized() {
        let info = DaemonInfo::from_wire(None, vec![worker(&[], "")]);
        let platforms = &info.default_worker().unwrap().platforms;
        assert_eq!(platforms[..], [Platform::new("linux", "arm64")]);
    }

    #[test]
    fn an_empty_version_is_none_and_a_workers_version_serves() {
        assert_eq!(
            DaemonInfo::from_wire(None, vec![worker(&[], "")]).version,
            None
        );
        let info = DaemonInfo::from_wire(None, vec![worker(&[], "v0.10.6")]);
        assert_eq!(info.version.as_deref(), Some("v0.10.6"));
    }

    #[test]
    fn labels_tell_a_docker_engine_and_its_store() {
        let plain = DaemonInfo::from_wire(None, vec![worker(&[(SNAPSHOTTER, "overlayfs")], "")]);
        assert!(!plain.is_docker());
        let classic =
            DaemonInfo::from_wire(None, vec![worker(&[(HOST_GATEWAY_IP, "10.0.0.1")], "")]);
        assert!(classic.is_docker() && !classic.containerd_store());
        assert_eq!(classic.host_gateway_ip(), Some("10.0.0.1"));
        let labels = [(HOST_GATEWAY_IP, ""), (SNAPSHOTTER, "overlayfs")];
        let modern = DaemonInfo::from_wire(None, vec![worker(&labels, "")]);
        assert!(modern.is_docker() && modern.containerd_store());
        assert_eq!(modern.host_gateway_ip(), None);
        assert_eq!(DaemonInfo::default().default_worker(), None);
    }
}
