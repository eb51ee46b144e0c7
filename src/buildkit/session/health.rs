//! The sign of life of a session: daemons ask for it every few seconds and give up without it.
//!
//! [`Health`] answers at once and touches nothing that could block.

use futures_util::{StreamExt, stream};
use mbuild_proto::health::health_check_response::ServingStatus;
use mbuild_proto::health::{HealthCheckRequest, HealthCheckResponse, health_server};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

/// What the daemon is told of this service.
pub(super) const METHODS: [&str; 2] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

/// Answers that all is well, and reports each time it was asked.
pub(super) struct Health<F> {
    /// Called at each check: a daemon that stops checking is gone.
    pub(super) on_check: F,
}

#[tonic::async_trait]
impl<F: Fn() + Send + Sync + 'static> health_server::Health for Health<F> {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        (self.on_check)();
        Ok(Response::new(serving()))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<BoxStream<HealthCheckResponse>>, Status> {
        (self.on_check)();
        // The stream stays open, since its end would mean that the service went away.
        let states = stream::once(async { Ok(serving()) }).chain(stream::pending());
        Ok(Response::new(Box::pin(states)))
    }
}

fn serving() -> HealthCheckResponse {
    HealthCheckResponse {
        status: ServingStatus::Serving.into(),
    }
}
