//! Which cluster is meant: the kubeconfig files as `kubectl` finds and merges them, else the
//! service account of the pod this runs in.
//!
//! The environment is a map; kube's own search would read the process's. Blocks: not for
//! async threads.

use std::fs;
use std::path::{Path, PathBuf};

use kube::config::{Config, Context, Kubeconfig};

use super::access::{AnyError, KubeError};
use super::cluster::{ClusterSpec, Located};
use crate::config::Env;

/// Where a pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the cluster of the pod's own service account is called.
const IN_CLUSTER: &str = "in-cluster";
/// The namespace when nothing says one, as `kubectl` has it.
const DEFAULT_NAMESPACE: &str = "default";

/// Finds the configuration that a specification and the environment mean.
pub(super) fn locate(spec: &ClusterSpec, env: &Env) -> Result<Located, KubeError> {
    locate_with(spec, env, Path::new(SERVICE_ACCOUNT))
}

fn locate_with(spec: &ClusterSpec, env: &Env, account: &Path) -> Result<Located, KubeError> {
    let looked = candidates(spec, env);
    // One that is named must be there; of those that are looked for, as many as there are.
    let found: Vec<&PathBuf> = match spec.kubeconfig {
        Some(_) => looked.iter().collect(),
        None => looked.iter().filter(|path| path.is_file()).collect(),
    };
    let merged = merge(&found)?;
    let chosen = spec.context.is_some() || merged.current_context.is_some();
    let in_pod = spec.kubeconfig.is_none() && env.contains_key("KUBERNETES_SERVICE_HOST");
    if !chosen && merged.contexts.is_empty() && in_pod {
        return in_cluster(env, account);
    }
    if found.is_empty() {
        return Err(KubeError::NoConfig { looked });
    }
    of_context(merged, spec, place(&found))
}

/// The files to look at, in the order in which they are merged.
fn candidates(spec: &ClusterSpec, env: &Env) -> Vec<PathBuf> {
    if let Some(path) = &spec.kubeconfig {
        return vec![path.clone()];
    }
    let list = env.get("KUBECONFIG").map_or("", String::as_str);
    let named: Vec<PathBuf> = std::env::split_paths(list)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if !named.is_empty() {
        return named;
    }
    let home = env.get("HOME").map_or("", String::as_str);
    vec![Path::new(home).join(".kube").join("config")]
}

/// Merges files as `kubectl` does: the first to say something wins.
fn merge(files: &[&PathBuf]) -> Result<Kubeconfig, KubeError> {
    let mut merged = Kubeconfig::default();
    for file in files {
        let cannot = |error| config_error(file.display().to_string(), error);
        let next = Kubeconfig::read_from(file).map_err(cannot)?;
        merged = merged.merge(next).map_err(cannot)?;
    }
    merged.current_context = merged.current_context.filter(|name| !name.is_empty());
    Ok(merged)
}

fn of_context(
    kubeconfig: Kubeconfig,
    spec: &ClusterSpec,
    place: String,
) -> Result<Located, KubeError> {
    let contexts = kubeconfig.contexts.iter();
    let known = contexts.map(|context| context.name.clone()).collect();
    let chosen = spec
        .context
        .as_ref()
        .or(kubeconfig.current_context.as_ref());
    let Some(name) = chosen.cloned() else {
        return Err(KubeError::NoContext { place, known });
    };
    let Some(context) = context(&kubeconfig, &name) else {
        return Err(KubeError::UnknownContext {
            place,
            context: name,
            known,
        });
    };
    let clusters = kubeconfig.clusters.iter();
    let mut cluster = clusters.filter(|cluster| cluster.name == context.cluster);
    let proxied = cluster
        .next()
        .and_then(|cluster| cluster.cluster.as_ref()?.proxy_url.as_ref())
        .is_some_and(|proxy| !proxy.is_empty());
    if proxied {
        return Err(KubeError::Proxy { place });
    }
    let config = Config::try_from(Kubeconfig {
        current_context: Some(name.clone()),
        ..kubeconfig
    });
    let mut config = config.map_err(|error| config_error(place, error))?;
    config.proxy_url = None;
    if config.default_namespace.is_empty() {
        config.default_namespace = DEFAULT_NAMESPACE.to_owned();
    }
    Ok(Located {
        config,
        name,
        in_cluster: false,
    })
}

fn context<'a>(kubeconfig: &'a Kubeconfig, name: &str) -> Option<&'a Context> {
    let mut contexts = kubeconfig.contexts.iter();
    contexts
        .find(|context| context.name == name)
        .and_then(|context| context.context.as_ref())
}

/// The pod's own service account. Its token and authority are read again as they rotate.
fn in_cluster(env: &Env, account: &Path) -> Result<Located, KubeError> {
    let cannot = |source: AnyError| KubeError::Config {
        place: format!("the pod's service account ({})", account.display()),
        source,
    };
    let value = |name: &str| env.get(name).map_or("", String::as_str);
    let host = value("KUBERNETES_SERVICE_HOST");
    let host = match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_owned(),
    };
    let port = match value("KUBERNETES_SERVICE_PORT") {
        "" => "443",
        port => port,
    };
    let url = format!("https://{host}:{port}").parse();
    let mut config = Config::new(url.map_err(|error: http::uri::InvalidUri| cannot(error.into()))?);
    let token = account.join("token");
    // kube would not say which file is missing.
    fs::metadata(&token).map_err(|error| cannot(format!("no token in it: {error}").into()))?;
    config.auth_info.token_file = Some(token.display().to_string());
    // The file counts; without the empty list the system's authorities would be loaded.
    config.root_cert = Some(Vec::new());
    config.root_cert_file = Some(account.join("ca.crt"));
    let namespace = fs::read_to_string(account.join("namespace")).unwrap_or_default();
    config.default_namespace = match namespace.trim() {
        "" => DEFAULT_NAMESPACE.to_owned(),
        namespace => namespace.to_owned(),
    };
    Ok(Located {
        config,
        name: IN_CLUSTER.to_owned(),
        in_cluster: true,
    })
}

