//! What a node's table says of where its daemons are, by driver.
//!
//! Part of `parse`: each driver has keys of its own, and those of another are errors.

use toml::Spanned;

use super::parse::Parser;
use super::schema::NodeTable;
use super::{ConfigError, Located, PodsDef};

impl Parser<'_> {
    /// The endpoint of a node of driver `remote`.
    pub(super) fn endpoint(&self, table: &mut NodeTable) -> Result<Located, ConfigError> {
        let strange = [
            ("namespace", span(table.namespace.as_ref())),
            ("kubeconfig", span(table.kubeconfig.as_ref())),
            ("context", span(table.context.as_ref())),
            ("selector", span(table.selector.as_ref())),
            ("pods", span(table.pods.as_ref())),
            ("container", span(table.container.as_ref())),
            ("transport", span(table.transport.as_ref())),
            ("loadbalance", span(table.loadbalance.as_ref())),
            ("port", span(table.port.as_ref())),
            ("created", span(table.created.as_ref())),
        ];
        for (key, at) in strange {
            if let Some(at) = at {
                let message = format!("`{key}` goes with driver = \"kubernetes\" only");
                return Err(self.invalid(&at, message));
            }
        }
        match table.endpoint.take() {
            Some(endpoint) => Ok(self.located(endpoint)),
            None => {
                let name = table.name.as_ref();
                let message = format!("node `{name}` has no `endpoint`, which driver remote needs");
                Err(self.invalid(&table.name, message))
            }
        }
    }

    /// The pods of a node of driver `kubernetes`.
    pub(super) fn pods(&self, table: &mut NodeTable) -> Result<PodsDef, ConfigError> {
        if let Some(endpoint) = &table.endpoint {
            let message = "`endpoint` goes with driver = \"remote\" only; driver kubernetes finds \
                           its pods by `namespace` and `selector`, or `pods`";
            return Err(self.invalid(endpoint, message.to_owned()));
        }
        for (key, text) in [
            ("namespace", &table.namespace),
            ("context", &table.context),
            ("container", &table.container),
        ] {
            if let Some(text) = text.as_ref().filter(|text| text.as_ref().is_empty()) {
                return Err(self.invalid(text, format!("`{key}` is empty; leave it out")));
            }
        }
        if let (Some(selector), Some(_)) = (&table.selector, &table.pods) {
            let message = "give `selector` or `pods`, not both".to_owned();
            return Err(self.invalid(selector, message));
        }
        if let Some(pods) = table.pods.as_ref().filter(|pods| pods.as_ref().is_empty()) {
            return Err(self.invalid(pods, "`pods` names none; leave it out".to_owned()));
        }
        if let Some(port) = table.port.as_ref().filter(|port| *port.as_ref() == 0) {
            return Err(self.invalid(port, "port 0 is none".to_owned()));
        }
        let located = |text: Option<Spanned<String>>| text.map(|text| self.located(text));
        let plain = |text: Option<Spanned<String>>| text.map(Spanned::into_inner);
        let kubeconfig = table.kubeconfig.take().map(Spanned::into_inner);
        Ok(PodsDef {
            namespace: plain(table.namespace.take()),
            kubeconfig: kubeconfig.map(|path| self.resolve(path)),
            context: plain(table.context.take()),
            selector: located(table.selector.take()),
            pods: table
                .pods
                .take()
                .map(Spanned::into_inner)
                .unwrap_or_default(),
            container: plain(table.container.take()),
            transport: located(table.transport.take()),
            loadbalance: located(table.loadbalance.take()),
            port: table.port.take().map(Spanned::into_inner),
            created: table.created.take().is_some_and(Spanned::into_inner),
        })
    }

    fn located(&self, text: Spanned<String>) -> Located {
        Located {
            line: self.line(text.span().start),
            text: text.into_inner(),
        }
    }
}

/// Where a value stands, whatever its type.
fn span<T>(value: Option<&Spanned<T>>) -> Option<Spanned<()>> {
    value.map(|value| Spanned::new(value.span(), ()))
}

#[cfg(test)]
mod tests {
    use super::super::{Found, ReachDef, Settings, Source, parse};
    use super::*;

    fn read(driver: &str, lines: &str) -> Result<Settings, ConfigError> {
        let text = format!(
            "[builders.b]\ndriver = \"{driver}\"\n[[builders.b.nodes]]\nname = \"n\"\n{lines}\n"
        );
        let source = Source {
            path: "/etc/mbuild/mbuild.toml".into(),
            found: Found::User,
        };
        parse(&text, source, None)
    }

    fn pods(lines: &str) -> PodsDef {
        let settings = read("kubernetes", lines).unwrap();
        match settings.builders["b"].nodes[0].reach.clone() {
            ReachDef::Pods(pods) => pods,
            ReachDef::Endpoint(_) => panic!("an endpoint"),
        }
    }

    #[test]
    fn pods_need_no_key_at_all() {
        assert_eq!(pods(""), PodsDef::default());
    }

    #[test]
    fn pods_are_read_whole() {
        let read = pods(
            "namespace = \"buildkit\"\nkubeconfig = \"arm.kubeconfig\"\ncontext = \"arm\"\n\
             selector = \"app=x,tier!=y\"\ncontainer = \"c\"\ntransport = \"exec\"\n\
             loadbalance = \"random\"\nport = 1235\nslots = 2\ntls = { ca = \"ca.pem\" }",
        );
        assert_eq!(read.kubeconfig, Some("/etc/mbuild/arm.kubeconfig".into()));
        assert_eq!(read.namespace.as_deref(), Some("buildkit"));
        let selector = read.selector.unwrap();
        assert_eq!(
            (selector.text.as_str(), selector.line),
            ("app=x,tier!=y", 8)
        );
        assert_eq!(read.port, Some(1235));
        assert_eq!(pods("pods = [\"p-0\", \"p-1\"]").pods, ["p-0", "p-1"]);
    }

    #[test]
    fn keys_of_another_driver_are_refused() {
        let check = |driver: &str, lines: &str, expect: &str| {
            let error = read(driver, lines).unwrap_err().to_string();
            assert!(error.contains(":5: "), "{error}");
            assert!(error.contains(expect), "{error}");
        };
        check(
            "remote",
            "namespace = \"x\"",
            "`namespace` goes with driver = \"kubernetes\"",
        );
        check(
            "kubernetes",
            "endpoint = \"tcp://h:1\"",
            "`endpoint` goes with driver = \"remote\"",
        );
        check("kubernetes", "namespace = \"\"", "`namespace` is empty");
        check("kubernetes", "pods = []", "`pods` names none");
        check("kubernetes", "port = 0", "port 0 is none");
        check("kubernetes", "selector = \"a\"\npods = [\"b\"]", "not both");
    }
}
