//! buildx as the measure: [`Buildx`] builds on the same daemons as mbuild, so that what is in
//! their caches is the same for both.

use std::process::{Command, Output};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::bridge::Bridge;
use super::sandbox::Sandbox;
use super::target::Target;

/// buildx with one builder of both nodes, and a configuration of its own.
pub(crate) struct Buildx {
    program: String,
    home: TempDir,
    env: Vec<(String, String)>,
    _bridges: [Bridge; 2],
    _runtime: Runtime,
}

impl Buildx {
    /// `None` where there is no buildx to compare with.
    pub(crate) fn new(target: &Target) -> Option<Self> {
        let program = target.find("BUILDX")?.to_owned();
        let runtime = Runtime::new().unwrap();
        let bridges = [0, 1].map(|at: usize| {
            let engine = target.nodes[at].endpoint.parse().unwrap();
            runtime.block_on(Bridge::plain(&engine))
        });
        let buildx = Self {
            program,
            home: tempfile::tempdir().unwrap(),
            env: Vec::new(),
            _runtime: runtime,
            _bridges: bridges,
        };
        for (bridge, node) in buildx._bridges.iter().zip(&target.nodes) {
            let line = format!(
                "create --name both --driver remote --append --node {} --platform {} {}",
                node.name, node.platforms[0], bridge.endpoint
            );
            // The first one has nothing to be appended to.
            let line = match node.name == target.nodes[0].name {
                true => line.replace(" --append", ""),
                false => line,
            };
            buildx.run(&line, None);
        }
        Some(buildx)
    }

    /// Sets a variable of its environment.
    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Builds with these words, in the directory of the sandbox.
    pub(crate) fn build(&self, sandbox: &Sandbox, line: &str) -> Output {
        let line = format!("build --builder both --provenance=false --progress plain {line}");
        self.run(&line, Some(sandbox))
    }

    fn run(&self, line: &str, sandbox: Option<&Sandbox>) -> Output {
        let mut command = Command::new(&self.program);
        command.args(line.split_whitespace()).env_clear();
        command.env("HOME", self.home.path());
        command.envs(self.env.iter().cloned());
        if let Some(sandbox) = sandbox {
            command.current_dir(sandbox.path(""));
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "buildx {line}:\n{said}");
        output
    }
}
