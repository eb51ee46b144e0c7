//! The real daemons and the real registry that `tests/env/up` starts, or that the user gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use mbuild::buildkit::Connection;
use mbuild::buildkit::dial::dialer;
use mbuild::buildkit::endpoint::Endpoint;

/// What the environment's file says.
#[derive(Clone, Debug)]
pub(crate) struct Env {
    values: BTreeMap<String, String>,
}

/// Finds the environment; without one, a test returns early, which under `CI=true` is a failure.
#[expect(clippy::print_stderr, reason = "a skipped test says what it needs")]
pub(crate) fn env() -> Option<Env> {
    let values: BTreeMap<_, _> = std::env::vars()
        .filter(|(name, _)| name.starts_with("MBUILD_TEST_"))
        .collect();
    let needed = [
        "MBUILD_TEST_AMD64",
        "MBUILD_TEST_ARM64",
        "MBUILD_TEST_REGISTRY",
    ];
    let missing: Vec<_> = needed
        .into_iter()
        .filter(|name| !values.contains_key(*name))
        .collect();
    if missing.is_empty() {
        return Some(Env { values });
    }
    let text = format!(
        "needs {}: run tests/env/up, then `. tests/env/.state/env`",
        missing.join(", ")
    );
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{text}");
    eprintln!("skipped: {text}");
    None
}

impl Env {
    /// A value by the end of its name, such as `REGISTRY`; panics if it is not given.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.find(name)
            .unwrap_or_else(|| panic!("MBUILD_TEST_{name} is not set"))
    }

    /// A value by the end of its name; `None` if it is not given.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.values
            .get(&format!("MBUILD_TEST_{name}"))
            .map(String::as_str)
    }

    /// The daemon called `AMD64` or `ARM64`.
    pub(crate) fn endpoint(&self, node: &str) -> Endpoint {
        self.get(node).parse().unwrap()
    }

    /// A connection to the daemon called `AMD64` or `ARM64`.
    pub(crate) async fn connect(&self, node: &str) -> Connection {
        let dialer = Arc::from(dialer(&self.endpoint(node), None));
        Connection::open(dialer).await.unwrap()
    }
}
