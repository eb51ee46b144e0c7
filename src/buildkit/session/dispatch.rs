//! The registry of a session's services: [`Services`], and the call that finds the right one.
//!
//! A service is any tower service over HTTP, such as the servers `mbuild_proto` generates; this
//! file knows no service by itself.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use super::ContentStores;

/// The largest message that is accepted, in bytes: what daemons themselves accept since 0.14.
pub const MAX_MESSAGE: usize = 16 << 20;

type Request = http::Request<Incoming>;
type Response = http::Response<Body>;

/// The services of a session, by name; built by adding them.
#[derive(Clone, Default)]
pub struct Services {
    routes: BTreeMap<&'static str, Route>,
    /// Kept here since several inputs have stores and there is one service for all.
    pub(super) stores: ContentStores,
}

#[derive(Clone)]
struct Route {
    methods: &'static [&'static str],
    service: BoxCloneSyncService<Request, Response, Infallible>,
}

impl Services {
    /// A registry without services. The health of the session is served in any case.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service and says which of its methods to announce, by their bare names.
    ///
    /// A service of the same name is replaced.
    #[must_use]
    pub fn add<S>(mut self, methods: &'static [&'static str], service: S) -> Self
    where
        S: NamedService
            + Service<Request, Response = Response, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let service = BoxCloneSyncService::new(service);
        self.routes.insert(S::NAME, Route { methods, service });
        self
    }

    /// The paths of all methods: `/package.Service/Method`.
    pub fn methods(&self) -> Vec<String> {
        let paths = self.routes.iter().flat_map(|(name, route)| {
            route
                .methods
                .iter()
                .map(move |method| format!("/{name}/{method}"))
        });
        paths.collect()
    }

    /// Passes a request to the service its path names; `Unimplemented` when there is none.
    pub(super) async fn call(&self, request: Request) -> Result<Response, Infallible> {
        match self.routes.get(service_name(request.uri().path())) {
            Some(route) => route.service.clone().oneshot(request).await,
            None => Ok(unknown(request.uri().path())),
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.methods()).finish()
    }
}

/// The first segment of a path; empty when the path is not one of gRPC.
fn service_name(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or_default();
    path.split_once('/').map_or("", |(service, _)| service)
}

fn unknown(path: &str) -> Response {
    Status::unimplemented(format!("{path} is not served")).into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_names_the_service() {
        fn check(path: &str, expect: &str) {
            assert_eq!(service_name(path), expect, "{path}");
        }
        check(
            "/moby.filesync.v1.Auth/Credentials",
            "moby.filesync.v1.Auth",
        );
        check("/a/b/c", "a");
        check("/a", "");
        check("a/b", "");
        check("/", "");
        check("", "");
    }
}
