//! How each client is told what to do: [`Clients`] writes their configuration and their lines.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::command::{Line, Shell};
use crate::error::{Context as _, Error};
use crate::farm::Farm;
use crate::row::{Client, Nodes, To, Who};

const BUILDERS: [Nodes; 4] = [Nodes::Two, Nodes::Eight, Nodes::One, Nodes::Far];

/// The programs; those that are not there do not take part.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) mbuild: String,
    pub(crate) buildx: Option<String>,
    pub(crate) buildctl: Option<String>,
}

/// The programs, ready to build on the farm.
#[derive(Debug)]
pub(crate) struct Clients {
    programs: Programs,
    registry: String,
    /// mbuild's configuration
    config: PathBuf,
    /// Where mbuild says what it did.
    pub(crate) metadata: PathBuf,
    /// Where results come back to.
    pub(crate) out: PathBuf,
}

impl Clients {
    /// Makes the builders of all of them.
    pub(crate) fn new(
        work: &Path,
        (programs, registry): (Programs, String),
        farm: &Farm,
        shell: &Shell,
    ) -> Result<Self, Error> {
        let config = work.join("mbuild.toml");
        std::fs::write(&config, configuration(farm, &registry))
            .context(|| format!("cannot write {}", config.display()))?;
        if let Some(buildx) = &programs.buildx {
            for line in BUILDERS.iter().flat_map(|nodes| creation(farm, *nodes)) {
                let line = [vec![buildx.clone()], line].concat();
                shell.said(&line)?;
            }
        }
        Ok(Self {
            programs,
            registry,
            config,
            metadata: work.join("metadata.json"),
            out: work.join("out"),
        })
    }

    /// Does this client take part?
    pub(crate) fn has(&self, client: Client) -> bool {
        self.program(client).is_some()
    }

    /// The line that says a version; `None` without the client.
    pub(crate) fn version(&self, client: Client) -> Option<Line> {
        let word = match client {
            Client::Mbuild | Client::Buildctl => "--version",
            Client::Buildx => "version",
        };
        Some(words(&[self.program(client)?, word]))
    }

    /// The line that builds; `None` without the client.
    pub(crate) fn build(&self, who: Who, context: &Path, to: To, farm: &Farm) -> Option<Line> {
        let program = self.program(who.client)?;
        let platforms = who.on.platforms().join(",");
        let context = context.display().to_string();
        let mut line = match who.client {
            Client::Mbuild => words(&[
                program,
                "--config",
                &self.config.display().to_string(),
                "--builder",
                who.on.builder(),
            ]),
            Client::Buildx => words(&[program, "build", "--builder", who.on.builder()]),
            Client::Buildctl => {
                let endpoint = farm.endpoints(who.on).first()?;
                return Some(self.by_buildctl(&[program, "--addr", endpoint], &context, to));
            }
        };
        line.extend(words(&["--progress", "plain", "--platform", &platforms]));
        match to {
            To::Cache => line.extend(words(&["--output", "type=cacheonly"])),
            To::Registry => {
                let name = format!("{}/bench-{}:latest", self.registry, who.name);
                match who.client {
                    // The only way to tell it that a registry is no HTTPS one.
                    Client::Buildx => {
                        let to = format!("type=image,name={name},push=true,registry.insecure=true");
                        line.extend(words(&["--output", &to]));
                    }
                    _ => line.extend(words(&["--tag", &name, "--push"])),
                }
            }
            To::Directory => line.extend(words(&["--output", &self.to_out()])),
        }
        line.push(context);
        Some(line)
    }

    fn by_buildctl(&self, start: &[&str], context: &str, to: To) -> Line {
        let mut line = words(start);
        line.extend(words(&["build", "--progress", "plain"]));
        line.extend(words(&["--frontend", "dockerfile.v0"]));
        for local in ["context", "dockerfile"] {
            line.extend(words(&["--local", &format!("{local}={context}")]));
        }
        if to == To::Directory {
            line.extend(words(&["--output", &self.to_out()]));
        }
        line
    }

    /// The line by which mbuild says what its daemons are.
    pub(crate) fn nodes(&self) -> Line {
        let config = self.config.display().to_string();
        let start = [&self.programs.mbuild, "builder", "inspect", "two"];
        let mut line = words(&start);
        line.extend(words(&["--config", &config]));
        line
    }

