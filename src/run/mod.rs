//! Carries out a plan: every unit on its daemon at once, then one result out of all of theirs.
//!
//! [`run`] reads as its steps. It decides nothing about placement and prints nothing; what
//! happens goes out as events, what came of it comes back as a [`BuildOutcome`].

mod again;
mod caches;
mod daemon;
mod deliver;
mod error;
mod frontend;
mod inputs;
mod lower;
mod node;
mod outcome;
mod provenance;
mod receive;
mod schedule;
mod session;
mod tokens;
mod unit;

use std::collections::BTreeMap;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::SetOnce;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::builder::{Answer, Builder};
use crate::buildkit::history::BuildId;
use crate::buildkit::session::{SecretSource, SshAgent, TokenSource};
use crate::credentials::Credentials;
use crate::engine::Engine;
use crate::event::Event;
use crate::merge::registry::check_push;
use crate::plan::BuildPlan;
use crate::registry::{Registries, RegistryError};
use crate::request::BuildRequest;
use crate::unit::MergeStep;

pub use error::{DeliverError, PrepareError, UnitError};
pub use outcome::{BuildOutcome, Delivered, DeliveredImage, UnitReport};
pub use provenance::PROVENANCE;
pub use tokens::RegistryTokens;

/// Everything around a build that its plan does not say.
#[derive(Clone)]
pub struct Surroundings {
    /// The builder whose nodes the plan names.
    pub builder: Builder,
    /// Connections that were opened while planning, by node.
    pub open: BTreeMap<String, Answer>,
    /// The user's registry credentials.
    pub credentials: Arc<Credentials>,
    /// How daemons get tokens without passwords; `None` gives them passwords.
    pub tokens: Option<TokenSource>,
    /// The registries that the client itself talks to.
    pub registries: Arc<Registries>,
    /// Hosts whose certificates the daemons need not check either.
    pub insecure_registries: Vec<String>,
    /// What steps may ask this machine for.
    pub lent: Lent,
    /// The key under which daemons keep the context.
    pub shared_key: String,
    /// The key by which a project meets the same one of a node's daemons.
    pub affinity: String,
    /// The Docker engines that outputs name, by the output's position.
    pub engines: BTreeMap<usize, Engine>,
    /// A directory for temporary files.
    pub temp: PathBuf,
    /// Where events go.
    pub events: UnboundedSender<Event>,
    /// Cancelled when the user wants to stop.
    pub interrupt: CancellationToken,
}

/// What steps may ask this machine for, each by its id.
#[derive(Clone, Debug, Default)]
pub struct Lent {
    /// Secrets.
    pub secrets: BTreeMap<String, SecretSource>,
    /// SSH agents and keys.
    pub ssh: BTreeMap<String, SshAgent>,
}

/// Builds everything that the plan says and delivers it.
///
/// # Errors
///
/// When nothing could be started. What fails later is in the outcome.
pub async fn run(
    request: &BuildRequest,
    plan: &BuildPlan,
    around: &Surroundings,
) -> Result<BuildOutcome, PrepareError> {
    let inputs = inputs::Inputs::load(request).await?;
    let stages = stages(plan, around).await?;
    let found = find_caches(plan, around).await?;
    let job = schedule::Job {
        request,
        plan,
        around,
        inputs: &inputs,
        stages: &stages,
        found: &found,
        id: BuildId::random().map_err(PrepareError::Random)?,
        solves: schedule::Solves::of(plan.units.len()),
        pushable: SetOnce::new(),
    };
    // Daemons are dialled meanwhile; they are sent nothing to solve before all registries said yes.
    let units = tokio::select! {
        units = schedule::run_units(&job) => units,
        refusal = refusal(&job) => return Err(PrepareError::Registry(refusal)),
    };
    let mut outcome = BuildOutcome::of_units(units, around.interrupt.is_cancelled());
    if outcome.is_built() {
        outcome.delivered = deliver::deliver(plan, &outcome.units, stages, around).await;
    }
    Ok(outcome)
}

/// Asks every registry that will be pushed to whether it is there and lets us, and lets the
/// build begin; completes only when one does not.
async fn refusal(job: &schedule::Job<'_>) -> RegistryError {
    let pushed = job.plan.merge.iter().filter_map(|step| match step {
        MergeStep::Publish { repositories, .. } => Some(repositories),
        _ => None,
    });
    let checks = pushed.map(|names| check_push(&job.around.registries, names));
    match try_join_all(checks).await {
        Ok(_) => {
            // Nobody else sets it.
            drop(job.pushable.set(()));
            pending().await
        }
        Err(refusal) => refusal,
    }
}

/// Looks which local caches there are to read; those that are missing are warnings.
async fn find_caches(
    plan: &BuildPlan,
    around: &Surroundings,
) -> Result<caches::Found, PrepareError> {
    let plan = plan.clone();
    let look = tokio::task::spawn_blocking(move || match caches::Found::unwritable(&plan) {
        Some(path) => Err(PrepareError::Cache(path)),
        None => Ok(caches::Found::look(&plan)),
    });
    let (found, warnings) = look.await.map_err(PrepareError::Task)??;
    for warning in warnings {
        drop(around.events.send(Event::Warning(warning)));
    }
    Ok(found)
}

/// Makes a place for everything that comes to this machine.
async fn stages(plan: &BuildPlan, around: &Surroundings) -> Result<receive::Stages, PrepareError> {
    let (plan, temp) = (plan.clone(), around.temp.clone());
    tokio::task::spawn_blocking(move || receive::Stages::create(&plan, &temp))
        .await
        .map_err(PrepareError::Task)?
        .map_err(PrepareError::Destination)
}
