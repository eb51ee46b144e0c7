//! From what a file says of a node to a [`NodeSpec`], and back.

use std::str::FromStr;

use super::super::pool::{BUILDKIT_PORT, PoolSpec, UnknownWord};
use super::{NodePlace, NodeSpec, Reach, SpecError};
use crate::buildkit::dial::TlsFiles;
use crate::buildkit::endpoint::Endpoint;
use crate::config::{Located, NodeDef, PodsDef, ReachDef, Source, TlsDef};

impl NodeSpec {
    pub(super) fn from_def(
        builder: &str,
        def: &NodeDef,
        source: &Source,
    ) -> Result<Self, SpecError> {
        let at = |line: usize| {
            Box::new(NodePlace {
                path: source.path.clone(),
                line,
                builder: builder.to_owned(),
                node: def.name.clone(),
            })
        };
        let tls = def.tls.clone().map(|tls| TlsFiles {
            ca: tls.ca,
            cert: tls.cert,
            key: tls.key,
            server_name: tls.server_name,
        });
        let reach = match &def.reach {
            ReachDef::Endpoint(text) => endpoint(text, tls, at)?,
            ReachDef::Pods(pods) => Reach::Pods(pool(pods, tls, at)?),
        };
        Ok(Self {
            name: def.name.clone(),
            reach,
            platforms: def.platforms.clone(),
            slots: def.slots,
        })
    }

    pub(super) fn to_def(&self) -> NodeDef {
        let (reach, tls) = match &self.reach {
            Reach::Endpoint { endpoint, tls } => {
                (ReachDef::Endpoint(located(endpoint.to_string())), tls)
            }
            Reach::Pods(pool) => (ReachDef::Pods(pods_def(pool)), &pool.tls),
        };
        NodeDef {
            name: self.name.clone(),
            reach,
            platforms: self.platforms.clone(),
            slots: self.slots,
            tls: tls.clone().map(|tls| TlsDef {
                ca: tls.ca,
                cert: tls.cert,
                key: tls.key,
                server_name: tls.server_name,
            }),
        }
    }
}

fn endpoint(
    text: &Located,
    tls: Option<TlsFiles>,
    at: impl Fn(usize) -> Box<NodePlace>,
) -> Result<Reach, SpecError> {
    let endpoint: Result<Endpoint, _> = text.text.parse();
    let endpoint = endpoint.map_err(|source| SpecError::Endpoint {
        at: at(text.line),
        source,
    })?;
    if tls.is_some() && !endpoint.allows_tls() {
        return Err(SpecError::TlsUnused {
            at: at(text.line),
            endpoint,
        });
    }
    Ok(Reach::Endpoint { endpoint, tls })
}

fn pool(
    def: &PodsDef,
    tls: Option<TlsFiles>,
    at: impl Fn(usize) -> Box<NodePlace>,
) -> Result<PoolSpec, SpecError> {
    fn word<T: FromStr<Err = UnknownWord> + Default>(
        key: &'static str,
        text: Option<&Located>,
        at: impl Fn(usize) -> Box<NodePlace>,
    ) -> Result<T, SpecError> {
        let Some(text) = text else {
            return Ok(T::default());
        };
        text.text.parse().map_err(|source| SpecError::Word {
            at: at(text.line),
            key,
            source,
        })
    }
    Ok(PoolSpec {
        kubeconfig: def.kubeconfig.clone(),
        context: def.context.clone(),
        namespace: def.namespace.clone(),
        selector: def.selector.as_ref().map(|at| at.text.clone()),
        pods: def.pods.clone(),
        container: def.container.clone(),
        transport: word("transport", def.transport.as_ref(), &at)?,
        load_balance: word("loadbalance", def.loadbalance.as_ref(), &at)?,
        port: def.port.unwrap_or(BUILDKIT_PORT),
        tls,
        created: def.created,
    })
}

/// What a file says of a pool; defaults are left out.
fn pods_def(pool: &PoolSpec) -> PodsDef {
    let PoolSpec {
        kubeconfig,
        context,
        namespace,
        selector,
        pods,
        container,
        transport,
        load_balance,
        port,
        tls: _,
        created,
    } = pool.clone();
    let default = PoolSpec::default();
    PodsDef {
        namespace,
        kubeconfig,
        context,
        selector: selector.map(located),
        pods,
        container,
        transport: (transport != default.transport).then(|| located(transport.to_string())),
        loadbalance: (load_balance != default.load_balance)
            .then(|| located(load_balance.to_string())),
        port: (port != default.port).then_some(port),
        created,
    }
}

/// A text that stands in no file yet.
fn located(text: String) -> Located {
    Located { text, line: 0 }
}
