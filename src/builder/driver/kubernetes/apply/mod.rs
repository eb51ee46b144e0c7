//! Makes a pool's objects what the options say: [`apply`], by server-side apply.
//!
//! Declarative: running it again changes what differs, completes what is half made and removes
//! what an option no longer asks for. Everything is tried without effect first, so that a
//! refusal leaves nothing behind. What others made is left alone. Waiting for pods is not done
//! here.

mod error;
mod prune;
mod wanted;

use futures_util::future::join_all;
use kube::api::{DynamicObject, ObjectMeta, Patch, PatchParams};

use super::access::{Doing, KubeError};
use super::certs::{self, CertsError, Deed};
use super::cluster::Cluster;
use super::kinds::namespaces;
use super::manifest::{self, INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL};
use super::options::PoolOptions;
use prune::prune;
use wanted::{Wanted, is_same, may_skip, wanted};

pub use error::ApplyError;

/// Who set a field, as server-side apply keeps it.
pub(super) const FIELD_MANAGER: &str = "mbuild";

/// What is done with objects of these names that somebody else made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They are left alone, and the pool is not made.
    Respect,
    /// They become this pool's.
    TakeOver,
}

/// What applying did, by object (`statefulset/NAME`).
#[derive(Debug, Default)]
pub struct Applied {
    /// The namespace, if it was made.
    pub namespace: Option<String>,
    /// Objects that are new.
    pub created: Vec<String>,
    /// Objects that are different now.
    pub changed: Vec<String>,
    /// Objects that were as they should be.
    pub unchanged: Vec<String>,
    /// Objects that an option no longer asks for.
    pub removed: Vec<String>,
    /// Objects that building does without, and why they are not there.
    pub skipped: Vec<(String, KubeError)>,
}

/// Whether a request changes anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    None,
    Real,
}

/// Makes the pool what the options say.
///
/// # Errors
///
/// When the options contradict each other, something of these names is not ours, the cluster
/// refuses, or cannot be asked. Up to then nothing was made, unless the API server fails
/// between the trial and the deed.
pub async fn apply(
    cluster: &Cluster,
    options: &PoolOptions,
    others: Others,
) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    let objects = wanted(manifest::objects(options)?);
    let mut objects = read(cluster, options, objects, &mut applied).await?;
    if others == Others::Respect {
        refuse_others(&objects, options)?;
    }
    if let Err(error) = try_all(cluster, options, &mut objects, &mut applied).await {
        match error {
            ApplyError::Kube(missing) if matches!(*missing, KubeError::NotFound { .. }) => {
                make_namespace(cluster, options).await?;
                applied.namespace = Some(options.namespace.clone());
                try_all(cluster, options, &mut objects, &mut applied).await?;
            }
            error => return Err(error),
        }
    }
    if options.mtls {
        make_certificates(cluster, options, &mut applied).await?;
    }
    // Pods would only wait for what they mount and for who they are.
    let is_last = |wanted: &Wanted| wanted.kind.plural == "statefulsets";
    let (last, first): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_last);
    for wave in [first, last] {
        let outcomes = wave
            .iter()
            .map(|wanted| send(cluster, options, wanted, Effect::Real));
        let outcomes = join_all(outcomes).await;
        for (wanted, outcome) in wave.iter().zip(outcomes) {
            note(
                wanted,
                outcome.map_err(|e| wanted.explain(e))?,
                &mut applied,
            );
        }
    }
    prune(cluster, options, &mut applied).await?;
    Ok(applied)
}

/// Looks at what is there; objects that may not be looked at and are not needed are left out.
async fn read(
    cluster: &Cluster,
    options: &PoolOptions,
    objects: Vec<Wanted>,
    applied: &mut Applied,
) -> Result<Vec<Wanted>, KubeError> {
    let answers = objects.iter().map(|wanted| async {
        let api = wanted.kind.api(cluster, &options.namespace);
        let answer = api.get_opt(&wanted.name).await;
        answer.map_err(|error| KubeError::of(error, wanted.doing("get", options)))
    });
    let answers = join_all(answers).await;
    let mut found = Vec::new();
    for (mut wanted, answer) in objects.into_iter().zip(answers) {
        match answer {
            Ok(old) => {
                wanted.old = old;
                wanted.keep_scale(options);
                found.push(wanted);
            }
            Err(error) => wanted.skip(error, applied)?,
        }
    }
    Ok(found)
}

