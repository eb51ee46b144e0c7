//! `mbuild builder create`: makes a definition, or changes one, in the state directory.
//!
//! Takes buildx's grammar (one node at a time, `--append`) and a shorter one of its own
//! (`--endpoint`, once for each node).

mod define;
mod words;

use std::path::PathBuf;

use super::super::error::{CliError, CommandResult};
use super::super::exit::Exit;
use super::change::check_new_name;
use super::kubernetes::{self, Common, PoolArgs, Then};
use super::{World, show, store_error, view};
use crate::builder::{Builder, BuilderSpec, probe};
use define::{CreateError, Mode, apply};
use words::{changes, check_driver, free_name, name_and_endpoint, pool_name};

/// Define a builder, add a node to one, or change a node
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CreateArgs {
    /// Builder's name; or, as with buildx, an endpoint
    #[arg(value_name = "NAME|ENDPOINT")]
    what: Option<String>,
    /// Node's endpoint, or name=,endpoint=,platforms=,slots=,ca=,cert=,key=,server_name=;
    /// once for each node
    #[arg(long, value_name = "ENDPOINT|FIELDS", conflicts_with_all = ["node", "driver_opt"])]
    endpoint: Vec<String>,
    /// Builder's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Kind of builder: remote, or kubernetes
    #[arg(long, value_name = "DRIVER")]
    driver: Option<String>,
    /// Name of the node that is made or changed
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// What the node builds, instead of what its daemon says
    #[arg(long, value_name = "PLATFORMS")]
    platform: Vec<String>,
    /// Node's TLS files, as buildx has them: cacert, cert, key, servername
    #[arg(long, value_name = "KEY=VALUE")]
    driver_opt: Vec<String>,
    /// Add a node to the builder
    #[arg(long)]
    append: bool,
    /// Remove a node from the builder
    #[arg(long, requires = "node", conflicts_with_all = ["append", "endpoint"])]
    leave: bool,
    /// Make it the default builder
    #[arg(long = "use")]
    use_it: bool,
    /// Ask the nodes whether they are there
    #[arg(long)]
    bootstrap: bool,
    /// Flags of the daemons in a Kubernetes pool
    #[arg(long, value_name = "FLAGS")]
    buildkitd_flags: Option<String>,
    /// Configuration of the daemons in a Kubernetes pool
    #[arg(long, alias = "config-file", value_name = "FILE")]
    buildkitd_config: Option<PathBuf>,
    /// How long a Kubernetes pool may take to be ready [default: 2m]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    #[command(flatten)]
    pool: PoolArgs,
}

/// Prints the objects of a Kubernetes pool.
pub(super) async fn render(args: &CreateArgs, world: &World<'_>) -> CommandResult {
    match args.driver.as_deref() {
        None | Some("kubernetes") => {}
        Some(other) => {
            let text = format!("driver `{}` has no objects to render", other.escape_debug());
            return Err(CliError::usage(text));
        }
    }
    let name = pool_name(args, world)?;
    kubernetes::render(&args.pool, &args.common(&name), world).await
}

pub(super) async fn create(args: &CreateArgs, world: &World<'_>) -> CommandResult {
    if args.driver.as_deref() == Some("kubernetes") {
        let name = pool_name(args, world)?;
        let then = Then {
            append: args.append,
            use_it: args.use_it,
            bootstrap: args.bootstrap,
        };
        return kubernetes::create(&args.pool, &args.common(&name), then, world).await;
    }
    check_driver(args)?;
    let (name, endpoint) = name_and_endpoint(args)?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => free_name(world)?,
    };
    check_new_name(&name, world)?;
    let (changes, left_out) = changes(args, endpoint, world).map_err(|e| e.into_cli())?;
    let mode = match (args.append, args.leave) {
        (true, _) => Mode::Append,
        (_, true) => Mode::Leave,
        _ => Mode::Create,
    };
    let spec = world
        .store
        .edit(&name, |old| apply(&name, old, changes, mode));
    let spec = spec.map_err(CreateError::into_cli)?;
    if args.use_it {
        world.store.choose(Some(&name)).map_err(store_error)?;
    }
    for option in left_out {
        world.app.warn(&format!(
            "driver option `{option}` does nothing for this driver"
        ));
    }
    world.print(&format!("{name}\n"))?;
    if args.bootstrap {
        bootstrap(spec, world).await
    } else {
        Ok(Exit::Done)
    }
}

/// Asks the new builder's nodes; a node that does not answer is a failure.
async fn bootstrap(spec: BuilderSpec, world: &World<'_>) -> CommandResult {
    let builder = Builder::new(spec.clone(), &world.app.env);
    let probed = probe(&builder.nodes, "").await;
    let view = view::BuilderView::new(&spec, false, &probed);
    world.app.say(&show::table(
        std::slice::from_ref(&view),
        show::Width::Short,
    ));
    let failed = view
        .nodes
        .into_iter()
        .find_map(|node| Some((node.name, node.error?)));
    match failed {
        None => Ok(Exit::Done),
        Some((node, error)) => {
            let text = format!("node `{node}` does not answer: {error}");
            Err(CliError::new(Exit::Infrastructure, text))
        }
    }
}

