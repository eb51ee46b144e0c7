//! One unit: a session, a Solve and its status, each ended on every way out.
//!
//! The session is asked for before the Solve and closes after it; the status outlives the Solve.
//! Dropping the Solve is what cancels a build on its daemon.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::buildkit::session::{Services, SshWarnings};
use crate::buildkit::{SolveSpec, history};
use crate::event::{Event, UnitId};
use crate::unit::{BuildUnit, UnitOutput};

use super::Surroundings;
use super::caches::{Caches, Mask};
use super::daemon::Daemon;
use super::error::UnitError;
use super::lower::{self, Names};
use super::provenance::{self, PROVENANCE};
use super::schedule::Job;
use super::session::OpenSession;

/// How often moved bytes are told.
const TRANSFER_TICK: Duration = Duration::from_millis(250);
/// How long the last progress of a cancelled build is waited for; the user wants to go.
const CANCELLED_GRACE: Duration = Duration::from_millis(500);
/// How long the last progress of any other build is waited for, whatever still comes.
const STATUS_LIMIT: Duration = Duration::from_secs(15);

/// A unit's try, and what came of it.
pub(super) struct Attempt {
    /// The id of its Solve; empty when there was none.
    pub(super) reference: String,
    pub(super) result: Result<UnitOutput, UnitError>,
}

impl Attempt {
    /// One that never began.
    pub(super) fn cancelled() -> Self {
        Attempt {
            reference: String::new(),
            result: Err(UnitError::Cancelled),
        }
    }
}

/// Builds one unit on its daemon.
pub(super) async fn run(
    job: &Job<'_>,
    unit: &BuildUnit,
    daemon: &Daemon,
    cancel: &CancellationToken,
) -> Attempt {
    let reference = job.reference(unit.id);
    let result = build(job, unit, daemon, &reference, cancel).await;
    Attempt { reference, result }
}

async fn build(
    job: &Job<'_>,
    unit: &BuildUnit,
    daemon: &Daemon,
    reference: &str,
    cancel: &CancellationToken,
) -> Result<UnitOutput, UnitError> {
    let received = Arc::new(AtomicU64::new(0));
    let caches = Caches::new(unit, job.found, &daemon.unsupported);
    let services = caches.serve(services(job, unit, daemon, &received)?);
    let opening = OpenSession::open(&daemon.connection, &job.around.shared_key, services);
    let session = tokio::select! {
        session = opening => session?,
        () = cancel.cancelled() => return Err(UnitError::Cancelled),
    };
    let names = Names {
        reference: reference.to_owned(),
        session: session.id.clone(),
    };
    let target = daemon.target(job.inputs, job.around);
    let spec = lower::solve_spec(job.request, unit, &caches, &target, &names)?;
    let traffic = Traffic {
        unit: unit.id,
        sent: Arc::clone(&daemon.sent),
        received,
        events: job.around.events.clone(),
    };
    let verdict = tokio::select! {
        verdict = solve(job, daemon, &spec, unit, cancel) => verdict,
        refusal = session.refused() => Err(refusal.into()),
        refusal = daemon.context_refused() => Err(refusal.into()),
        never = traffic.tell() => match never {},
    };
    traffic.tell_rest();
    session.close().await;
    let mut output = match (verdict, job.stages.failure(unit)) {
        // The daemon tells of our own failure as if it were the build's.
        (Err(UnitError::Solve(_)), Some(reason)) => return Err(UnitError::Write(reason)),
        (verdict, _) => match (verdict, caches.failure()) {
            (Err(UnitError::Solve(_)), Some(reason)) => return Err(UnitError::Cache(reason)),
            (verdict, _) => verdict?,
        },
    };
    caches.keep(&output.response, job).await?;
    job.stages.check(unit, daemon.connection.endpoint())?;
    if job.request.recorded.is_some()
        && let Some(predicate) = provenance::recorded(&daemon.connection, reference).await
    {
        output.response.insert(PROVENANCE.to_owned(), predicate);
    }
    match unit.mixes_images() {
        true => tell_apart(output, daemon, reference).await,
        false => Ok(output),
    }
}

