//! One question to a frontend, asked from inside a build: what a Dockerfile's targets are, what
//! its checks find.
//!
//! A plain Solve drops such answers, so the client plays the frontend: an outer build without
//! one, and within it a call of the real frontend, whose result is returned as it came. Nothing
//! is run or exported.

use std::pin::pin;
use std::time::Duration;

use mbuild_proto::control;
use mbuild_proto::frontend::{
    CacheOptionsEntry, Result as Outcome, ReturnRequest, SolveRequest as AskRequest,
};
use mbuild_proto::rpc;
use prost::Message;
use tokio::time::timeout;
use tonic::Status;

use super::caps::within_build;
use super::connection::Connection;
use super::error::SolveError;
use super::solve::{CacheSpec, SolveOutput, SolveSpec};

/// How long an answer may be behind the end of the build that it was asked in: both are sent at
/// once.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

impl Connection {
    /// Asks a spec's frontend; the answer is the metadata of its result.
    ///
    /// Returns the status that failed: of the question, or of the build around it.
    pub(super) async fn ask(&self, spec: &SolveSpec) -> Result<SolveOutput, Status> {
        let mut control = self.control();
        let mut around = pin!(control.solve(outer(spec)));
        let mut question = pin!(self.question(spec));
        tokio::select! {
            ended = &mut around => {
                // What is asked within a build that failed fails too, and says less.
                ended?;
                let late = timeout(ANSWER_LIMIT, question).await;
                late.unwrap_or_else(|_| Err(Status::unknown("the build ended without an answer")))
            }
            answer = &mut question => match answer {
                Ok(output) => around.await.map(|_| output),
                Err(status) => Err(status),
            },
        }
    }

    async fn question(&self, spec: &SolveSpec) -> Result<SolveOutput, Status> {
        let mut bridge = self.bridge();
        let asked = bridge
            .solve(within_build(inner(spec), &spec.reference)?)
            .await;
        let result = asked.map(|answer| answer.into_inner().result.unwrap_or_default());
        let returned = match &result {
            Ok(result) => ReturnRequest {
                result: Some(result.clone()),
                error: None,
            },
            Err(status) => ReturnRequest {
                result: None,
                error: Some(on_the_wire(status)),
            },
        };
        let returned = within_build(returned, &spec.reference)?;
        let told = bridge.r#return(returned).await;
        // The frontend's own failure says more than that its end could not be told.
        let result = result?;
        told?;
        Ok(output(result))
    }

    /// What a status of a build or a question means.
    pub(super) fn failure(&self, status: &Status) -> SolveError {
        match self.loss(status) {
            Some(reason) => SolveError::lost(self.endpoint(), reason),
            None => SolveError::from_status(self.endpoint(), status),
        }
    }
}

/// The build around the question: without a frontend, for the client plays it.
fn outer(spec: &SolveSpec) -> control::SolveRequest {
    control::SolveRequest {
        frontend: String::new(),
        exporters: Vec::new(),
        exporter_deprecated: String::new(),
        exporter_attrs_deprecated: Default::default(),
        // No build was made, so that none is on record.
        internal: true,
        ..spec.to_wire()
    }
}

fn inner(spec: &SolveSpec) -> AskRequest {
    AskRequest {
        frontend: spec.frontend.clone(),
        frontend_opt: spec.all_frontend_attrs(),
        allow_result_return: true,
        allow_result_array_ref: true,
        cache_imports: spec.cache_imports.iter().map(import).collect(),
        ..AskRequest::default()
    }
}

fn import(cache: &CacheSpec) -> CacheOptionsEntry {
    CacheOptionsEntry {
        r#type: cache.kind.clone(),
        attrs: cache.attrs.clone(),
    }
}

/// The daemon wants errors with all their details, as they came.
fn on_the_wire(status: &Status) -> rpc::Status {
    let whole = rpc::Status::decode(status.details()).ok();
    let whole = whole.filter(|_| !status.details().is_empty());
    whole.unwrap_or_else(|| rpc::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

fn output(result: Outcome) -> SolveOutput {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let metadata = result.metadata.iter();
    SolveOutput {
        response: metadata
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> SolveSpec {
        SolveSpec {
            reference: "r".into(),
            session: "s".into(),
            frontend: "dockerfile.v0".into(),
            frontend_attrs: [("requestid".to_owned(), "frontend.lint".to_owned())].into(),
            cache_imports: vec![CacheSpec {
                kind: "registry".into(),
                attrs: [("ref".to_owned(), "r/x".to_owned())].into(),
            }],
            question: true,
            ..SolveSpec::default()
        }
    }

    #[test]
    fn the_frontend_is_named_in_the_question_and_not_around_it() {
        let around = outer(&spec());
        assert_eq!((around.frontend.as_str(), around.internal), ("", true));
        assert_eq!(around.session, "s");
        let inner = inner(&spec());
        assert_eq!(inner.frontend, "dockerfile.v0");
        assert!(inner.frontend_opt.contains_key("cache-imports"));
        assert_eq!(inner.cache_imports.len(), 1);
        assert!(inner.allow_result_return && !inner.evaluate);
    }

    #[test]
    fn the_answer_is_what_the_result_says_of_itself() {
        let result = Outcome {
            metadata: [("result.txt".to_owned(), "text".into())].into(),
            ..Outcome::default()
        };
        assert_eq!(output(result).response["result.txt"], "text");
    }

    #[test]
    fn an_error_without_details_keeps_code_and_message() {
        let status = on_the_wire(&Status::unimplemented("no such request"));
        assert_eq!(
            (status.code, status.message.as_str()),
            (12, "no such request")
        );
    }
}
