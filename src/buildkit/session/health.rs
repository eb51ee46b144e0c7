//! The sign of life of a session: daemons ask for it every few seconds and give up without it.
//!
//! [`Health`] answers at once and touches nothing that could block. Being asked is in turn the
//! daemon's sign of life.

use futures_util::{StreamExt, stream};
use mbuild_proto::health::health_check_response::ServingStatus;
use mbuild_proto::health::{HealthCheckRequest, HealthCheckResponse, health_server};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::buildkit::io::Liveness;

/// What the daemon is told of this service.
pub(super) const METHODS: [&str; 2] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

/// Answers that all is well, and notes that it was asked.
pub(super) struct Health {
    /// The daemon's: one that stops checking is gone.
    pub(super) liveness: Liveness,
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.liveness.touch();
        Ok(Response::new(serving()))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<BoxStream<HealthCheckResponse>>, Status> {
        self.liveness.touch();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::health_server::Health as _;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn being_asked_is_a_sign_of_life() {
        let liveness = Liveness::new();
        let health = Health {
            liveness: liveness.clone(),
        };
        tokio::time::advance(Duration::from_secs(7)).await;
        let answer = health
            .check(Request::new(HealthCheckRequest::default()))
            .await
            .unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
        assert_eq!(liveness.idle(), Duration::ZERO);
    }
}