impl CreateArgs {
    fn common<'a>(&'a self, name: &'a str) -> Common<'a> {
        Common {
            name,
            platforms: &self.platform,
            driver_opts: &self.driver_opt,
            config: self.buildkitd_config.as_ref(),
            flags: self.buildkitd_flags.as_deref(),
            timeout: self.timeout.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: CreateArgs,
    }

    fn args(line: &str) -> CreateArgs {
        let words = std::iter::once("create").chain(line.split_whitespace());
        Cli::try_parse_from(words).unwrap().args
    }

    /// Runs one command line after the other on one builder, and prints it.
    fn check(lines: &[&str], expect: Result<&str, &str>) {
        let dir = tempfile::tempdir().unwrap();
        let app = super::super::view::test_app(dir.path());
        let settings = crate::config::Settings::default();
        let store = crate::builder::Store::new(&app.state_dir());
        let world = World {
            app: &app,
            settings: &settings,
            store: &store,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut result = Ok(Exit::Done);
        for line in lines {
            result = runtime.block_on(create(&args(line), &world));
        }
        let got = match result {
            Ok(_) => {
                let name = store.names().unwrap().pop().unwrap();
                let spec = store.load(&name).unwrap().unwrap();
                let nodes = spec.nodes.iter().map(|node| {
                    let platforms: Vec<_> =
                        node.platforms.iter().map(ToString::to_string).collect();
                    format!("{}={}[{}]", node.name, node.reach, platforms.join(","))
                });
                Ok(format!("{name}: {}", nodes.collect::<Vec<_>>().join(" ")))
            }
            Err(error) => Err(error.render()),
        };
        match (got, expect) {
            (Ok(got), Ok(expect)) => assert_eq!(got, expect, "{lines:?}"),
            (Err(got), Err(expect)) => assert!(got.contains(expect), "{lines:?}: {got}"),
            (got, _) => panic!("{lines:?}: {got:?}"),
        }
    }

    #[test]
    fn buildx_makes_and_extends_a_builder_node_by_node() {
        let first = "--name farm --driver remote --node amd --platform linux/amd64 tcp://a:1 --use";
        check(&[first], Ok("farm: amd=tcp://a:1[linux/amd64]"));
        check(
            &[
                first,
                "--name farm --append --node arm --platform linux/arm64 tcp://b:1",
            ],
            Ok("farm: amd=tcp://a:1[linux/amd64] arm=tcp://b:1[linux/arm64]"),
        );
        check(
            &[first, "--name farm --node amd tcp://c:1"],
            Ok("farm: amd=tcp://c:1[linux/amd64]"),
        );
        check(
            &[
                first,
                "--name farm --append tcp://b:1",
                "--name farm --leave --node amd",
            ],
            Ok("farm: farm0=tcp://b:1[]"),
        );
        check(
            &["--append --name new tcp://a:1"],
            Ok("new: new0=tcp://a:1[]"),
        );
        check(
            &["tcp://a:1", "tcp://b:1"],
            Ok("builder2: builder20=tcp://b:1[]"),
        );
    }

    #[test]
    fn endpoints_make_all_nodes_at_once() {
        check(
            &[
                "farm --endpoint name=x,endpoint=tcp://a:1,platform=linux/amd64 --endpoint tcp://b:1",
            ],
            Ok("farm: x=tcp://a:1[linux/amd64] farm0=tcp://b:1[]"),
        );
    }

    #[test]
    fn what_cannot_be_done_says_why() {
        let first = "farm --endpoint name=x,endpoint=tcp://a:1";
        check(&["farm"], Err("name an endpoint"));
        check(
            &[first, "farm"],
            Err("there is a builder named `farm` already"),
        );
        check(
            &[first, "farm --endpoint tcp://b:1"],
            Err("there is a builder named `farm` already"),
        );
        check(
            &[first, "--name farm --node y tcp://b:1"],
            Err("add it with --append"),
        );
        check(
            &[first, "--name farm --leave --node x"],
            Err("the only one"),
        );
        check(&[first, "--name farm --leave --node y"], Err("no node `y`"));
        check(
            &["--name farm --append --node x"],
            Err("node `x` has no endpoint"),
        );
        check(
            &["farm --endpoint name=x,endpoint=tcp://a:1 --endpoint name=x,endpoint=tcp://b:1"],
            Err("two nodes are named `x`"),
        );
        check(&["--name farm desktop-linux"], Err("is not an endpoint"));
        check(&["default --endpoint tcp://a:1"], Err("cannot be defined"));
        check(&["a/b --endpoint tcp://a:1"], Err("cannot name a builder"));
        check(
            &["farm --endpoint name=a/b,endpoint=tcp://a:1"],
            Err("cannot name a node"),
        );
        check(
            &["--driver docker-container"],
            Err("docker-container://NAME"),
        );
        check(&["--driver kubernetes"], Err("no cluster is configured"));
        check(
            &["--buildkitd-flags x tcp://a:1"],
            Err("starts daemons only in Kubernetes pools"),
        );
        check(
            &["--name f --driver-opt cert=/c tcp://a:1"],
            Err("only one of certificate"),
        );
    }

    #[test]
    fn a_daemon_that_is_not_there_fails_the_bootstrap() {
        check(
            &["farm --endpoint unix:///nowhere/b.sock --bootstrap"],
            Err("does not answer"),
        );
    }
}
