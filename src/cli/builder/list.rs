//! `ls` and `inspect`: gathers definitions and answers, then prints them.
//!
//! All nodes of all builders are asked at once, so that the slowest sets the pace.

use crate::builder::{
    BrokenBuilder, Builder, BuilderSpec, DEFAULT_BUILDER, Finder, Named, OwnPool, Probed,
    StoreError, first_answering, nodes_at, probe,
};
use crate::causes::causes;

use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::super::format::Format;
use super::rows;
use super::show::{self, Width};
use super::view::BuilderView;
use super::{World, find_error, store_error};

/// List all builders and ask their nodes how they are
#[derive(Debug, Clone, clap::Args)]
pub struct LsArgs {
    /// Print JSON
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Form of the list: table, json (an object on each line), or fields such as '{{.Name}} {{.Status}}'
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true
    )]
    format: String,
    /// List all platforms of each node
    #[arg(long)]
    no_trunc: bool,
    /// Accepted for buildx's sake: nodes have 5 seconds, all together
    #[arg(long, value_name = "DURATION", hide = true)]
    timeout: Option<String>,
}

/// Show all that is known of a builder
#[derive(Debug, Clone, clap::Args)]
pub struct InspectArgs {
    /// Builder's name [default: the builder in use]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Fail unless every node answers
    #[arg(long)]
    bootstrap: bool,
    /// Accepted for buildx's sake: nodes have 5 seconds, all together
    #[arg(long, value_name = "DURATION", hide = true)]
    timeout: Option<String>,
}

pub(super) async fn ls(args: &LsArgs, world: &World<'_>) -> CommandResult {
    let format = Format::parse(&args.format)?;
    let finder = world.finder(None);
    let chosen = finder.chosen();
    let views = gather(&finder, &chosen).await.map_err(store_error)?;
    match chosen {
        Err(error) => world.app.warn(&causes(&error)),
        Ok(Some(named)) if views.iter().all(|view| view.name != named.name) => {
            if let Err(error) = finder.named(&named) {
                world.app.warn(&causes(&error));
                error
                    .hints()
                    .iter()
                    .for_each(|hint| world.app.say(&format!("hint: {hint}\n")));
            }
        }
        Ok(None) => {
            if let Err(error) = finder.check_unnamed() {
                world.app.warn(&causes(&error));
            }
        }
        Ok(Some(_)) => {}
    }
    if args.json {
        return print_json(&views, world);
    }
    if let Some(text) = rows::write(&views, &format)? {
        return world.print(&text);
    }
    for line in show::problems(&views) {
        world.app.warn(&line);
    }
    let width = if args.no_trunc {
        Width::Full
    } else {
        Width::Short
    };
    world.print(&show::table(&views, width))
}

pub(super) async fn inspect(args: &InspectArgs, world: &World<'_>) -> CommandResult {
    let finder = world.finder(args.name.as_deref());
    // What is in use is asked without the argument: naming a builder does not choose it.
    let current = world.finder(None).chosen().ok().flatten();
    let view = match finder.chosen().map_err(store_error)? {
        Some(named) => {
            let spec = finder.named(&named).map_err(find_error)?;
            let is_current = current.is_some_and(|current| current.name == named.name);
            look(spec, is_current, world).await
        }
        None => {
            finder.check_unnamed().map_err(find_error)?;
            if let OwnPool::One(spec) = finder.own_pool().await.map_err(|e| find_error(e.into()))? {
                let view = look(spec, current.is_none(), world).await;
                return finish(args, &view, world);
            }
            let places = finder.places();
            let probed = probe(&nodes_at(&places, &world.app.env), "").await;
            let found = first_answering(places, probed, &world.app.env)
                .map_err(|e| find_error(e.into()))?;
            default_view(&found.builder, found.probed, current.is_none())
        }
    };
    finish(args, &view, world)
}

/// Asks a builder's nodes, and each of their pods.
async fn look(spec: BuilderSpec, current: bool, world: &World<'_>) -> BuilderView {
    let builder = Builder::new(spec.clone(), &world.app.env);
    let probed = probe(&builder.nodes, "").await;
    let view = BuilderView::new(&spec, current, &probed);
    view.with_pods(&builder.nodes).await
}

/// Prints a builder; a node that has to answer and does not is a failure.
fn finish(args: &InspectArgs, view: &BuilderView, world: &World<'_>) -> CommandResult {
    if args.json {
        print_json(view, world)?;
    } else {
        world.print(&show::details(view))?;
    }
    let silent = view.nodes.iter().find(|node| node.error.is_some());
    match silent.filter(|_| args.bootstrap) {
        None => Ok(Exit::Done),
        Some(node) => {
            let text = format!(
                "node `{}` of builder `{}` does not answer",
                node.name, view.name
            );
            Err(CliError::new(Exit::Infrastructure, text))
        }
    }
}

/// Asks all nodes of all builders, and all places where an unnamed one may be.
async fn gather(
    finder: &Finder<'_>,
    chosen: &Result<Option<Named>, StoreError>,
) -> Result<Vec<BuilderView>, StoreError> {
    let is_current = |name: &str| matches!(chosen, Ok(Some(named)) if named.name == name);
    let all = finder.all()?;
    let specs: Vec<&BuilderSpec> = all.iter().flatten().collect();
    let places = finder.places();
    let mut nodes: Vec<_> = specs
        .iter()
        .flat_map(|spec| Builder::new((*spec).clone(), finder.env).nodes)
        .collect();
    nodes.extend(nodes_at(&places, finder.env));
    let mut probed = probe(&nodes, "").await.into_iter();
    let mut views = Vec::new();
    for definition in all {
        views.push(match definition {
            Ok(spec) => {
                let answers: Vec<Probed> = probed.by_ref().take(spec.nodes.len()).collect();
                BuilderView::new(&spec, is_current(&spec.name), &answers)
            }
            Err(BrokenBuilder { name, error }) => {
                let current = is_current(&name);
                BuilderView::broken(name, current, "", causes(&error))
            }
        });
    }
    let unnamed = matches!(chosen, Ok(None));
    if let Ok(OwnPool::One(spec)) = finder.own_pool().await {
        let builder = Builder::new(spec.clone(), finder.env);
        let answers = probe(&builder.nodes, "").await;
        views.push(BuilderView::new(&spec, unnamed, &answers));
        return Ok(views);
    }
    match first_answering(places, probed.collect(), finder.env) {
        Ok(found) => views.push(default_view(&found.builder, found.probed, unnamed)),
        // Nothing on this machine is a problem only for who counts on it.
        Err(error) if unnamed => views.push(BuilderView::broken(
            DEFAULT_BUILDER.to_owned(),
            true,
            "",
            error.to_string(),
        )),
        Err(_) => {}
    }
    Ok(views)
}

fn default_view(builder: &Builder, probed: Option<Probed>, current: bool) -> BuilderView {
    let spec = BuilderSpec {
        name: builder.name.clone(),
        nodes: builder
            .nodes
            .iter()
            .map(|node| node.spec().clone())
            .collect(),
        origin: builder.origin.clone(),
    };
    BuilderView::new(&spec, current, probed.as_slice())
}

fn print_json<T: serde::Serialize>(value: &T, world: &World<'_>) -> CommandResult {
    match serde_json::to_string_pretty(value) {
        Ok(text) => world.print(&format!("{text}\n")),
        Err(error) => Err(CliError::new(Exit::Internal, error)),
    }
}
