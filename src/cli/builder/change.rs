//! `use`, `rm`, `stop` and `import`: choosing builders and keeping or dropping definitions.
//!
//! Everything is written to the state directory, never to an `mbuild.toml`.

use futures_util::future::join_all;

use crate::builder::{self, Builder, DEFAULT_BUILDER, Named, NamedBy, Reach, Replace, probe};
use crate::config::is_name;

use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::kubernetes::{self, Keep};
use super::{World, find_error, store_error};

/// Make a builder the default
#[derive(Debug, Clone, clap::Args)]
pub struct UseArgs {
    /// Builder's name; `default` takes the choice back
    name: String,
    /// Accepted for buildx's sake: there is one choice for all
    #[arg(long, hide = true)]
    default: bool,
    /// Accepted for buildx's sake: there is one choice for all
    #[arg(long, hide = true)]
    global: bool,
}

/// Remove builders' definitions
#[derive(Debug, Clone, clap::Args)]
pub struct RmArgs {
    /// Builders' names [default: the builder in use]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Remove all builders of whose nodes none answers
    #[arg(long, conflicts_with = "names")]
    all_inactive: bool,
    /// Do not fail when there is no such builder, and do not ask
    #[arg(short, long)]
    force: bool,
    /// Leave a pool that `create` made as it is
    #[arg(long)]
    keep_daemon: bool,
    /// Keep the volumes of such a pool
    #[arg(long, alias = "keep-state")]
    keep_volumes: bool,
}

