//! Makes a pool's objects what the options say: [`apply`], by server-side apply.
//!
//! Declarative: running it again changes what differs, completes what is half made and removes
//! what an option no longer asks for. Everything is tried without effect first, so that a
//! refusal leaves nothing behind. What others made is left alone. Waiting for pods is not done
//! here.

use futures_util::future::join_all;
use kube::api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams};
use serde_json::{Value, json};

use super::access::{Doing, KubeError};
use super::certs::{self, CertsError, Deed};
use super::cluster::Cluster;
use super::kinds::{Kind, namespaces};
use super::manifest::{self, INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL, ManifestError};
use super::options::{Autoscale, DaemonConfig, PoolOptions};

/// Who set a field, as server-side apply keeps it.
pub(super) const FIELD_MANAGER: &str = "mbuild";
/// An object that the cluster does not accept.
const UNPROCESSABLE: u16 = 422;
/// How the API server words it when a StatefulSet's claims, say, would change.
const IMMUTABLE: &str = "updates to statefulset spec";

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

/// Why a pool cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The options make no objects.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Objects of these names are there, made by somebody else.
    #[error(
        "{} in namespace `{namespace}` {} made by mbuild for this builder; build on what is there \
         with --attach, choose another name, or take it over with --force",
        objects.join(", "),
        if objects.len() == 1 { "was not" } else { "were not" }
    )]
    NotOurs {
        /// The objects.
        objects: Vec<String>,
        /// The namespace.
        namespace: String,
    },
    /// A field that cannot be changed would have to.
    #[error(
        "{object} cannot be changed in this way: a claim's size or class and a pool's labels stay \
         what they were; remove the builder and create it again"
    )]
    Immutable {
        /// The object.
        object: String,
        /// What the API server said.
        source: Box<KubeError>,
    },
    /// The cluster does not accept an object.
    #[error("the cluster does not accept {object}")]
    Invalid {
        /// The object.
        object: String,
        /// What the API server said.
        source: Box<KubeError>,
    },
    /// There are no certificates for it.
    #[error(transparent)]
    Certs(Box<CertsError>),
    /// The API server refused or could not be asked.
    #[error(transparent)]
    Kube(Box<KubeError>),
}

impl From<KubeError> for ApplyError {
    fn from(error: KubeError) -> Self {
        Self::Kube(Box::new(error))
    }
}

/// An object on its way.
struct Wanted {
    kind: &'static Kind,
    name: String,
    object: Value,
    /// As it is in the cluster; `None` where it is not.
    old: Option<DynamicObject>,
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

fn wanted(objects: Vec<Value>) -> Vec<Wanted> {
    let wanted = objects.into_iter().filter_map(|object| {
        Some(Wanted {
            kind: Kind::of(&object)?,
            name: object["metadata"]["name"].as_str()?.to_owned(),
            object,
            old: None,
        })
    });
    wanted.collect()
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

/// Removes what these options no longer make and others would have made.
async fn prune(
    cluster: &Cluster,
    options: &PoolOptions,
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    let made: Vec<String> = wanted(manifest::objects(options)?)
        .iter()
        .map(Wanted::label)
        .collect();
    let mut everything = options.clone();
    everything.autoscale = Some(Autoscale {
        image: "any".to_owned(),
        most: u32::MAX,
        idle: String::new(),
    });
    everything.config = Some(DaemonConfig {
        files: [("any".to_owned(), Vec::new())].into(),
        ..DaemonConfig::default()
    });
    let mut others = wanted(manifest::objects(&everything)?);
    others.retain(|other| !made.contains(&other.label()));
    let removals = others
        .iter()
        .map(|other| remove_own(cluster, options, other));
    for (other, removal) in others.iter().zip(join_all(removals).await) {
        match removal {
            Ok(true) => applied.removed.push(other.label()),
            Ok(false) => {}
            // Who may not even look at such objects has not made any.
            Err(KubeError::Forbidden(missing)) if missing.verb == "get" => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Removes an object if it is ours; false if there is none.
async fn remove_own(
    cluster: &Cluster,
    options: &PoolOptions,
    other: &Wanted,
) -> Result<bool, KubeError> {
    let api = other.kind.api(cluster, &options.namespace);
    let found = api.get_opt(&other.name).await;
    let found = found.map_err(|error| KubeError::of(error, other.doing("get", options)))?;
    if !found.is_some_and(|object| is_ours(&object.metadata, &options.name)) {
        return Ok(false);
    }
    let removal = api.delete(&other.name, &DeleteParams::background()).await;
    match removal.map_err(|error| KubeError::of(error, other.doing("delete", options))) {
        Ok(_) => Ok(true),
        Err(KubeError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn note(wanted: &Wanted, new: DynamicObject, applied: &mut Applied) {
    let list = match &wanted.old {
        None => &mut applied.created,
        Some(old) if is_same(old, &new) => &mut applied.unchanged,
        Some(_) => &mut applied.changed,
    };
    list.push(wanted.label());
}

/// Whether an object is what it was, whatever its controller reports of it meanwhile.
fn is_same(old: &DynamicObject, new: &DynamicObject) -> bool {
    let said = |object: &DynamicObject| {
        let mut data = object.data.clone();
        if let Some(data) = data.as_object_mut() {
            data.remove("status");
        }
        data
    };
    let (was, is) = (&old.metadata, &new.metadata);
    was.labels == is.labels && was.annotations == is.annotations && said(old) == said(new)
}

/// Whether a pool can be made without what was refused for lack of rights.
fn may_skip(wanted: &Wanted, error: &KubeError) -> bool {
    // A role may only be made by who has its rights: that refusal is `Denied`.
    !wanted.kind.needed && matches!(error, KubeError::Forbidden(_) | KubeError::Denied { .. })
}

impl Wanted {
    fn label(&self) -> String {
        self.kind.label(&self.name)
    }

    fn doing(&self, verb: &'static str, options: &PoolOptions) -> Doing {
        self.kind.doing(verb, &options.namespace, Some(&self.name))
    }

    /// Says again how many pods there are, where load decides that: a field that is no longer
    /// said would fall back to its default, and pods that build would go.
    fn keep_scale(&mut self, options: &PoolOptions) {
        let is_open = self.kind.plural == "statefulsets" && options.autoscale.is_some();
        if let Some(old) = self.old.as_ref().filter(|_| is_open) {
            let now = old.data["spec"]["replicas"].as_u64().unwrap_or(1);
            let least = u64::from(options.replicas.max(1));
            self.object["spec"]["replicas"] = json!(now.max(least));
        }
    }

    /// Leaves this one out, or fails where it cannot be.
    fn skip(self, error: KubeError, applied: &mut Applied) -> Result<(), KubeError> {
        if !may_skip(&self, &error) {
            return Err(error);
        }
        applied.skipped.push((self.label(), error));
        Ok(())
    }

    fn explain(&self, error: KubeError) -> ApplyError {
        let object = self.label();
        match &error {
            KubeError::Refused { code, message, .. } if *code == UNPROCESSABLE => {
                let immutable = message.contains(IMMUTABLE);
                let source = Box::new(error);
                match immutable {
                    true => ApplyError::Immutable { object, source },
                    false => ApplyError::Invalid { object, source },
                }
            }
            _ => error.into(),
        }
    }
}
