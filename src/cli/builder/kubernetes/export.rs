//! `export`: a builder's definition as a file that pipelines mount and need no state for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::builder::{BuilderSpec, PoolSpec, Reach};
use crate::config::render_builder;

use super::super::super::error::{CliError, CommandResult};
use super::super::super::exit::Exit;
use super::super::{World, find_error, store_error};

/// The file's name in a ConfigMap, as `MBUILD_CONFIG` then names it.
const KEY: &str = "mbuild.toml";

/// Print a builder's definition, for pipelines that keep nothing
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// Builder's name [default: the builder in use]
    name: Option<String>,
    /// Form: toml, or configmap for kubectl apply
    #[arg(long, value_name = "FORM", default_value = "toml", value_parser = ["toml", "configmap"])]
    format: String,
    /// Name of the ConfigMap
    #[arg(long, value_name = "NAME", default_value = "mbuild-builder")]
    configmap: String,
    /// Namespace of the ConfigMap [default: the pool's]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// Prints the definition of a builder.
pub(in super::super) fn export(args: &ExportArgs, world: &World<'_>) -> CommandResult {
    let finder = world.finder(args.name.as_deref());
    let chosen = finder.chosen().map_err(store_error)?;
    let nothing = "no builder is named, and none is in use";
    let named = chosen.ok_or_else(|| CliError::usage(nothing))?;
    let spec = finder.named(&named).map_err(find_error)?;
    let text = toml(&spec)?;
    if args.format == "toml" {
        return world.print(&text);
    }
    let namespace = args.namespace.clone().or_else(|| namespace(&spec));
    let map = config_map(&args.configmap, namespace.as_deref(), &text);
    let yaml = serde_saphyr::to_string(&map);
    world.print(&yaml.map_err(|error| CliError::new(Exit::Internal, error))?)
}

/// The definition with what only this machine has left out, and chosen by its own file.
fn toml(spec: &BuilderSpec) -> Result<String, CliError> {
    let mut spec = spec.clone();
    for node in &mut spec.nodes {
        if let Reach::Pods(pool) = &mut node.reach {
            // In the agent's pod the service account is what there is.
            *pool = PoolSpec {
                kubeconfig: None,
                context: None,
                created: false,
                ..pool.clone()
            };
        }
    }
    let text = render_builder(&spec.name, &spec.to_def()).map_err(CliError::config)?;
    Ok(text.replacen('\n', &format!("\nbuilder = {:?}\n", spec.name), 1))
}

fn namespace(spec: &BuilderSpec) -> Option<String> {
    spec.nodes.iter().find_map(|node| match &node.reach {
        Reach::Pods(pool) => pool.namespace.clone(),
        Reach::Endpoint { .. } => None,
    })
}

fn config_map(name: &str, namespace: Option<&str>, text: &str) -> Value {
    let mut metadata = BTreeMap::from([("name", name)]);
    metadata.extend(namespace.map(|namespace| ("namespace", namespace)));
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {KEY: text},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::{NodeSpec, Origin};
    use crate::config::{Found, Source, parse};

    #[test]
    fn what_is_exported_is_a_configuration_that_chooses_itself() {
        let pool = PoolSpec {
            kubeconfig: Some("/home/me/kube".into()),
            context: Some("prod".into()),
            namespace: Some("ci".into()),
            created: true,
            ..PoolSpec::default()
        };
        let spec = BuilderSpec {
            name: "kube".into(),
            nodes: vec![NodeSpec::reached("amd64", Reach::Pods(pool))],
            origin: Origin::New,
        };
        let text = toml(&spec).unwrap();
        assert!(
            !text.contains("/home/me") && !text.contains("prod"),
            "{text}"
        );
        let source = Source {
            path: "/etc/mbuild/mbuild.toml".into(),
            found: Found::Env,
        };
        let settings = parse(&text, source.clone(), None).unwrap();
        assert_eq!(settings.builder.as_deref(), Some("kube"));
        let read = BuilderSpec::from_def("kube", &settings.builders["kube"], &source).unwrap();
        assert_eq!(read.nodes[0].name, "amd64");
        assert_eq!(namespace(&read).as_deref(), Some("ci"));
        let map = config_map("m", Some("ci"), &text);
        assert_eq!(map["data"][KEY], text);
        assert_eq!(map["metadata"], json!({"name": "m", "namespace": "ci"}));
    }
}
