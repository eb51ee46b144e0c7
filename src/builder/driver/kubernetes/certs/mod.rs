//! A pool's certificates, kept in Secrets beside it: [`certify`] makes and renews them.
//!
//! `POOL-ca-certs` has the authority with its key, and nobody mounts it; `POOL-server-certs` is
//! the daemons', `POOL-client-certs` the clients'. What is to be is planned by `plan`; daemons
//! and clients read their files when they start, and are not restarted here.

mod issue;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use serde_json::{Value, json};

use super::access::{Doing, KubeError};
use super::apply::{FIELD_MANAGER, is_ours};
use super::cluster::Cluster;
use super::manifest::{INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL};
use plan::{Kept, Planned, Stored, Wish, names, plan};

pub use issue::IssueError;
pub use plan::{Deed, Rotate};

/// How long certificates live unless something else is said, in days.
pub const DEFAULT_DAYS: u16 = 365;
/// What the Secrets' names end with: the authority's, the daemons', the clients'.
const SUFFIXES: [&str; 3] = ["ca-certs", "server-certs", "client-certs"];
/// How often it is begun again when somebody else writes at the same time.
const TRIES: usize = 3;
const TRUSTED: &str = "ca.crt";
const CERT: &str = "tls.crt";
const KEY: &str = "tls.key";

/// What certificates a pool is to have.
#[derive(Debug, Clone)]
pub struct CertsRequest {
    /// The pool's name.
    pub pool: String,
    /// Its namespace.
    pub namespace: String,
    /// Its architectures, whose Services the daemons' certificate names.
    pub arches: Vec<String>,
    /// How many days new certificates live, at least one.
    pub days: u16,
    /// What is made anew before it is due.
    pub rotate: Rotate,
}

/// What came of it.
#[derive(Debug)]
pub struct Certified {
    /// The Secrets, the authority's first; without it where it is kept elsewhere.
    pub secrets: Vec<SecretReport>,
    /// The client's files by their names: `ca.crt`, `tls.crt`, `tls.key`.
    pub client: BTreeMap<&'static str, String>,
}

/// What became of one Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReport {
    /// Its name.
    pub name: String,
    /// What became of the certificate in it.
    pub deed: Deed,
    /// When the certificate ends.
    pub until: Timestamp,
}

/// Why a pool has no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// The API server refused or could not be asked.
    #[error(transparent)]
    Kube(Box<KubeError>),
    /// Secrets of these names are there, made by somebody else.
    #[error(
        "secret {} in namespace `{namespace}` was not made by mbuild for this pool, and is left \
         alone",
        names.join(", ")
    )]
    NotOurs {
        /// The Secrets.
        names: Vec<String>,
        /// The namespace.
        namespace: String,
    },
    /// A certificate cannot be made, or the authority's cannot be read.
    #[error("the certificates of pool `{pool}` cannot be made")]
    Issue {
        /// The pool.
        pool: String,
        /// Why not.
        source: IssueError,
    },
}

impl From<KubeError> for CertsError {
    fn from(error: KubeError) -> Self {
        Self::Kube(Box::new(error))
    }
}

/// The three Secrets as they are in the cluster.
type Found = [Option<Secret>; 3];

/// Makes what is missing, renews what is about to end, replaces what the request asks for.
/// Running it again changes nothing.
///
/// # Errors
///
/// When the cluster refuses or cannot be asked, or Secrets of these names are somebody else's.
pub async fn certify(cluster: &Cluster, request: &CertsRequest) -> Result<Certified, CertsError> {
    let mut tries = 1;
    loop {
        let found = read(cluster, request).await?;
        refuse_others(&found, request)?;
        let planned = planned(&found, request)?;
        match write(cluster, request, &found, &planned).await {
            // Whoever was faster made the authority that counts.
            Err(KubeError::Conflict { .. }) if tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
            Ok(()) => return report(request, &planned),
        }
    }
}

