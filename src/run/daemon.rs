//! One daemon of a run: its connection, what it can do, and what its units share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::builder::Node;
use crate::buildkit::Connection;
use crate::buildkit::session::Services;
use crate::unit::{BuildUnit, ExportKind};

use super::error::UnitError;
use super::frontend;
use super::inputs::Inputs;
use super::session::OpenSession;
use super::{Surroundings, lower};

/// A daemon that units of this run build on.
pub(super) struct Daemon {
    pub(super) connection: Connection,
    pub(super) instance: Option<String>,
    /// Serves the context to all units, when there are several; `None` with one unit, whose
    /// own session does.
    context: Option<OpenSession>,
    /// Bytes of context that were sent.
    pub(super) sent: Arc<AtomicU64>,
}

impl Daemon {
    /// Connects to a node's daemon, or takes the connection that planning left open.
    pub(super) async fn connect(
        node: &Node,
        units: &[&BuildUnit],
        inputs: &Inputs,
        around: &Surroundings,
    ) -> Result<Self, UnitError> {
        let (connection, instance) = match around.open.get(node.name()) {
            Some(answer) => (answer.connection.clone(), answer.instance.clone()),
            None => {
                let instances = node.instances().await?;
                let instance = instances
                    .into_iter()
                    .next()
                    .ok_or_else(|| UnitError::Lacks {
                        endpoint: format!("node {}", node.name()),
                        lack: "has no daemon".to_owned(),
                    })?;
                (Connection::open(node.dialer(&instance)?).await?, instance)
            }
        };
        tracing::info!(
            "node {}: {} (BuildKit {})",
            node.name(),
            connection.endpoint(),
            connection
                .info()
                .version
                .as_deref()
                .unwrap_or("of unknown version"),
        );
        for unit in units {
            check(&connection, unit)?;
        }
        let sent = Arc::new(AtomicU64::new(0));
        let context = match units.len() {
            0 | 1 => None,
            _ => {
                let services = inputs.serve(Services::new(), &sent)?;
                Some(OpenSession::open(&connection, &around.shared_key, services).await?)
            }
        };
        Ok(Daemon {
            connection,
            instance: instance.name,
            context,
            sent,
        })
    }

    /// What a unit's Solve has to know of this daemon.
    pub(super) fn target(&self, inputs: &Inputs, around: &Surroundings) -> lower::Target {
        let info = self.connection.info();
        lower::Target {
            frontend: frontend::Surroundings {
                context_session: self.context.as_ref().map(|session| session.id.clone()),
                upload: inputs.upload_id().map(str::to_owned),
                is_docker: info.is_docker(),
                host_gateway: info.host_gateway_ip().and_then(|ip| ip.parse().ok()),
            },
            docker_store: info.is_docker(),
            insecure_registries: around.insecure_registries.clone(),
        }
    }

    /// Ends what the units shared.
    pub(super) async fn close(self) {
        if let Some(session) = self.context {
            session.close().await;
        }
    }
}

/// Refuses what the daemon would silently do otherwise.
fn check(connection: &Connection, unit: &BuildUnit) -> Result<(), UnitError> {
    let info = connection.info();
    let pushes = unit
        .exports
        .iter()
        .any(|export| export.kind == ExportKind::Push);
    if pushes && info.is_docker() && !info.containerd_store() {
        return Err(UnitError::Lacks {
            endpoint: connection.endpoint().to_owned(),
            lack: "is a Docker engine without the containerd image store, which cannot push what \
                   it builds; set `\"features\": {\"containerd-snapshotter\": true}` in its \
                   daemon.json"
                .to_owned(),
        });
    }
    Ok(())
}
