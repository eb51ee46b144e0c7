//! Where buildx's Kubernetes driver, and its `kube-pod://` endpoints, find their pods.

use std::collections::BTreeMap;

use super::super::pool::PoolSpec;

/// What buildx puts before a node's name, and takes off again to name the workload.
const PREFIX: &str = "buildx_buildkit_";

/// The pods of a node of driver `kubernetes`: those of the workload that is named as the node.
/// With the options that say how it was made, which a running pool keeps.
pub(super) fn of_deployment(
    node: &str,
    endpoint: &str,
    options: &BTreeMap<String, String>,
) -> (PoolSpec, Vec<String>) {
    let workload = node.strip_prefix(PREFIX).unwrap_or(node).replace('_', "-");
    let mut pool = PoolSpec {
        selector: Some(format!("app={workload}")),
        kubeconfig: query(endpoint, "kubeconfig").map(Into::into),
        ..PoolSpec::default()
    };
    let mut left_out = Vec::new();
    for (key, value) in options {
        match key.as_str() {
            "namespace" => pool.namespace = Some(value.clone()),
            "loadbalance" => pool.load_balance = value.parse().unwrap_or_default(),
            _ => left_out.push(key.clone()),
        }
    }
    (pool, left_out)
}

/// The pod of an endpoint such as `kube-pod://POD?context=C&namespace=N&container=K`; `None`
/// for any other endpoint.
pub(super) fn of_endpoint(endpoint: &str) -> Option<PoolSpec> {
    let rest = endpoint.strip_prefix("kube-pod://")?;
    let pod = rest
        .split(['?', '/'])
        .next()
        .filter(|pod| !pod.is_empty())?;
    Some(PoolSpec {
        pods: vec![pod.to_owned()],
        context: query(endpoint, "context"),
        namespace: query(endpoint, "namespace"),
        container: query(endpoint, "container"),
        ..PoolSpec::default()
    })
}

/// A value of a URL's query; `None` where it is not there or empty.
fn query(url: &str, key: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| *name == key)?;
    Some(decode(value)).filter(|value| !value.is_empty())
}

/// Undoes the encoding of a query; what is no code stays as it is.
fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let code = tail
            .get(..2)
            .and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_named_as_its_node() {
        let options = [
            ("namespace", "ci"),
            ("loadbalance", "random"),
            ("replicas", "3"),
        ];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let endpoint = "kubernetes:///kube?deployment=kube0&kubeconfig=%2Fhome%2Fme%2Fkube+config";
        let (pool, left_out) = of_deployment("buildx_buildkit_kube_0", endpoint, &options.into());
        assert_eq!(pool.selector.as_deref(), Some("app=kube-0"));
        assert_eq!(pool.namespace.as_deref(), Some("ci"));
        assert_eq!(pool.kubeconfig, Some("/home/me/kube config".into()));
        assert_eq!(pool.load_balance.to_string(), "random");
        assert_eq!(left_out, ["replicas"]);
        let (pool, _) = of_deployment(
            "n",
            "kubernetes:///kube?deployment=&kubeconfig=",
            &BTreeMap::new(),
        );
        assert_eq!(pool.kubeconfig, None);
    }

    #[test]
    fn an_endpoint_names_one_pod() {
        let pool = of_endpoint("kube-pod://p-0?context=arm&namespace=ci&container=c").unwrap();
        assert_eq!(pool.to_string(), "pods p-0 in namespace ci, context arm");
        assert_eq!(pool.container.as_deref(), Some("c"));
        assert_eq!(of_endpoint("kube-pod://?x=y"), None);
        assert_eq!(of_endpoint("tcp://h:1"), None);
    }
}
