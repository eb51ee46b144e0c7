//! What `ls --format` writes: fields by buildx's names, a row for each builder and each node. Pure.

use serde_json::{Value, json};

use super::super::error::CliError;
use super::super::format::Format;
use super::view::{BuilderView, NodeView};

/// Writes the builders in this form; `None` where `ls` has a form of its own.
///
/// # Errors
///
/// When the form names a field that there is not.
pub(super) fn write(views: &[BuilderView], format: &Format) -> Result<Option<String>, CliError> {
    let rows: Vec<Value> = match format {
        Format::Json => views.iter().map(whole).collect(),
        Format::Fields { is_table, .. } => views
            .iter()
            .flat_map(|view| {
                let nodes = view.nodes.iter().map(|node| of_node(node, *is_table));
                std::iter::once(of_builder(view, *is_table)).chain(nodes)
            })
            .collect(),
        Format::Table | Format::Pretty => return Ok(None),
    };
    format.write(&rows, heading)
}

fn heading(field: &str) -> Option<&'static str> {
    Some(match field {
        "Name" => "NAME/NODE",
        "DriverEndpoint" => "ENDPOINT",
        "Status" => "STATUS",
        "Buildkit" => "BUILDKIT",
        "Platforms" => "PLATFORMS",
        _ => return None,
    })
}

fn of_builder(view: &BuilderView, is_table: bool) -> Value {
    let mark = if is_table && view.current { "*" } else { "" };
    let status = if view.error.is_some() { "error" } else { "" };
    json!({
        "Name": format!("{}{mark}", view.name),
        "DriverEndpoint": "",
        "LastActivity": "",
        "Status": status,
        "Buildkit": "",
        "Platforms": "",
        "Error": view.error.as_deref().unwrap_or_default(),
    })
}

fn of_node(node: &NodeView, is_table: bool) -> Value {
    let indent = if is_table { " \\_ " } else { "" };
    json!({
        "Name": format!("{indent}{}", node.name),
        "DriverEndpoint": format!("{indent}{}", node.endpoint),
        "LastActivity": "",
        "Status": status(node),
        "Buildkit": node.version.as_deref().unwrap_or_default(),
        "Platforms": platforms(node).join(", "),
        "Error": node.error.as_deref().unwrap_or_default(),
    })
}

/// A builder with its nodes, as one object.
fn whole(view: &BuilderView) -> Value {
    let node = |node: &NodeView| {
        json!({
            "Name": node.name,
            "Endpoint": node.endpoint,
            "Status": status(node),
            "Version": node.version,
            "Platforms": platforms(node),
            "Err": node.error,
        })
    };
    json!({
        "Name": view.name,
        "Current": view.current,
        "Nodes": view.nodes.iter().map(node).collect::<Vec<_>>(),
        "Err": view.error,
    })
}

/// As buildx says it: a node that does not answer is an error.
fn status(node: &NodeView) -> &'static str {
    match node.error {
        Some(_) => "error",
        None => node.status,
    }
}

/// What the configuration gives it, marked as in the table, else what its daemon says.
fn platforms(node: &NodeView) -> Vec<String> {
    let configured = node.configured.iter().map(|name| format!("{name}*"));
    let others = node.platforms.iter();
    let others = others.filter(|name| !node.configured.contains(name));
    configured.chain(others.cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn farm() -> BuilderView {
        let node = |name: &str, error: Option<&str>| NodeView {
            name: name.to_owned(),
            endpoint: "tcp://a:1".to_owned(),
            configured: vec!["linux/amd64".to_owned()],
            slots: None,
            tls: false,
            status: "running",
            version: Some("v0.25.0".to_owned()),
            docker: None,
            platforms: vec!["linux/amd64".to_owned(), "linux/386".to_owned()],
            builds: None,
            pods: Vec::new(),
            error: error.map(str::to_owned),
            hint: None,
        };
        BuilderView {
            name: "farm".to_owned(),
            current: true,
            origin: String::new(),
            nodes: vec![node("one", None), node("two", Some("refused"))],
            error: None,
        }
    }

    fn check(format: &str, expect: &str) {
        let format = Format::parse(format).unwrap();
        assert_eq!(write(&[farm()], &format).unwrap().unwrap(), expect);
    }

    #[test]
    fn builders_and_nodes_have_a_row_each() {
        check("{{.Name}} {{.Status}}", "farm \none running\ntwo error\n");
        check(
            "{{.Name}}: {{.Platforms}}{{.Error}}",
            "farm: \none: linux/amd64*, linux/386\ntwo: linux/amd64*, linux/386refused\n",
        );
    }

    #[test]
    fn a_table_of_fields_marks_what_is_in_use() {
        let format = Format::parse("table {{.Name}}\t{{.Buildkit}}").unwrap();
        let table = write(&[farm()], &format).unwrap().unwrap();
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        assert_eq!(lines[0], "NAME/NODE   BUILDKIT");
        assert_eq!(lines[1], "farm*");
        assert!(lines[2].starts_with(" \\_ one") && lines[2].ends_with("v0.25.0"));
    }

    #[test]
    fn json_has_an_object_for_each_builder() {
        let text = write(&[farm()], &Format::Json).unwrap().unwrap();
        let value: Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(value["Name"], "farm");
        assert_eq!(value["Nodes"][1]["Err"], "refused");
    }

    #[test]
    fn a_field_that_there_is_not_is_an_error() {
        let format = Format::parse("{{.Colour}}").unwrap();
        assert!(write(&[farm()], &format).is_err());
    }
}
