//! Writes a builder in the form that `parse` reads, for the files of the state directory.
//!
//! What a user may then copy into an `mbuild.toml` of their own.

use std::fmt::Write as _;
use std::path::Path;

use toml::Value;

use super::parse::quoted_key;
use super::{BuilderDef, DriverName, NodeDef, PodsDef, ReachDef, SCHEMA_VERSION, TlsDef};

/// Why a builder cannot be written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path {} is not UTF-8 and cannot be written into a TOML file", .0.display())]
pub struct RenderError(pub std::path::PathBuf);

/// Writes one builder as a configuration file of its own.
///
/// # Errors
///
/// When a path is not UTF-8, which the format cannot hold.
pub fn render_builder(name: &str, def: &BuilderDef) -> Result<String, RenderError> {
    let mut text = format!("version = {SCHEMA_VERSION}\n");
    if def.driver == DriverName::Kubernetes {
        let _ = writeln!(text, "\n[builders.{}]", quoted_key(name));
        text += "driver = \"kubernetes\"\n";
    }
    for node in &def.nodes {
        let _ = writeln!(text, "\n[[builders.{}.nodes]]", quoted_key(name));
        render_node(&mut text, node)?;
    }
    Ok(text)
}

/// Writes the choice of a builder as a configuration file of its own.
pub fn render_choice(name: &str) -> String {
    format!("version = {SCHEMA_VERSION}\nbuilder = {}\n", quoted(name))
}

fn render_node(text: &mut String, node: &NodeDef) -> Result<(), RenderError> {
    let _ = writeln!(text, "name = {}", quoted(&node.name));
    match &node.reach {
        ReachDef::Endpoint(endpoint) => {
            let _ = writeln!(text, "endpoint = {}", quoted(&endpoint.text));
        }
        ReachDef::Pods(pods) => render_pods(text, pods)?,
    }
    if !node.platforms.is_empty() {
        let platforms = node
            .platforms
            .iter()
            .map(|platform| Value::from(platform.format_all()));
        let _ = writeln!(text, "platforms = {}", Value::Array(platforms.collect()));
    }
    if let Some(slots) = node.slots {
        let _ = writeln!(text, "slots = {slots}");
    }
    if let Some(tls) = &node.tls {
        let _ = writeln!(text, "tls = {{ {} }}", render_tls(tls)?);
    }
    Ok(())
}

fn render_pods(text: &mut String, pods: &PodsDef) -> Result<(), RenderError> {
    let mut line = |key: &str, value: Option<&String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{key} = {}", quoted(value));
        }
    };
    line("namespace", pods.namespace.as_ref());
    line("context", pods.context.as_ref());
    line("selector", pods.selector.as_ref().map(|at| &at.text));
    line("container", pods.container.as_ref());
    line("transport", pods.transport.as_ref().map(|at| &at.text));
    line("loadbalance", pods.loadbalance.as_ref().map(|at| &at.text));
    if let Some(file) = &pods.kubeconfig {
        let _ = writeln!(text, "kubeconfig = {}", path(file)?);
    }
    if !pods.pods.is_empty() {
        let names = pods.pods.iter().map(|name| Value::from(name.as_str()));
        let _ = writeln!(text, "pods = {}", Value::Array(names.collect()));
    }
    if let Some(port) = pods.port {
        let _ = writeln!(text, "port = {port}");
    }
    if pods.created {
        text.push_str("created = true\n");
    }
    Ok(())
}

fn path(path: &Path) -> Result<String, RenderError> {
    match path.to_str() {
        Some(text) => Ok(quoted(text)),
        None => Err(RenderError(path.to_owned())),
    }
}

fn render_tls(tls: &TlsDef) -> Result<String, RenderError> {
    let mut fields = Vec::new();
    for (key, file) in [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)] {
        if let Some(file) = file {
            fields.push(format!("{key} = {}", path(file)?));
        }
    }
    if let Some(name) = &tls.server_name {
        fields.push(format!("server_name = {}", quoted(name)));
    }
    Ok(fields.join(", "))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{Found, Located, Source, parse};
    use super::*;
    use crate::platform::Platform;

    fn node(name: &str) -> NodeDef {
        NodeDef {
            name: name.into(),
            reach: ReachDef::Endpoint(Located {
                text: "tcp://h:1".into(),
                line: 0,
            }),
            platforms: Vec::new(),
            slots: None,
            tls: None,
        }
    }

    fn read_back(text: &str) -> super::super::Settings {
        parse(
            text,
            Source {
                path: "/s/x.toml".into(),
                found: Found::State,
            },
            None,
        )
        .unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let full = NodeDef {
            platforms: vec![
                Platform::new("linux", "arm64"),
                Platform::new("linux", "arm").with_variant("v7"),
            ],
            slots: Some(3),
            tls: Some(TlsDef {
                ca: Some("/with \"quotes\"/ca.pem".into()),
                cert: Some("/a\nb/cert.pem".into()),
                key: Some("/k'ey.pem".into()),
                server_name: Some("buildkit".into()),
            }),
            ..node("n.1")
        };
        let empty_tls = NodeDef {
            tls: Some(TlsDef::default()),
            ..node("n2")
        };
        let def = BuilderDef {
            driver: DriverName::Remote,
            nodes: vec![full, empty_tls],
        };
        let text = render_builder("my.farm", &def).unwrap();
        let mut read = read_back(&text).builders.remove("my.farm").unwrap();
        for node in &mut read.nodes {
            if let ReachDef::Endpoint(endpoint) = &mut node.reach {
                endpoint.line = 0;
            }
        }
        assert_eq!(read, def, "{text}");
    }

    #[test]
    fn pods_are_read_back() {
        let pods = PodsDef {
            namespace: Some("buildkit".into()),
            kubeconfig: Some("/k/arm".into()),
            context: Some("arm \"x\"".into()),
            pods: vec!["p-0".into(), "p-1".into()],
            container: Some("c".into()),
            port: Some(99),
            ..PodsDef::default()
        };
        let plain = NodeDef {
            reach: ReachDef::Pods(PodsDef::default()),
            ..node("n2")
        };
        let def = BuilderDef {
            driver: DriverName::Kubernetes,
            nodes: vec![
                NodeDef {
                    reach: ReachDef::Pods(pods),
                    tls: Some(TlsDef::default()),
                    ..node("n1")
                },
                plain,
            ],
        };
        let text = render_builder("kube", &def).unwrap();
        assert_eq!(read_back(&text).builders["kube"], def, "{text}");
    }

    #[test]
    fn a_choice_is_read_back() {
        assert_eq!(
            read_back(&render_choice("farm")).builder.as_deref(),
            Some("farm")
        );
    }

    #[test]
    fn a_path_that_is_no_text_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let path = std::path::PathBuf::from(std::ffi::OsString::from_vec(vec![b'/', 0xff]));
        let tls = Some(TlsDef {
            ca: Some(path.clone()),
            ..TlsDef::default()
        });
        let def = BuilderDef {
            driver: DriverName::Remote,
            nodes: vec![NodeDef { tls, ..node("n") }],
        };
        assert_eq!(render_builder("b", &def), Err(RenderError(path)));
    }
}
