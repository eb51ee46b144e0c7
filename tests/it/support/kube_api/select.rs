//! Which objects a request means: [`Selector`], of labels and of fields.

use serde_json::Value;

use super::ask::Ask;

/// The objects that are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Term>,
    fields: Vec<Term>,
}

/// One condition on one value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Given,
    NotGiven,
}

impl Selector {
    /// Reads what a request selects.
    pub(super) fn of(ask: &Ask) -> Self {
        Self {
            labels: terms(ask.param("labelSelector").unwrap_or_default()),
            fields: terms(ask.param("fieldSelector").unwrap_or_default()),
        }
    }

    /// Whether an object is meant.
    pub(super) fn takes(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let label = |term: &Term| term.takes(labels[&term.key].as_str());
        let field = |term: &Term| {
            let pointer = format!("/{}", term.key.replace('.', "/"));
            let value = object.pointer(&pointer).and_then(Value::as_str);
            term.takes(Some(value.unwrap_or_default()))
        };
        self.labels.iter().all(label) && self.fields.iter().all(field)
    }
}

impl Term {
    fn of(text: &str) -> Self {
        let text = text.trim();
        let list = |text: &str| {
            let inner = text.trim().trim_start_matches('(').trim_end_matches(')');
            inner
                .split(',')
                .map(|word| word.trim().to_owned())
                .collect()
        };
        let one = |text: &str| vec![text.trim().to_owned()];
        let (key, test) = if let Some((key, value)) = text.split_once("!=") {
            (key, Test::NotIn(one(value)))
        } else if let Some((key, value)) = text.split_once('=') {
            (key, Test::In(one(value.trim_start_matches('='))))
        } else if let Some((key, words)) = text.split_once(" notin ") {
            (key, Test::NotIn(list(words)))
        } else if let Some((key, words)) = text.split_once(" in ") {
            (key, Test::In(list(words)))
        } else if let Some(key) = text.strip_prefix('!') {
            (key, Test::NotGiven)
        } else {
            (text, Test::Given)
        };
        Self {
            key: key.trim().to_owned(),
            test,
        }
    }

    fn takes(&self, value: Option<&str>) -> bool {
        let among = |words: &[String]| value.is_some_and(|v| words.iter().any(|word| word == v));
        match &self.test {
            Test::In(words) => among(words),
            Test::NotIn(words) => !among(words),
            Test::Given => value.is_some(),
            Test::NotGiven => value.is_none(),
        }
    }
}

/// The terms between the commas that are in no parentheses.
fn terms(text: &str) -> Vec<Term> {
    let mut depth = 0_i32;
    let parts = text.split(|letter| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        letter == ',' && depth == 0
    });
    let given = parts.filter(|part| !part.trim().is_empty());
    given.map(Term::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(labels: &str, fields: &str, expect: bool) {
        let object = json!({
            "metadata": {"name": "p-0", "labels": {"app": "a", "arch": "amd64"}},
            "status": {"phase": "Running"},
        });
        let selector = Selector {
            labels: terms(labels),
            fields: terms(fields),
        };
        assert_eq!(selector.takes(&object), expect, "{labels:?} {fields:?}");
    }

    #[test]
    fn selectors_mean_what_kubernetes_means_by_them() {
        check("", "", true);
        check("app=a,arch==amd64", "", true);
        check("app=b", "", false);
        check("app!=b,other!=x", "", true);
        check("arch in (arm64, amd64),app", "", true);
        check("arch notin (amd64)", "", false);
        check("arch in (arm64)", "", false);
        check("!app", "", false);
        check("!other", "", true);
        check("", "metadata.name=p-0,status.phase!=Failed", true);
        check("", "metadata.name=p-1", false);
    }
}