    /// The line by which mbuild says what daemons know of a build.
    pub(crate) fn history(&self, builder: &str, reference: &str) -> Line {
        let config = self.config.display().to_string();
        let mut line = words(&[&self.programs.mbuild, "history", "inspect", reference]);
        line.extend(words(&["--config", &config, "--builder", builder]));
        line.extend(words(&["--format", "json"]));
        line
    }

    fn to_out(&self) -> String {
        format!("type=local,dest={}", self.out.display())
    }

    fn program(&self, client: Client) -> Option<&str> {
        match client {
            Client::Mbuild => Some(&self.programs.mbuild),
            Client::Buildx => self.programs.buildx.as_deref(),
            Client::Buildctl => self.programs.buildctl.as_deref(),
        }
    }
}

fn words(line: &[&str]) -> Line {
    line.iter().map(ToString::to_string).collect()
}

fn configuration(farm: &Farm, registry: &str) -> String {
    let mut text = format!("[registries.\"{registry}\"]\nhttp = true\n");
    for nodes in BUILDERS {
        let pairs = farm.endpoints(nodes).iter().zip(nodes.platforms());
        for (at, (endpoint, platform)) in pairs.enumerate() {
            let builder = nodes.builder();
            let _ = write!(
                text,
                "\n[[builders.{builder}.nodes]]\nname = \"{builder}{at}\"\nendpoint = \"{endpoint}\"\nplatforms = [\"{platform}\"]\n"
            );
        }
    }
    text
}

/// What buildx is told for one builder, a line for each node.
fn creation(farm: &Farm, nodes: Nodes) -> Vec<Line> {
    let pairs = farm.endpoints(nodes).iter().zip(nodes.platforms());
    pairs
        .enumerate()
        .map(|(at, (endpoint, platform))| {
            let builder = nodes.builder();
            let mut line = words(&["create", "--driver", "remote", "--name", builder]);
            // The first node has nothing to be appended to.
            if at > 0 {
                line.push("--append".into());
            }
            line.extend(words(&["--node", &format!("{builder}{at}")]));
            line.extend(words(&["--platform", platform, endpoint]));
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::find;

    fn clients() -> Clients {
        Clients {
            programs: Programs {
                mbuild: "mbuild".into(),
                buildx: Some("buildx".into()),
                buildctl: Some("buildctl".into()),
            },
            registry: "registry:5000".into(),
            config: "c.toml".into(),
            metadata: "m.json".into(),
            out: "/out".into(),
        }
    }

    fn farm() -> (tempfile::TempDir, Farm) {
        let work = tempfile::tempdir().unwrap();
        let daemons = ["unix:///a.sock".into(), "tcp://b:1".into()];
        let farm = Farm::new(work.path(), &daemons).unwrap();
        (work, farm)
    }

    #[test]
    fn both_build_the_same() {
        let (_work, farm) = farm();
        let who = find("cached").unwrap().who;
        let line = |who| {
            let line = clients().build(who, Path::new("ctx"), To::Registry, &farm);
            line.unwrap().join(" ")
        };
        let both = "--builder two --progress plain --platform linux/amd64,linux/arm64";
        let tag = "--tag registry:5000/bench-mbuild:latest --push";
        assert_eq!(
            line(who[0]),
            format!("mbuild --config c.toml {both} {tag} ctx")
        );
        let name = "name=registry:5000/bench-buildx:latest";
        let output = format!("--output type=image,{name},push=true,registry.insecure=true");
        assert_eq!(line(who[1]), format!("buildx build {both} {output} ctx"));
    }

    #[test]
    fn buildctl_goes_to_one_daemon() {
        let (_work, farm) = farm();
        let who = find("link-cached").unwrap().who[5];
        let line = clients().build(who, Path::new("ctx"), To::Directory, &farm);
        assert_eq!(
            line.unwrap().join(" "),
            "buildctl --addr unix:///a.sock build --progress plain --frontend dockerfile.v0 \
             --local context=ctx --local dockerfile=ctx --output type=local,dest=/out"
        );
    }

    #[test]
    fn every_node_is_configured_for_one_platform() {
        let (_work, farm) = farm();
        let text = configuration(&farm, "registry:5000");
        assert_eq!(text.matches("[[builders.eight.nodes]]").count(), 8);
        assert!(text.contains(
            "name = \"two1\"\nendpoint = \"tcp://b:1\"\nplatforms = [\"linux/arm64\"]\n"
        ));
        let lines = creation(&farm, Nodes::Two);
        assert!(!lines[0].contains(&"--append".to_owned()));
        assert!(
            lines[1]
                .join(" ")
                .ends_with("--append --node two1 --platform linux/arm64 tcp://b:1")
        );
    }
}
