//! Writes a builder in the form that `parse` reads, for the files of the state directory.
//!
//! What a user may then copy into an `mbuild.toml` of their own.

use std::fmt::Write as _;
use std::path::Path;

use toml::Value;

use super::parse::quoted_key;
use super::{BuilderDef, NodeDef, SCHEMA_VERSION, TlsDef};

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
    let _ = writeln!(text, "endpoint = {}", quoted(&node.endpoint.text));
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

fn render_tls(tls: &TlsDef) -> Result<String, RenderError> {
    let path = |path: &Path| match path.to_str() {
        Some(text) => Ok(quoted(text)),
        None => Err(RenderError(path.to_owned())),
    };
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
    use super::super::{DriverName, Found, Located, Source, parse};
    use super::*;
    use crate::platform::Platform;

    fn node(name: &str) -> NodeDef {
        NodeDef {
            name: name.into(),
            endpoint: Located {
                text: "tcp://h:1".into(),
                line: 0,
            },
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
        read.nodes
            .iter_mut()
            .for_each(|node| node.endpoint.line = 0);
        assert_eq!(read, def, "{text}");
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