/// Makes what a new pool with mutual TLS cannot start without. Certificates that somebody else
/// provides are taken as they are: `None`.
///
/// # Errors
///
/// As [`certify`].
pub async fn ensure(
    cluster: &Cluster,
    pool: &str,
    namespace: &str,
    arches: &[String],
) -> Result<Option<Certified>, CertsError> {
    let request = CertsRequest {
        pool: pool.to_owned(),
        namespace: namespace.to_owned(),
        arches: arches.to_vec(),
        days: DEFAULT_DAYS,
        rotate: Rotate::Due,
    };
    match certify(cluster, &request).await {
        Err(CertsError::NotOurs { names, .. }) if names.contains(&request.name(1)) => Ok(None),
        other => other.map(Some),
    }
}

/// Prints the Secrets that [`certify`] would make or change as YAML documents, with their keys;
/// changes nothing.
///
/// # Errors
///
/// As [`certify`].
pub async fn render(cluster: &Cluster, request: &CertsRequest) -> Result<String, CertsError> {
    let found = read(cluster, request).await?;
    refuse_others(&found, request)?;
    let planned = planned(&found, request)?;
    let mut text = String::new();
    for (at, (kept, deed)) in planned.all() {
        if deed == Deed::Kept {
            continue;
        }
        let object = request.object(at, kept);
        let yaml = serde_saphyr::to_string(&object).unwrap_or_default();
        let separator = if text.is_empty() { "" } else { "---\n" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{separator}{}", yaml.trim_end());
    }
    Ok(text)
}

async fn read(cluster: &Cluster, request: &CertsRequest) -> Result<Found, KubeError> {
    let api = request.api(cluster);
    let get = |at: usize| {
        let (api, name) = (&api, request.name(at));
        async move {
            let found = api.get_opt(&name).await;
            found.map_err(|error| KubeError::of(error, request.doing("get", at)))
        }
    };
    let (authority, server, client) = tokio::join!(get(0), get(1), get(2));
    Ok([authority?, server?, client?])
}

fn refuse_others(found: &Found, request: &CertsRequest) -> Result<(), CertsError> {
    let is_foreign = |secret: &Option<Secret>| {
        let secret = secret.as_ref();
        secret.is_some_and(|secret| !is_ours(&secret.metadata, &request.pool))
    };
    let foreign = found.iter().enumerate();
    let foreign = foreign.filter(|(_, secret)| is_foreign(secret));
    let names: Vec<_> = foreign.map(|(at, _)| request.name(at)).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(CertsError::NotOurs {
            names,
            namespace: request.namespace.clone(),
        }),
    }
}

fn planned(found: &Found, request: &CertsRequest) -> Result<Planned, CertsError> {
    let [authority, server, client] = found;
    let stored = Stored {
        authority: authority.as_ref().and_then(kept),
        server: server.as_ref().and_then(kept),
        client: client.as_ref().and_then(kept),
    };
    let wish = Wish {
        pool: &request.pool,
        names: names(&request.pool, &request.namespace, &request.arches),
        life: SignedDuration::from_hours(24 * i64::from(request.days)),
        rotate: request.rotate,
    };
    plan(&stored, &wish, Timestamp::now()).map_err(|source| request.issue(source))
}

/// Writes what changes: the authority first, since what it signs is worth nothing without it.
async fn write(
    cluster: &Cluster,
    request: &CertsRequest,
    found: &Found,
    planned: &Planned,
) -> Result<(), KubeError> {
    let api = request.api(cluster);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    for (at, (kept, deed)) in planned.all() {
        if deed == Deed::Kept {
            continue;
        }
        let (verb, answer) = match &found[at] {
            None => {
                let secret = request.secret(at, kept);
                ("create", api.create(&params, &secret).await)
            }
            Some(old) => {
                let mut secret = old.clone();
                secret.data.get_or_insert_default().extend(data(kept));
                // Its version is in it: what somebody else wrote since is not lost.
                let answer = api.replace(&request.name(at), &params, &secret).await;
                ("update", answer)
            }
        };
        answer.map_err(|error| KubeError::of(error, request.doing(verb, at)))?;
    }
    Ok(())
}

