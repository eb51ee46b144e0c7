//! One Dockerfile built on a real daemon, straight through the BuildKit client.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use mbuild::buildkit::session::{Services, Session, random_id};
use mbuild::buildkit::{Connection, SolveError, SolveOutput, SolveSpec};
use mbuild::event::{StatusUpdate, Vertex};
use tokio_util::sync::CancellationToken;

use super::real::Env;

/// A build of one Dockerfile without other files, which travels as a tar.
pub(crate) struct Build {
    pub(crate) connection: Connection,
    pub(crate) spec: SolveSpec,
    pub(crate) session: Session,
}

/// How a build went.
pub(crate) struct Outcome {
    pub(crate) verdict: Result<SolveOutput, SolveError>,
    pub(crate) updates: Vec<StatusUpdate>,
}

impl Build {
    pub(crate) async fn new(env: &Env, node: &str, dockerfile: &str) -> Self {
        let platform = format!("linux/{}", node.to_lowercase());
        Self::on(env.connect(node).await, &platform, dockerfile)
    }

    /// A build on a connection that is there already.
    pub(crate) fn on(connection: Connection, platform: &str, dockerfile: &str) -> Self {
        let upload = random_id().unwrap();
        let body = BTreeMap::from([(upload.clone(), Arc::new(context(dockerfile)))]);
        let session = Session::new("", Services::new().upload(body)).unwrap();
        let attrs = [
            ("context", format!("http://buildkit-session/{upload}")),
            ("platform", platform.to_owned()),
            ("no-cache", String::new()),
        ];
        let spec = SolveSpec {
            reference: random_id().unwrap(),
            session: session.id.clone(),
            frontend: "dockerfile.v0".into(),
            frontend_attrs: attrs.map(|(key, value)| (key.to_owned(), value)).into(),
            ..SolveSpec::default()
        };
        Self {
            connection,
            spec,
            session,
        }
    }

    /// Runs it to its end, or drops it when `cancel` is cancelled.
    pub(crate) async fn run(
        self,
        cancel: CancellationToken,
    ) -> (Option<Outcome>, Vec<StatusUpdate>) {
        let open = self.session.opening();
        let stream = self.connection.open_session(&open).await.unwrap().stream;
        let close = CancellationToken::new();
        let liveness = self.connection.line().liveness.clone();
        let served = tokio::spawn(self.session.serve(stream, liveness, close.clone()));
        let (solved, mut updates) = (CancellationToken::new(), Vec::new());
        let follow = self
            .connection
            .follow(&self.spec.reference, solved.clone(), |update| {
                updates.push(update);
            });
        let solve = async {
            let verdict = cancel
                .run_until_cancelled(self.connection.solve(&self.spec))
                .await;
            solved.cancel();
            verdict
        };
        let (verdict, followed) = tokio::join!(solve, follow);
        followed.unwrap();
        close.cancel();
        served.await.unwrap();
        match verdict {
            Some(verdict) => (Some(Outcome { verdict, updates }), Vec::new()),
            None => (None, updates),
        }
    }

    pub(crate) async fn outcome(self) -> Outcome {
        let limit = Duration::from_secs(120);
        let run = tokio::time::timeout(limit, self.run(CancellationToken::new()));
        run.await.expect("it is a small build").0.unwrap()
    }
}

impl Outcome {
    /// The last record of each step, by digest.
    pub(crate) fn vertexes(&self) -> BTreeMap<&str, &Vertex> {
        let all = self.updates.iter().flat_map(|update| &update.vertexes);
        all.map(|vertex| (vertex.digest.as_str(), vertex)).collect()
    }
}

fn context(dockerfile: &str) -> File {
    let mut tar = tar::Builder::new(tempfile::tempfile().unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "Dockerfile", dockerfile.as_bytes())
        .unwrap();
    tar.into_inner().unwrap()
}
