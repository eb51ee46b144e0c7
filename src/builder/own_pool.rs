//! The pool of the namespace that this very pod runs in: the builder of an agent that has no
//! configuration.

use super::Builder;
use super::choose::DEFAULT_BUILDER;
use super::driver::{FoundPool, find_pools};
use super::pool::PoolSpec;
use super::spec::{BuilderSpec, Origin};
use crate::causes::causes;
use crate::config::Env;

/// What every pod has in its environment.
const IN_POD: &str = "KUBERNETES_SERVICE_HOST";

/// The pod's namespace has more than one pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("namespace {namespace} has several pools, and nothing chooses one: {}", pools.join(", "))]
pub struct SeveralPools {
    /// The namespace.
    pub namespace: String,
    /// The pools' names.
    pub pools: Vec<String>,
}

impl SeveralPools {
    /// Says what the user can do about it.
    pub fn hint(&self) -> String {
        let name = self.pools.first().map_or("NAME", String::as_str);
        format!(
            "choose one: mbuild builder create {name} --driver kubernetes --attach --use, or \
             MBUILD_CONFIG with what `mbuild builder export` prints"
        )
    }
}

/// What a look at the pod's namespace came to.
#[derive(Debug)]
pub enum OwnPool {
    /// This is no pod.
    NoPod,
    /// There is one, and it is the builder.
    One(BuilderSpec),
    /// There is none, or it cannot be seen; with what can be done about it.
    None(String, Option<String>),
}

/// Looks for the pool of the pod's namespace.
///
/// # Errors
///
/// When there are several.
pub(super) async fn own_pool(env: &Env) -> Result<OwnPool, SeveralPools> {
    if env.get(IN_POD).is_none_or(String::is_empty) {
        return Ok(OwnPool::NoPod);
    }
    match find_pools(&PoolSpec::default(), env).await {
        Ok(pools) => one(pools),
        Err(error) => Ok(OwnPool::None(causes(&error), error.advice())),
    }
}

fn one(mut pools: Vec<FoundPool>) -> Result<OwnPool, SeveralPools> {
    match (pools.pop(), pools.is_empty()) {
        (None, _) => Ok(OwnPool::None("there is none".to_owned(), None)),
        (Some(pool), true) => Ok(OwnPool::One(spec(pool))),
        (Some(last), false) => {
            let namespace = last.namespace.clone();
            pools.push(last);
            let name = |pool: FoundPool| pool.name.unwrap_or_else(|| "(no name)".to_owned());
            Err(SeveralPools {
                namespace,
                pools: pools.into_iter().map(name).collect(),
            })
        }
    }
}

fn spec(pool: FoundPool) -> BuilderSpec {
    let name = pool.name.as_deref().unwrap_or("without a name");
    BuilderSpec {
        origin: Origin::Found(format!("pool {name} of namespace {}", pool.namespace)),
        name: DEFAULT_BUILDER.to_owned(),
        nodes: pool.nodes,
    }
}

impl OwnPool {
    /// The builder, where there is one.
    pub(super) fn into_builder(
        self,
        env: &Env,
    ) -> Result<Builder, Option<(String, Option<String>)>> {
        match self {
            Self::NoPod => Err(None),
            Self::One(spec) => Ok(Builder::new(spec, env)),
            Self::None(why, hint) => Err(Some((why, hint))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str) -> FoundPool {
        FoundPool {
            name: Some(name.to_owned()),
            namespace: "ci".into(),
            nodes: Vec::new(),
        }
    }

    #[test]
    fn several_pools_are_all_named() {
        let error = one(vec![pool("blue"), pool("red")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "namespace ci has several pools, and nothing chooses one: blue, red"
        );
        assert!(
            error
                .hint()
                .contains("create blue --driver kubernetes --attach")
        );
        let OwnPool::One(spec) = one(vec![pool("blue")]).unwrap() else {
            panic!("one is one");
        };
        assert_eq!(spec.origin.to_string(), "pool blue of namespace ci");
        assert!(matches!(one(Vec::new()), Ok(OwnPool::None(..))));
    }

    #[tokio::test]
    async fn outside_a_pod_nobody_is_asked() {
        assert!(matches!(own_pool(&Env::new()).await, Ok(OwnPool::NoPod)));
    }
}
