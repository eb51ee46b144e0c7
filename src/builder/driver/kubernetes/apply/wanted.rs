//! One object that a pool is made of, from what the options say to what became of it ([`Wanted`]).
//! Decides; asks nobody.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::super::access::{Doing, KubeError};
use super::super::kinds::Kind;
use super::super::options::PoolOptions;
use super::{Applied, ApplyError};

/// An object that the cluster does not accept.
const UNPROCESSABLE: u16 = 422;
/// How the API server words it when a StatefulSet's claims, say, would change.
const IMMUTABLE: &str = "updates to statefulset spec";

/// An object on its way.
pub(super) struct Wanted {
    pub(super) kind: &'static Kind,
    pub(super) name: String,
    pub(super) object: Value,
    /// As it is in the cluster; `None` where it is not.
    pub(super) old: Option<DynamicObject>,
}

/// The objects, before anybody looked at the cluster.
pub(super) fn wanted(objects: Vec<Value>) -> Vec<Wanted> {
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

impl Wanted {
    pub(super) fn label(&self) -> String {
        self.kind.label(&self.name)
    }

    pub(super) fn doing(&self, verb: &'static str, options: &PoolOptions) -> Doing {
        self.kind.doing(verb, &options.namespace, Some(&self.name))
    }

    /// Says again how many pods there are, where load decides that: a field that is no longer
    /// said would fall back to its default, and pods that build would go.
    pub(super) fn keep_scale(&mut self, options: &PoolOptions) {
        let is_open = self.kind.plural == "statefulsets" && options.autoscale.is_some();
        if let Some(old) = self.old.as_ref().filter(|_| is_open) {
            let now = old.data["spec"]["replicas"].as_u64().unwrap_or(1);
            let least = u64::from(options.replicas.max(1));
            self.object["spec"]["replicas"] = json!(now.max(least));
        }
    }

    /// Leaves this one out, or fails where it cannot be.
    pub(super) fn skip(self, error: KubeError, applied: &mut Applied) -> Result<(), KubeError> {
        if !may_skip(&self, &error) {
            return Err(error);
        }
        applied.skipped.push((self.label(), error));
        Ok(())
    }

    pub(super) fn explain(&self, error: KubeError) -> ApplyError {
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

/// Whether a pool can be made without what was refused for lack of rights.
pub(super) fn may_skip(wanted: &Wanted, error: &KubeError) -> bool {
    // A role may only be made by who has its rights: that refusal is `Denied`.
    !wanted.kind.needed && matches!(error, KubeError::Forbidden(_) | KubeError::Denied { .. })
}

/// Whether an object is what it was, whatever its controller reports of it meanwhile.
pub(super) fn is_same(old: &DynamicObject, new: &DynamicObject) -> bool {
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