fn config_error(place: String, error: kube::config::KubeconfigError) -> KubeError {
    KubeError::Config {
        place,
        source: error.into(),
    }
}

fn place(files: &[&PathBuf]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    format!("the kubeconfig {}", files.join(" + "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "
clusters:
- {name: c, cluster: {server: 'https://10.0.0.1:6443'}}
contexts:
- {name: dev, context: {cluster: c, user: u, namespace: team}}
- {name: bare, context: {cluster: c, user: u}}
users:
- {name: u, user: {token: t}}
";

    fn env(pairs: &[(&str, &str)]) -> Env {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    fn spec(context: Option<&str>) -> ClusterSpec {
        ClusterSpec {
            context: context.map(str::to_owned),
            ..ClusterSpec::default()
        }
    }

    fn error(spec: &ClusterSpec, env: &Env) -> KubeError {
        match locate(spec, env) {
            Ok(located) => panic!("{}", located.name),
            Err(error) => error,
        }
    }

    #[test]
    fn files_of_the_list_are_merged_and_missing_ones_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::write(&one, "current-context: bare").unwrap();
        fs::write(&two, PLAIN.to_owned() + "current-context: dev").unwrap();
        let list = format!("{}:/nowhere::{}", one.display(), two.display());
        let env = env(&[("KUBECONFIG", &list), ("HOME", "/elsewhere")]);
        let located = locate(&spec(None), &env).unwrap();
        assert_eq!((located.name.as_str(), located.in_cluster), ("bare", false));
        assert_eq!(located.config.default_namespace, "default");
        let located = locate(&spec(Some("dev")), &env).unwrap();
        assert_eq!(located.config.default_namespace, "team");
        assert_eq!(located.config.cluster_url.host(), Some("10.0.0.1"));
    }

    #[test]
    fn the_home_directory_is_the_default_and_a_named_file_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".kube")).unwrap();
        fs::write(folder.path().join(".kube/config"), PLAIN).unwrap();
        let env = env(&[("HOME", folder.path().to_str().unwrap())]);
        assert_eq!(locate(&spec(Some("dev")), &env).unwrap().name, "dev");
        let named = ClusterSpec {
            kubeconfig: Some("/nowhere/config".into()),
            ..ClusterSpec::default()
        };
        let text = error(&named, &env).to_string();
        assert_eq!(text, "cannot use /nowhere/config");
    }

    #[test]
    fn a_context_that_is_not_there_is_told_with_those_that_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        fs::write(&file, PLAIN).unwrap();
        let env = env(&[("KUBECONFIG", file.to_str().unwrap())]);
        let place = format!("the kubeconfig {}", file.display());
        assert_eq!(
            error(&spec(Some("prod")), &env).to_string(),
            format!("{place} has no context `prod`; it has dev, bare")
        );
        assert_eq!(
            error(&spec(None), &env).to_string(),
            format!("{place} has no current context; choose one of dev, bare")
        );
    }

    #[test]
    fn files_that_are_no_kubeconfig_and_proxies_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let env = env(&[("KUBECONFIG", file.to_str().unwrap())]);
        fs::write(&file, "clusters: [what").unwrap();
        let text = crate::causes::causes(&error(&spec(None), &env));
        assert!(
            text.starts_with(&format!("cannot use {}: ", file.display())),
            "{text}"
        );
        let proxied = PLAIN.replace("6443'", "6443', proxy-url: 'http://p:3128'");
        fs::write(&file, proxied).unwrap();
        let text = error(&spec(Some("dev")), &env).to_string();
        assert!(
            text.ends_with("has `proxy-url`, which is not supported"),
            "{text}"
        );
    }

    #[test]
    fn a_pod_uses_its_own_service_account() {
        let folder = tempfile::tempdir().unwrap();
        let pod = env(&[
            ("HOME", "/nowhere"),
            ("KUBERNETES_SERVICE_HOST", "fd00::1"),
            ("KUBERNETES_SERVICE_PORT", "6443"),
        ]);
        let Err(missing) = locate_with(&spec(None), &pod, folder.path()) else {
            panic!("there is no token")
        };
        assert!(crate::causes::causes(&missing).contains("no token in it"));
        fs::write(folder.path().join("token"), "t").unwrap();
        fs::write(folder.path().join("namespace"), "ci\n").unwrap();
        let located = locate_with(&spec(None), &pod, folder.path()).unwrap();
        assert!(located.in_cluster);
        assert_eq!(located.name, "in-cluster");
        assert_eq!(located.config.default_namespace, "ci");
        let url = located.config.cluster_url.to_string();
        assert_eq!(url, "https://[fd00::1]:6443/");
    }

    #[test]
    fn nothing_at_all_is_told_with_where_was_looked() {
        let env = env(&[("HOME", "/nowhere")]);
        let error = error(&spec(None), &env);
        assert!(
            error
                .to_string()
                .contains("no kubeconfig at /nowhere/.kube/config")
        );
        assert!(error.hint().unwrap().contains("KUBECONFIG"));
    }
}
