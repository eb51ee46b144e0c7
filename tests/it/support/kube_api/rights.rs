//! Who may do what: [`Rights`] of the one user that the double knows.

use serde_json::Value;

use super::ask::Ask;

/// What the user may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    groups: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    verbs: Vec<String>,
}

impl Rights {
    /// Everything.
    pub(crate) fn all() -> Self {
        Self::none().and("*", "*")
    }

    /// Nothing.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// These verbs, divided by spaces, on such a resource in any group: `pods/exec`.
    pub(crate) fn and(mut self, verbs: &str, resource: &str) -> Self {
        self.rules.push(Rule {
            groups: vec!["*".into()],
            resources: vec![resource.into()],
            names: Vec::new(),
            verbs: verbs.split(' ').map(str::to_owned).collect(),
        });
        self
    }

    /// What a `Role` grants, wherever it is bound.
    pub(crate) fn of_role(role: &Value) -> Self {
        let words = |rule: &Value, member: &str| -> Vec<String> {
            let words = rule[member].as_array().into_iter().flatten();
            words
                .map(|word| word.as_str().unwrap().to_owned())
                .collect()
        };
        let rules = role["rules"].as_array().into_iter().flatten();
        let rules = rules.map(|rule| Rule {
            groups: words(rule, "apiGroups"),
            resources: words(rule, "resources"),
            names: words(rule, "resourceNames"),
            verbs: words(rule, "verbs"),
        });
        Self {
            rules: rules.collect(),
        }
    }

    /// Whether the user may do so.
    pub(super) fn allow(&self, ask: &Ask, verb: &str) -> bool {
        self.allow_named(verb, ask.group(), &ask.resource, &ask.name)
    }

    pub(super) fn allow_named(&self, verb: &str, group: &str, resource: &str, name: &str) -> bool {
        let has = |words: &[String], word: &str| words.iter().any(|w| w == "*" || w == word);
        self.rules.iter().any(|rule| {
            has(&rule.verbs, verb)
                && has(&rule.groups, group)
                && has(&rule.resources, resource)
                && (rule.names.is_empty() || has(&rule.names, name))
        })
    }
}