fn report(request: &CertsRequest, planned: &Planned) -> Result<Certified, CertsError> {
    let mut secrets = Vec::new();
    for (at, (kept, deed)) in planned.all() {
        let facts = issue::facts(&kept.pair.cert).map_err(|source| request.issue(source))?;
        secrets.push(SecretReport {
            name: request.name(at),
            deed,
            until: facts.until,
        });
    }
    let client = &planned.client.0;
    let files = [
        (TRUSTED, client.trusted.clone()),
        (CERT, client.pair.cert.clone()),
        (KEY, client.pair.key.clone()),
    ];
    Ok(Certified {
        secrets,
        client: files.into(),
    })
}

impl Planned {
    /// Each with its place among the Secrets.
    fn all(&self) -> impl Iterator<Item = (usize, (&Kept, Deed))> {
        let all = [
            self.authority.as_ref(),
            Some(&self.server),
            Some(&self.client),
        ];
        let all = all.into_iter().enumerate();
        all.filter_map(|(at, one)| one.map(|(kept, deed)| (at, (kept, *deed))))
    }
}

impl Certified {
    /// Whether daemons that run have to be started again to use what is new.
    pub fn concerns_daemons(&self) -> bool {
        let is_new = |secret: &SecretReport| !matches!(secret.deed, Deed::Kept | Deed::Made);
        let servers = self.secrets.iter().rev().nth(1);
        servers.is_some_and(is_new)
    }
}

impl CertsRequest {
    fn name(&self, at: usize) -> String {
        format!("{}-{}", self.pool, SUFFIXES[at])
    }

    fn api(&self, cluster: &Cluster) -> Api<Secret> {
        Api::namespaced(cluster.client.clone(), &self.namespace)
    }

    fn doing(&self, verb: &'static str, at: usize) -> Doing {
        Doing::new(verb, "secrets", &self.namespace).named(&self.name(at))
    }

    fn issue(&self, source: IssueError) -> CertsError {
        CertsError::Issue {
            pool: self.pool.clone(),
            source,
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let labels = [
            ("app.kubernetes.io/name", "buildkitd"),
            (INSTANCE_LABEL, &self.pool),
            (MANAGED_BY_LABEL, MANAGED_BY),
        ];
        let labels = labels.into_iter();
        labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    fn secret(&self, at: usize, kept: &Kept) -> Secret {
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name(at)),
                namespace: Some(self.namespace.clone()),
                labels: Some(self.labels()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(data(kept).collect()),
            ..Secret::default()
        }
    }

    /// The same for people: in plain text.
    fn object(&self, at: usize, kept: &Kept) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self.name(at), "namespace": self.namespace, "labels": self.labels(),
            },
            "type": "kubernetes.io/tls",
            "stringData": {TRUSTED: kept.trusted, CERT: kept.pair.cert, KEY: kept.pair.key},
        })
    }
}

fn data(kept: &Kept) -> impl Iterator<Item = (String, ByteString)> {
    let files = [
        (TRUSTED, &kept.trusted),
        (CERT, &kept.pair.cert),
        (KEY, &kept.pair.key),
    ];
    let bytes = |(name, text): (&str, &String)| (name.to_owned(), ByteString(text.clone().into()));
    files.map(bytes).into_iter()
}

/// Reads a Secret; `None` where a part is missing or is no text.
fn kept(secret: &Secret) -> Option<Kept> {
    let data = secret.data.as_ref()?;
    let text = |name: &str| String::from_utf8(data.get(name)?.0.clone()).ok();
    Some(Kept {
        trusted: text(TRUSTED)?,
        pair: issue::Pair {
            cert: text(CERT)?,
            key: text(KEY)?,
        },
    })
}
