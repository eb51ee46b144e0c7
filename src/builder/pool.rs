//! One architecture's pods as a builder's definition names them: [`PoolSpec`].
//!
//! Says which pods are meant and how they are reached. It contacts nobody and knows nothing of
//! the Kubernetes API; `driver::kubernetes` does.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::buildkit::dial::TlsFiles;

/// The port on which a pool's daemons take mutual TLS, as `deploy/buildkit` has it.
pub const BUILDKIT_PORT: u16 = 1234;

/// The label selector that finds every pool: what `deploy/buildkit` labels its pods with.
pub const POOL_SELECTOR: &str = "app.kubernetes.io/name=buildkitd";

/// The label that tells pools apart.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// The label that names the architecture of a pool's part.
pub(super) const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// The label selector of a pool by its name; with an architecture, of that part alone.
pub fn pool_selector(pool: &str, arch: Option<&str>) -> String {
    let part = arch.map(|arch| format!(",{COMPONENT_LABEL}={arch}"));
    let part = part.unwrap_or_default();
    format!("{POOL_SELECTOR},{INSTANCE_LABEL}={pool}{part}")
}

/// The pods of one node: in which cluster and namespace, which ones, and how to reach them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// The kubeconfig file; `None` means `KUBECONFIG`, `~/.kube/config`, or the pod's own
    /// service account.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; `None` means its current one.
    pub context: Option<String>,
    /// The namespace; `None` means the context's, or the pod's own.
    pub namespace: Option<String>,
    /// The pods' label selector; `None` means [`POOL_SELECTOR`].
    pub selector: Option<String>,
    /// The pods by name; empty means all that the selector finds.
    pub pods: Vec<String>,
    /// The container that has buildkitd; `None` means one of that name, else the pod's first.
    pub container: Option<String>,
    /// How bytes get to a pod.
    pub transport: Transport,
    /// Which of several ready pods builds.
    pub load_balance: LoadBalance,
    /// The port on which a pod is reached directly, or by port-forward.
    pub port: u16,
    /// The client's certificates for the direct way; `None` means those at the stated path,
    /// where there are any.
    pub tls: Option<TlsFiles>,
    /// Whether `mbuild builder create` made the pool, so that `rm` removes it.
    pub created: bool,
}

/// How bytes get to a pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Whatever works, tried in the order of the other three.
    #[default]
    Auto,
    /// TCP with mutual TLS, straight to the pod's address.
    Direct,
    /// `buildctl dial-stdio` in the pod, over the API server.
    Exec,
    /// A port of the pod, over the API server.
    PortForward,
}

/// Which of several ready pods builds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LoadBalance {
    /// The project's own, where its cache is, unless that one is too busy.
    #[default]
    Sticky,
    /// Any.
    Random,
    /// The one with the fewest builds.
    LeastLoaded,
}

/// A word that is none of those that are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not known; it can be {}", word.escape_debug(), known.join(", "))]
pub struct UnknownWord {
    /// The word.
    pub word: String,
    /// Those that are known.
    pub known: Vec<&'static str>,
}

impl Default for PoolSpec {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            namespace: None,
            selector: None,
            pods: Vec::new(),
            container: None,
            transport: Transport::default(),
            load_balance: LoadBalance::default(),
            port: BUILDKIT_PORT,
            tls: None,
            created: false,
        }
    }
}

/// As messages name it: `pods app=x in namespace y, context z`.
impl fmt::Display for PoolSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.pods[..], self.standard_labels()) {
            ([], Some((pool, None))) => write!(f, "pods of pool {pool}")?,
            ([], Some((pool, Some(arch)))) => write!(f, "{arch} pods of pool {pool}")?,
            ([], None) => {
                let selector = self.selector.as_deref().unwrap_or(POOL_SELECTOR);
                write!(f, "pods {selector}")?;
            }
            (names, _) => write!(f, "pods {}", names.join(", "))?,
        }
        if let Some(namespace) = &self.namespace {
            write!(f, " in namespace {namespace}")?;
        }
        match &self.context {
            Some(context) => write!(f, ", context {context}"),
            None => Ok(()),
        }
    }
}

impl PoolSpec {
    /// Reads the pool's name, and its architecture if it is there, from a selector of the
    /// standard labels and nothing else.
    fn standard_labels(&self) -> Option<(&str, Option<&str>)> {
        let rest = self.selector.as_deref()?.strip_prefix(POOL_SELECTOR)?;
        let labels = rest.strip_prefix(",app.kubernetes.io/instance=")?;
        let (pool, arch) = match labels.split_once(",app.kubernetes.io/component=") {
            Some((pool, arch)) => (pool, Some(arch)),
            None => (labels, None),
        };
        let plain = |text: &str| !text.contains([',', '=', ' ']);
        (plain(pool) && arch.is_none_or(plain)).then_some((pool, arch))
    }
}

impl Transport {
    const NAMES: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("direct", Self::Direct),
        ("exec", Self::Exec),
        ("port-forward", Self::PortForward),
    ];
}

impl LoadBalance {
    const NAMES: [(&str, Self); 3] = [
        ("sticky", Self::Sticky),
        ("random", Self::Random),
        ("least-loaded", Self::LeastLoaded),
    ];
}

impl FromStr for Transport {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        find(word, &Self::NAMES)
    }
}

impl FromStr for LoadBalance {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        find(word, &Self::NAMES)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(*self, &Self::NAMES))
    }
}

impl fmt::Display for LoadBalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(*self, &Self::NAMES))
    }
}

fn find<T: Copy>(word: &str, names: &[(&'static str, T)]) -> Result<T, UnknownWord> {
    match names.iter().find(|(name, _)| *name == word) {
        Some((_, value)) => Ok(*value),
        None => Err(UnknownWord {
            word: word.to_owned(),
            known: names.iter().map(|(name, _)| *name).collect(),
        }),
    }
}

fn name<T: Copy + PartialEq>(value: T, names: &[(&'static str, T)]) -> &'static str {
    let named = names.iter().find(|(_, known)| *known == value);
    named.map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_of_the_standard_labels_are_named() {
        let check = |selector: &str, expect: &str| {
            let pool = PoolSpec {
                selector: Some(selector.to_owned()),
                namespace: Some("ci".into()),
                ..PoolSpec::default()
            };
            assert_eq!(pool.to_string(), format!("{expect} in namespace ci"));
        };
        let pool = format!("{POOL_SELECTOR},app.kubernetes.io/instance=kube");
        check(&pool, "pods of pool kube");
        check(
            &format!("{pool},app.kubernetes.io/component=arm64"),
            "arm64 pods of pool kube",
        );
        check(&format!("{pool},x=y"), &format!("pods {pool},x=y"));
        check("app=b", "pods app=b");
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for (word, transport) in Transport::NAMES {
            assert_eq!(word.parse(), Ok(transport));
            assert_eq!(transport.to_string(), word);
        }
        for (word, balance) in LoadBalance::NAMES {
            assert_eq!(word.parse(), Ok(balance));
            assert_eq!(balance.to_string(), word);
        }
        let error = "spdy".parse::<Transport>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`spdy` is not known; it can be auto, direct, exec, port-forward"
        );
    }
}
