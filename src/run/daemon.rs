//! One daemon of a run: its connection, what it can do, and what its units share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::builder::{Answer, Instance, Node, Wanted};
use crate::buildkit::session::Services;
use crate::buildkit::{Connection, OpenSessionError};
use crate::event::{Event, UnitId};
use crate::unit::{ArchiveKind, BuildUnit, ExportKind};

use super::caches::Unsupported;
use super::error::UnitError;
use super::frontend;
use super::inputs::Inputs;
use super::schedule::Job;
use super::session::OpenSession;
use super::{Surroundings, lower};

/// A daemon that units of this run build on.
pub(super) struct Daemon {
    pub(super) connection: Connection,
    pub(super) instance: Instance,
    /// Serves the context to all units, when there are several; `None` with one unit, whose
    /// own session does.
    context: Option<OpenSession>,
    /// Caches that it does not know and that are left out.
    pub(super) unsupported: Unsupported,
    /// Bytes of context that were sent.
    pub(super) sent: Arc<AtomicU64>,
}

impl Daemon {
    /// Connects to a node's daemon, or takes the connection that planning left open.
    ///
    /// After a loss there are `lost` ones, and what planning left open is one of them.
    pub(super) async fn connect(
        node: &Node,
        units: &[&BuildUnit],
        lost: &[Instance],
        job: &Job<'_>,
    ) -> Result<Self, UnitError> {
        let (around, inputs) = (job.around, job.inputs);
        let open = around.open.get(node.name()).filter(|_| lost.is_empty());
        let Answer {
            instance,
            connection,
            ..
        } = match open {
            Some(answer) => answer.clone(),
            None => node.open(&wanted(units, lost, job)).await?,
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
        if !job.request.attestations.is_empty() {
            check_statements(&connection)?;
        }
        for unit in units {
            check(&connection, unit)?;
        }
        let unsupported = Unsupported::find(&connection, units, job).await?;
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
            instance,
            context,
            unsupported,
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
                layouts: inputs.layouts().clone(),
                is_docker: info.is_docker(),
                host_gateway: info.host_gateway_ip().and_then(|ip| ip.parse().ok()),
            },
            docker_store: info.is_docker(),
            insecure_registries: around.insecure_registries.clone(),
        }
    }

    /// Completes when the daemon does not take the context's session, if there is one.
    pub(super) async fn context_refused(&self) -> OpenSessionError {
        match &self.context {
            Some(session) => session.refused().await,
            None => std::future::pending().await,
        }
    }

    /// Ends what the units shared.
    pub(super) async fn close(self) {
        if let Some(session) = self.context {
            session.close().await;
        }
    }
}

/// Refuses statements about images where the engine's own store has no place for them.
fn check_statements(connection: &Connection) -> Result<(), UnitError> {
    let info = connection.info();
    if info.is_docker() && !info.containerd_store() {
        return Err(UnitError::Lacks {
            endpoint: connection.endpoint().to_owned(),
            lack: "is a Docker engine without the containerd image store, which supports neither \
                   --provenance nor --sbom"
                .to_owned(),
        });
    }
    Ok(())
}

/// What a node is asked for; who waits for it is told in every unit's name.
fn wanted<'a>(units: &[&BuildUnit], lost: &'a [Instance], job: &'a Job<'a>) -> Wanted<'a> {
    let units: Vec<UnitId> = units.iter().map(|unit| unit.id).collect();
    Wanted {
        key: &job.around.affinity,
        wait: job.request.wait,
        may_start: true,
        avoid: lost,
        tell: Box::new(move |reason: String| {
            for unit in &units {
                job.emit(Event::UnitWaiting {
                    unit: *unit,
                    reason: reason.clone(),
                });
            }
        }),
    }
}

const CLASSIC: &str = "is a Docker engine without the containerd image store";
const SWITCH: &str = "set `\"features\": {\"containerd-snapshotter\": true}` in its daemon.json";

/// Refuses what the daemon would silently do otherwise.
fn check(connection: &Connection, unit: &BuildUnit) -> Result<(), UnitError> {
    let info = connection.info();
    let archives = unit.exports.iter().any(|export| {
        matches!(
            export.kind,
            ExportKind::File(ArchiveKind::Oci | ArchiveKind::Docker)
        )
    });
    if archives && info.is_docker() && !info.containerd_store() {
        return Err(UnitError::Lacks {
            endpoint: connection.endpoint().to_owned(),
            lack: format!("{CLASSIC}, which makes no image archives; {SWITCH}"),
        });
    }
    let pushes = unit
        .exports
        .iter()
        .any(|export| export.kind == ExportKind::Push);
    if pushes && info.is_docker() && !info.containerd_store() {
        return Err(UnitError::Lacks {
            endpoint: connection.endpoint().to_owned(),
            lack: format!("{CLASSIC}, which cannot push what it builds; {SWITCH}"),
        });
    }
    Ok(())
}
