//! What a request is about: [`Ask`], read from its method, path and query.

use http::{Method, Uri};
use reqwest::Url;

/// A request in the words of RBAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Method, path and query, as they came.
    pub(crate) line: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub(crate) verb: &'static str,
    /// `v1`, or group and version: `apps/v1`.
    pub(super) api: String,
    /// `pods`, or with what is asked of it: `pods/exec`.
    pub(crate) resource: String,
    /// The resource without what is asked of it.
    pub(super) base: String,
    /// What is asked of it: `exec`, `scale`; empty for the object itself.
    pub(super) sub: String,
    /// Empty for all, or where there is none.
    pub(crate) namespace: String,
    /// Empty where all are meant.
    pub(crate) name: String,
    query: Vec<(String, String)>,
}

impl Ask {
    /// Reads a request; `None` if it is about no object.
    pub(super) fn of(method: &Method, uri: &Uri) -> Option<Self> {
        let parts: Vec<_> = uri.path().trim_matches('/').split('/').collect();
        let (api, rest) = match &parts[..] {
            ["api", version, rest @ ..] => ((*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            _ => ("", rest),
        };
        let (base, name, sub) = match *rest {
            [base] => (base, "", ""),
            [base, name] => (base, name, ""),
            [base, name, sub] => (base, name, sub),
            _ => return None,
        };
        let query = pairs(uri.query().unwrap_or_default());
        let watches = query
            .iter()
            .any(|(key, value)| key == "watch" && (value == "1" || value == "true"));
        let resource = match sub {
            "" => base.to_owned(),
            sub => format!("{base}/{sub}"),
        };
        Some(Self {
            line: format!("{method} {uri}"),
            verb: verb(method, name, watches),
            api,
            resource,
            base: base.to_owned(),
            sub: sub.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            query,
        })
    }

    /// A parameter of the query.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params(name).next()
    }

    /// All values of a parameter.
    pub(super) fn params(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_name = move |pair: &&(String, String)| pair.0 == name;
        let values = self.query.iter().filter(of_name);
        values.map(|(_, value)| value.as_str())
    }

    /// A parameter that is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        matches!(self.param(name), Some("1" | "true"))
    }

    /// The group that the resource is of.
    pub(super) fn group(&self) -> &str {
        self.api.split_once('/').map_or("", |(group, _)| group)
    }
}

fn verb(method: &Method, name: &str, watches: bool) -> &'static str {
    match (method.as_str(), name) {
        ("GET", _) if watches => "watch",
        ("GET", "") => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", "") => "deletecollection",
        ("DELETE", _) => "delete",
        _ => "get",
    }
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let url = Url::parse(&format!("http://x/?{query}")).unwrap();
    url.query_pairs().into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, uri: &str, expect: &str) {
        let ask = Ask::of(&method.parse().unwrap(), &uri.parse().unwrap()).unwrap();
        let found = [ask.verb, &ask.api, &ask.resource, &ask.namespace, &ask.name];
        assert_eq!(found.join(" "), expect);
    }

    #[test]
    fn paths_are_read_as_rbac_does() {
        check("GET", "/api/v1/namespaces/a/pods", "list v1 pods a ");
        check("GET", "/api/v1/pods?watch=true", "watch v1 pods  ");
        check("GET", "/api/v1/namespaces/a", "get v1 namespaces  a");
        check(
            "PATCH",
            "/apis/apps/v1/namespaces/a/statefulsets/b/scale",
            "patch apps/v1 statefulsets/scale a b",
        );
        check(
            "GET",
            "/api/v1/namespaces/a/pods/b/exec?command=x",
            "get v1 pods/exec a b",
        );
    }
}
