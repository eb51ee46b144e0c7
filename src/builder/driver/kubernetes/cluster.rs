//! A cluster's API: [`Cluster`], a client made of a kubeconfig or of the pod's own service
//! account.
//!
//! Reads files and runs credential plugins; asks the API server nothing. Proxies of the
//! environment are not used, as everywhere. Requests are not retried here.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, Uri, header};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::Config;
use tower::util::option_layer;
use tower::{Service, ServiceExt, service_fn};

use super::access::{AnyError, ConnectFailure, Doing, KubeError, NoAnswer};
use super::kubeconfig;
use crate::config::Env;

/// By which the cluster's audit log names us.
const USER_AGENT: &str = concat!("mbuild/", env!("CARGO_PKG_VERSION"));
/// How long a connection to the API server may take, TLS included.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long the API server may take to begin an answer. An exec's comes when the container
/// runtime has started the program.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long credentials may take: a plugin may wait for a person and a browser.
const LOGIN_LIMIT: Duration = Duration::from_secs(120);
/// As for a daemon's own port: idle connections are forgotten by what lies between.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;
/// How long sent data may stay unacknowledged before the connection counts as cut.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Where a cluster's API is; all `None` means `KUBECONFIG`, `~/.kube/config`, or the pod's own
/// service account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ClusterSpec {
    /// The kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; `None` means its current one.
    pub context: Option<String>,
    /// The namespace; `None` means the context's, or the pod's own.
    pub namespace: Option<String>,
}

/// A way to a cluster's API; clones share its connections.
#[derive(Clone)]
pub struct Cluster {
    /// The client.
    pub client: kube::Client,
    /// The namespace to work in.
    pub namespace: String,
    /// The context's name, or `in-cluster`.
    pub name: String,
    /// Whether this is a pod of the cluster that uses its own service account.
    pub in_cluster: bool,
}

/// A configuration and what it is called.
pub(super) struct Located {
    pub(super) config: Config,
    pub(super) name: String,
    pub(super) in_cluster: bool,
}

impl Cluster {
    /// Finds the configuration, gets credentials and makes the client; asks the API server
    /// nothing yet.
    ///
    /// # Errors
    ///
    /// When there is no configuration or it cannot be used, or a credential plugin fails.
    pub async fn connect(spec: &ClusterSpec, env: &Env) -> Result<Self, KubeError> {
        let (spec, env) = (spec.clone(), env.clone());
        // Files are read, and plugins run, by blocking calls.
        let open = tokio::task::spawn_blocking(move || Self::open(&spec, &env));
        match tokio::time::timeout(LOGIN_LIMIT, open).await {
            Ok(Ok(cluster)) => cluster,
            Ok(Err(error)) => Err(KubeError::Login {
                reason: error.to_string(),
            }),
            Err(_) => Err(KubeError::Login {
                reason: format!("nothing after {} s", LOGIN_LIMIT.as_secs()),
            }),
        }
    }

    fn open(spec: &ClusterSpec, env: &Env) -> Result<Self, KubeError> {
        let located = kubeconfig::locate(spec, env)?;
        let namespace = match &spec.namespace {
            Some(namespace) => namespace.clone(),
            None => located.config.default_namespace.clone(),
        };
        let doing = Doing::new("use", "cluster", &namespace);
        let client = client(located.config).map_err(|error| match error {
            error @ (kube::Error::Auth(_) | kube::Error::Service(_)) => KubeError::of(error, doing),
            error => KubeError::Config {
                place: format!("the credentials of `{}`", located.name),
                source: error.into(),
            },
        })?;
        Ok(Self {
            client,
            namespace,
            name: located.name,
            in_cluster: located.in_cluster,
        })
    }
}

/// Makes a client like kube's own, but without Nagle's delay, without the write timeout that
/// ends a stalled stream, without retries below ours, and with a limit on every wait.
///
/// Must be called within a runtime.
pub(super) fn client(mut config: Config) -> kube::Result<kube::Client> {
    let agent = HeaderValue::from_static(USER_AGENT);
    config.headers.push((header::USER_AGENT, agent));
    let connector = config.rustls_https_connector_with_connector(tcp())?;
    let connector = service_fn(move |uri: Uri| Box::pin(limited(connector.clone(), uri)));
    let service = legacy::Builder::new(TokioExecutor::new())
        .build::<_, Body>(connector)
        .map_err(AnyError::from)
        .map_future(|answer| async {
            match tokio::time::timeout(ANSWER_LIMIT, answer).await {
                Ok(answer) => answer,
                Err(_) => Err(AnyError::from(NoAnswer {
                    limit: ANSWER_LIMIT,
                })),
            }
        });
    Ok(
        ClientBuilder::new(service, config.default_namespace.clone())
            .with_layer(&config.extra_headers_layer()?)
            .with_layer(&option_layer(config.auth_layer()?))
            .with_layer(&config.base_uri_layer())
            .build(),
    )
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(USER_TIMEOUT));
    tcp
}

/// Connects within [`CONNECT_LIMIT`]; errors name the server.
async fn limited<C>(mut connector: C, uri: Uri) -> Result<C::Response, ConnectFailure>
where
    C: Service<Uri>,
    C::Error: Into<AnyError>,
{
    let server = uri
        .authority()
        .map_or_else(|| uri.to_string(), ToString::to_string);
    let connect = async {
        std::future::poll_fn(|cx| connector.poll_ready(cx)).await?;
        connector.call(uri).await
    };
    let outcome = match tokio::time::timeout(CONNECT_LIMIT, connect).await {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(_) => Err(AnyError::from(NoAnswer {
            limit: CONNECT_LIMIT,
        })),
    };
    outcome.map_err(|source| ConnectFailure { server, source })
}
