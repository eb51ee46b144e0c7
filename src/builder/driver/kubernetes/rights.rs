//! Rights that the access rules of a cluster do not give: [`Missing`], read from the API
//! server's refusal, and the YAML that would give them.
//!
//! Pure. Refusals of admission checks and quotas are not rights; they are not read here.

use std::fmt;

use super::access::Doing;

/// The prefix of service accounts among user names.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// A right that somebody does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Who asked, as the API server calls them; `None` when it did not say.
    pub who: Option<String>,
    /// The verb, such as `create`.
    pub verb: String,
    /// The API group; empty for the core one.
    pub group: String,
    /// The resource, with its subresource.
    pub resource: String,
    /// The namespace; `None` means the whole cluster.
    pub namespace: Option<String>,
    /// The object; `None` when the request was about many.
    pub name: Option<String>,
}

impl Missing {
    /// Reads a refusal; `None` when it is not one of the access rules.
    ///
    /// What it says counts more than what was asked: an exec that was asked for with GET may
    /// need `create`.
    pub(super) fn read(message: &str, doing: &Doing) -> Option<Self> {
        let (who, rule) = message.split_once(" cannot ")?;
        let (verb, rule) = rule.split_once(" resource \"")?;
        let (resource, rule) = rule.split_once('"')?;
        let who = who.rsplit_once("User \"").map(|(_, who)| who);
        Some(Self {
            who: who.map(|who| who.trim_end_matches('"').to_owned()),
            verb: verb.to_owned(),
            group: between(rule, "API group \"")
                .unwrap_or(doing.group)
                .to_owned(),
            resource: resource.to_owned(),
            namespace: between(rule, "the namespace \"").map(str::to_owned),
            name: doing.name.clone(),
        })
    }

    /// What to do about it, in a line.
    pub(super) fn hint(&self) -> String {
        match self.who.as_deref() {
            Some("system:anonymous") => {
                "the request carried no credentials; check the kubeconfig's user".to_owned()
            }
            _ => "ask somebody who may to apply the role below".to_owned(),
        }
    }

    /// The YAML of a role that gives the right, and of the binding.
    pub(super) fn grant(&self) -> String {
        let (role, scope) = match &self.namespace {
            Some(namespace) => ("Role", format!("\n  namespace: {namespace}")),
            None => ("ClusterRole", String::new()),
        };
        let name = format!("mbuild-{}-{}", self.verb, self.resource.replace('/', "-"));
        let api = "rbac.authorization.k8s.io";
        let mut yaml = format!(
            "apiVersion: {api}/v1\n\
             kind: {role}\n\
             metadata:\n  name: {name}{scope}\n\
             rules:\n\
             - apiGroups: [\"{}\"]\n  resources: [\"{}\"]\n  verbs: [{}]\n",
            self.group,
            self.resource,
            self.verbs()
        );
        if let Some(who) = &self.who {
            yaml += &format!(
                "---\n\
                 apiVersion: {api}/v1\n\
                 kind: {role}Binding\n\
                 metadata:\n  name: {name}{scope}\n\
                 roleRef:\n  apiGroup: {api}\n  kind: {role}\n  name: {name}\n\
                 subjects:\n{}",
                subject(who)
            );
        }
        yaml
    }

    /// Streams over the API server need `get` before Kubernetes 1.35 and `create` from then
    /// on (kubernetes#134577): whoever grants one grants both.
    fn verbs(&self) -> String {
        match self.resource.as_str() {
            "pods/exec" | "pods/portforward" => "\"create\", \"get\"".to_owned(),
            _ => format!("\"{}\"", self.verb),
        }
    }
}

impl std::error::Error for Missing {}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.who.as_deref().unwrap_or("this client");
        write!(f, "`{who}` may not {} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, " of {}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, " (`{name}`)")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace `{namespace}`"),
            None => f.write_str(" in the cluster"),
        }
    }
}

fn subject(who: &str) -> String {
    let account = who
        .strip_prefix(SERVICE_ACCOUNT)
        .and_then(|account| account.split_once(':'));
    match account {
        Some((namespace, name)) => {
            format!("- kind: ServiceAccount\n  name: {name}\n  namespace: {namespace}\n")
        }
        None => {
            format!("- kind: User\n  apiGroup: rbac.authorization.k8s.io\n  name: \"{who}\"\n")
        }
    }
}

fn between<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once('"').map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: &str = "pods \"b-amd64-0\" is forbidden: User \
        \"system:serviceaccount:ci:agent\" cannot create resource \"pods/exec\" in API group \
        \"\" in the namespace \"buildkit\"";

    fn asked() -> Doing {
        Doing::new("get", "pods/exec", "buildkit").named("b-amd64-0")
    }

    #[test]
    fn a_refusal_is_read_and_told_in_one_line() {
        let missing = Missing::read(REFUSAL, &asked()).unwrap();
        assert_eq!(
            missing.to_string(),
            "`system:serviceaccount:ci:agent` may not create pods/exec (`b-amd64-0`) \
             in namespace `buildkit`"
        );
    }

    #[test]
    fn what_would_grant_it_is_yaml_with_the_account_that_asked() {
        let yaml = Missing::read(REFUSAL, &asked()).unwrap().grant();
        let parts: Vec<serde_json::Value> = serde_saphyr::from_multiple(&yaml).unwrap();
        assert_eq!(parts[0]["kind"], "Role");
        assert_eq!(parts[0]["metadata"]["namespace"], "buildkit");
        assert_eq!(
            parts[0]["rules"][0],
            serde_json::json!({
                "apiGroups": [""],
                "resources": ["pods/exec"],
                "verbs": ["create", "get"],
            })
        );
        assert_eq!(parts[1]["kind"], "RoleBinding");
        assert_eq!(parts[1]["roleRef"]["name"], parts[0]["metadata"]["name"]);
        assert_eq!(
            parts[1]["subjects"][0],
            serde_json::json!({"kind": "ServiceAccount", "name": "agent", "namespace": "ci"})
        );
    }

    #[test]
    fn rights_for_the_whole_cluster_and_for_people_are_told_apart() {
        let refusal = "nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API \
            group \"\" at the cluster scope";
        let asked = Doing {
            namespace: None,
            ..Doing::new("list", "nodes", "")
        };
        let missing = Missing::read(refusal, &asked).unwrap();
        assert_eq!(
            missing.to_string(),
            "`jane` may not list nodes in the cluster"
        );
        let parts: Vec<serde_json::Value> = serde_saphyr::from_multiple(&missing.grant()).unwrap();
        assert_eq!(parts[0]["kind"], "ClusterRole");
        assert_eq!(parts[1]["kind"], "ClusterRoleBinding");
        assert_eq!(parts[1]["subjects"][0]["name"], "jane");
    }

    #[test]
    fn other_refusals_are_no_missing_rights() {
        for refusal in [
            "pods \"x\" is forbidden: exceeded quota: q, requested: cpu=2",
            "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": privileged",
            "forbidden",
            "",
        ] {
            assert_eq!(Missing::read(refusal, &asked()), None, "{refusal}");
        }
    }
}