fn refuse_others(objects: &[Wanted], options: &PoolOptions) -> Result<(), ApplyError> {
    let not_ours = |wanted: &&Wanted| {
        let old = wanted.old.as_ref();
        old.is_some_and(|old| !is_ours(&old.metadata, &options.name))
    };
    let foreign: Vec<_> = objects.iter().filter(not_ours).map(Wanted::label).collect();
    match foreign.is_empty() {
        true => Ok(()),
        false => Err(ApplyError::NotOurs {
            objects: foreign,
            namespace: options.namespace.clone(),
        }),
    }
}

/// Whether an object was made by this program for a pool of this name.
pub(super) fn is_ours(object: &ObjectMeta, pool: &str) -> bool {
    let labels = object.labels.as_ref();
    let label = |key: &str| {
        labels
            .and_then(|labels| labels.get(key))
            .map(String::as_str)
    };
    label(MANAGED_BY_LABEL) == Some(MANAGED_BY) && label(INSTANCE_LABEL) == Some(pool)
}

/// Sends everything without effect; what is refused and not needed is left out.
async fn try_all(
    cluster: &Cluster,
    options: &PoolOptions,
    objects: &mut Vec<Wanted>,
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    let trials = objects
        .iter()
        .map(|wanted| send(cluster, options, wanted, Effect::None));
    let trials = join_all(trials).await;
    let mut accepted = Vec::new();
    let mut refusal = None;
    for (wanted, trial) in std::mem::take(objects).into_iter().zip(trials) {
        match trial {
            Ok(_) => {}
            Err(error) if may_skip(&wanted, &error) => {
                wanted.skip(error, applied)?;
                continue;
            }
            // All are kept for another trial.
            Err(error) => refusal = refusal.or(Some(wanted.explain(error))),
        }
        accepted.push(wanted);
    }
    *objects = accepted;
    refusal.map_or(Ok(()), Err)
}

async fn send(
    cluster: &Cluster,
    options: &PoolOptions,
    wanted: &Wanted,
    effect: Effect,
) -> Result<DynamicObject, KubeError> {
    let mut params = PatchParams::apply(FIELD_MANAGER).force();
    params.dry_run = effect == Effect::None;
    let api = wanted.kind.api(cluster, &options.namespace);
    let answer = api
        .patch(&wanted.name, &params, &Patch::Apply(&wanted.object))
        .await;
    answer.map_err(|error| KubeError::of(error, wanted.doing("patch", options)))
}

async fn make_namespace(cluster: &Cluster, options: &PoolOptions) -> Result<(), ApplyError> {
    let object = manifest::namespace(options)?;
    let params = PatchParams::apply(FIELD_MANAGER);
    let answer = namespaces(cluster)
        .patch(&options.namespace, &params, &Patch::Apply(&object))
        .await;
    let doing = Doing {
        verb: "create",
        group: "",
        resource: "namespaces",
        namespace: None,
        name: Some(options.namespace.clone()),
    };
    match answer {
        Ok(_) => Ok(()),
        Err(error) => Err(KubeError::of(error, doing).into()),
    }
}

/// Makes what daemons with mutual TLS do not start without, where nobody else provides it.
async fn make_certificates(
    cluster: &Cluster,
    options: &PoolOptions,
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    let arches = &options.architectures;
    let ensured = certs::ensure(cluster, &options.name, &options.namespace, arches).await;
    let certified = ensured.map_err(|error| match error {
        CertsError::Kube(error) => ApplyError::Kube(error),
        error => ApplyError::Certs(Box::new(error)),
    })?;
    for secret in certified.into_iter().flat_map(|made| made.secrets) {
        let list = match secret.deed {
            Deed::Made => &mut applied.created,
            Deed::Kept => &mut applied.unchanged,
            _ => &mut applied.changed,
        };
        list.push(format!("secret/{}", secret.name));
    }
    Ok(())
}

fn note(wanted: &Wanted, new: DynamicObject, applied: &mut Applied) {
    let list = match &wanted.old {
        None => &mut applied.created,
        Some(old) if is_same(old, &new) => &mut applied.unchanged,
        Some(_) => &mut applied.changed,
    };
    list.push(wanted.label());
}