/// Asks the daemon's history what each exporter left: the answer has the last one's keys only.
async fn tell_apart(
    mut output: UnitOutput,
    daemon: &Daemon,
    reference: &str,
) -> Result<UnitOutput, UnitError> {
    let exported = history::exported(&daemon.connection, reference).await;
    let Some(exported) = exported else {
        return Err(UnitError::Lacks {
            endpoint: daemon.connection.endpoint().to_owned(),
            lack: "keeps no record of its builds, which alone tells apart two images that are \
                   pushed in different forms; push them one after the other"
                .to_owned(),
        });
    };
    output.own = exported;
    Ok(output)
}

/// Sends the Solve and follows its progress; comes back when both are over.
async fn solve(
    job: &Job<'_>,
    daemon: &Daemon,
    spec: &SolveSpec,
    unit: &BuildUnit,
    cancel: &CancellationToken,
) -> Result<UnitOutput, UnitError> {
    let connection = &daemon.connection;
    let mask = Mask::of(&unit.caches);
    let unit = unit.id;
    let solved = CancellationToken::new();
    let mut follow = pin!(
        connection.follow(&spec.reference, solved.clone(), |mut update| {
            mask.update(&mut update);
            job.emit(Event::Status { unit, update });
        })
    );
    let mut verdict = pin!(async {
        tokio::select! {
            solved = connection.solve(spec) => solved
                .map(|output| UnitOutput { response: output.response, ..UnitOutput::default() })
                .map_err(UnitError::Solve),
            () = cancel.cancelled() => Err(UnitError::Cancelled),
        }
    });
    let mut followed = None;
    let verdict = loop {
        tokio::select! {
            verdict = &mut verdict => break verdict,
            end = &mut follow, if followed.is_none() => followed = Some(end),
        }
    };
    solved.cancel();
    if followed.is_none() {
        let grace = if cancel.is_cancelled() {
            CANCELLED_GRACE
        } else {
            STATUS_LIMIT
        };
        followed = timeout(grace, follow).await.ok();
    }
    // Progress that cannot be followed is a loss for the display only: the Solve's word counts.
    if let Some(Err(error)) = followed {
        tracing::debug!(%error, "progress ended early");
    }
    verdict.map_err(|error| mask.error(error))
}

/// What this unit's daemon may ask of the client.
fn services(
    job: &Job<'_>,
    unit: &BuildUnit,
    daemon: &Daemon,
    received: &Arc<AtomicU64>,
) -> Result<Services, UnitError> {
    let around = job.around;
    let services = Services::new()
        .auth(Arc::clone(&around.credentials), around.tokens.clone())
        .secrets(around.lent.secrets.clone())
        .ssh(around.lent.ssh.clone(), ssh_warnings(around));
    // Also where a shared session has the context: a frontend older than 0.16 asks here.
    let services = job.inputs.serve(services, &daemon.sent)?;
    Ok(job.stages.serve(services, unit, received))
}

fn ssh_warnings(around: &Surroundings) -> SshWarnings {
    let events = around.events.clone();
    SshWarnings::new(move |text| drop(events.send(Event::Warning(text))))
}

/// Tells how many bytes have moved since it was told last.
struct Traffic {
    unit: UnitId,
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
    events: UnboundedSender<Event>,
}

impl Traffic {
    /// Tells again and again, for as long as it is polled.
    async fn tell(&self) -> Infallible {
        let mut ticks = tokio::time::interval(TRANSFER_TICK);
        loop {
            ticks.tick().await;
            self.tell_rest();
        }
    }

    /// Units of one daemon share the count of what was sent: who tells first takes it.
    fn tell_rest(&self) {
        let sent = self.sent.swap(0, Ordering::Relaxed);
        let received = self.received.swap(0, Ordering::Relaxed);
        if sent + received > 0 {
            drop(self.events.send(Event::Transfer {
                unit: self.unit,
                sent,
                received,
            }));
        }
    }
}
