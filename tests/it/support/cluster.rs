//! The pools on a real cluster that `tests/run --cluster` has made: [`Cluster`].
//!
//! Says how a configuration names them and does to their pods what happens to pods. It makes
//! and removes nothing that outlives a case.

use std::process::Command;

use super::real::Env;

/// One pool of two architectures, and a client's way to it.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// The pool's name.
    pub(crate) pool: String,
    /// The pool's namespace.
    pub(crate) namespace: String,
    /// The kubeconfig of a client with the shipped Role alone; `None` in a pod with it.
    pub(crate) kubeconfig: Option<String>,
    admin: Option<(String, String)>,
}

impl Cluster {
    /// The one that the variables name, if they name one.
    pub(crate) fn of(env: &Env) -> Option<Self> {
        let find = |name: &str| env.find(name).map(str::to_owned);
        Some(Self {
            pool: find("POOL")?,
            namespace: env.get("POOL_NAMESPACE").to_owned(),
            kubeconfig: find("POOL_KUBECONFIG"),
            admin: find("KUBECTL").zip(find("POOL_ADMIN")),
        })
    }

    /// The lines of a node's table that name the pods of an architecture.
    pub(crate) fn lines(&self, arch: &str) -> String {
        let Self {
            pool, namespace, ..
        } = self;
        let kubeconfig = match &self.kubeconfig {
            Some(file) => format!("kubeconfig = {file:?}\n"),
            None => String::new(),
        };
        format!(
            "{kubeconfig}namespace = \"{namespace}\"\nselector = \"app.kubernetes.io/name=buildkitd,\
             app.kubernetes.io/instance={pool},app.kubernetes.io/component={arch}\"\n"
        )
    }

    /// How the client is told where the cluster is, where no file tells it.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let names = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"];
        let names = names.iter().filter(|_| self.kubeconfig.is_none());
        let value = |&name: &&str| Some((name.to_owned(), std::env::var(name).ok()?));
        names.filter_map(value).collect()
    }

    /// Whether this test may do to pods what an administrator can.
    pub(crate) fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// What kubectl prints as an administrator of the pool's namespace.
    #[track_caller]
    pub(crate) fn kubectl(&self, line: &str) -> String {
        let (program, kubeconfig) = self.admin.as_ref().unwrap();
        let mut command = Command::new(program);
        command.args(["--kubeconfig", kubeconfig, "--namespace", &self.namespace]);
        let output = command.args(line.split_whitespace()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {line}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends a pod at once, as a lost node does.
    #[track_caller]
    pub(crate) fn kill(&self, pod: &str) {
        self.kubectl(&format!(
            "delete pod {pod} --grace-period=0 --force --wait=false"
        ));
    }

    /// Waits until all pods of the pool are ready.
    #[track_caller]
    pub(crate) fn wait(&self) {
        for arch in ["amd64", "arm64"] {
            self.kubectl(&format!(
                "rollout status statefulset/{}-{arch} --timeout=90s",
                self.pool
            ));
        }
    }
}