/// End the pods of builders
#[derive(Debug, Clone, clap::Args)]
pub struct StopArgs {
    /// Builders' names
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Take over a builder that docker buildx keeps
#[derive(Debug, Clone, clap::Args)]
pub struct ImportArgs {
    /// Name that buildx knows it by, or a file with its JSON
    #[arg(value_name = "NAME|FILE")]
    what: String,
    /// Name to give it instead of its own
    #[arg(long)]
    name: Option<String>,
    /// Replace the builder that has this name
    #[arg(short, long)]
    force: bool,
    /// Make it the default
    #[arg(long = "use")]
    use_it: bool,
}

pub(super) fn use_builder(args: &UseArgs, world: &World<'_>) -> CommandResult {
    if args.name == DEFAULT_BUILDER {
        world.store.choose(None).map_err(store_error)?;
    } else {
        let named = Named {
            name: args.name.clone(),
            by: NamedBy::Flag,
        };
        world.finder(None).named(&named).map_err(find_error)?;
        world.store.choose(Some(&args.name)).map_err(store_error)?;
    }
    for name in ["MBUILD_BUILDER", "BUILDX_BUILDER"] {
        if let Some(value) = world.app.var(name).filter(|value| *value != args.name) {
            world.app.warn(&format!(
                "{name} is set to `{value}`, which counts for more"
            ));
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn rm(args: &RmArgs, world: &World<'_>) -> CommandResult {
    let keep = Keep {
        daemon: args.keep_daemon,
        volumes: args.keep_volumes,
        force: args.force,
    };
    let names = match args.all_inactive {
        true => inactive(args.force, world).await?,
        false => names(&args.names, world)?,
    };
    for name in &names {
        // A definition that is broken can still be removed, unlike what it was made for.
        if let Ok(Some(spec)) = world.store.load(name) {
            kubernetes::remove(&spec, keep, world).await?;
        }
        match world.store.remove(name) {
            Ok(()) => world.app.say(&format!("{name} removed\n")),
            Err(builder::StoreError::Absent(_)) if world.settings.builders.contains_key(name) => {
                return Err(defined_by_hand(name, world));
            }
            Err(builder::StoreError::Absent(_)) if args.force => {}
            Err(error) => return Err(store_error(error)),
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn stop(args: &StopArgs, world: &World<'_>) -> CommandResult {
    for name in &names(&args.names, world)? {
        let named = Named {
            name: name.clone(),
            by: NamedBy::Flag,
        };
        let spec = world.finder(None).named(&named).map_err(find_error)?;
        let is_own = spec
            .nodes
            .iter()
            .any(|node| matches!(&node.reach, Reach::Pods(pool) if pool.created));
        if is_own {
            kubernetes::stop(&spec, world).await?;
        } else {
            let text =
                format!("the daemons of `{name}` are not mbuild's to stop; nothing was done");
            world.app.warn(&text);
        }
    }
    Ok(Exit::Done)
}

/// The builders that `create`, `use` or `import` defined and of whose nodes none answers.
async fn inactive(force: bool, world: &World<'_>) -> Result<Vec<String>, CliError> {
    let names = world.store.names().map_err(store_error)?;
    // What cannot be read is looked at by a person, not removed in passing.
    let specs = names
        .iter()
        .filter_map(|name| world.store.load(name).ok().flatten());
    // All at once, so that dead nodes cost their limit once.
    let asked = join_all(specs.map(|spec| async {
        let builder = Builder::new(spec, &world.app.env);
        let probed = probe(&builder.nodes, "").await;
        let is_dead = probed.iter().all(|probed| probed.outcome.is_err());
        is_dead.then_some(builder.name)
    }))
    .await;
    let inactive: Vec<String> = asked.into_iter().flatten().collect();
    if !force && !inactive.is_empty() {
        let names = inactive.join(", ");
        let problem = format!("--all-inactive: no node of {names} answers; they would be removed");
        return Err(CliError::usage(problem).hint("remove them with --force, or one by its name"));
    }
    Ok(inactive)
}

/// The names that are given, or that of the builder in use.
fn names(given: &[String], world: &World<'_>) -> Result<Vec<String>, CliError> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let chosen = world.finder(None).chosen().map_err(store_error)?;
    let nothing = "no builder is named, and none is in use";
    Ok(vec![chosen.ok_or_else(|| CliError::usage(nothing))?.name])
}

pub(super) fn import(args: &ImportArgs, world: &World<'_>) -> CommandResult {
    let app = world.app;
    let imported = builder::import(&app.env, &args.what, &app.cwd).map_err(CliError::config)?;
    let mut spec = imported.spec;
    if let Some(name) = &args.name {
        spec.name.clone_from(name);
    }
    check_new_name(&spec.name, world)?;
    let replace = if args.force {
        Replace::Yes
    } else {
        Replace::No
    };
    world
        .store
        .save(&spec, replace)
        .map_err(|error| match error {
            builder::StoreError::Exists(name) => {
                CliError::config(builder::StoreError::Exists(name))
                    .hint("replace it with --force, or give this one another --name")
            }
            error => store_error(error),
        })?;
    if args.use_it {
        world.store.choose(Some(&spec.name)).map_err(store_error)?;
    }
    imported.notes.iter().for_each(|note| app.warn(note));
    world.print(&format!("{}\n", spec.name))
}

/// Refuses names that cannot be kept, or that an `mbuild.toml` would hide.
pub(super) fn check_new_name(name: &str, world: &World<'_>) -> Result<(), CliError> {
    if name == DEFAULT_BUILDER {
        let text = "`default` is what is found when nothing is configured, and cannot be defined";
        return Err(CliError::usage(text));
    }
    if !is_name(name) {
        let text = format!(
            "`{}` cannot name a builder: a name is letters, digits and `.`, `_`, `-`, and starts \
             with a letter or digit",
            name.escape_debug()
        );
        return Err(CliError::usage(text));
    }
    if world.settings.builders.contains_key(name) {
        return Err(defined_by_hand(name, world));
    }
    Ok(())
}

fn defined_by_hand(name: &str, world: &World<'_>) -> CliError {
    let source = world.settings.source.as_ref();
    let file = source.map_or_else(String::new, |source| source.path.display().to_string());
    CliError::config(format!("builder `{name}` is defined in {file}"))
        .hint("mbuild does not change that file; edit it")
}
