//! A daemon that does what real ones don't do on demand: die at a given moment, freeze, answer
//! with huge errors. Its HTTP/2 is real; builds are a script.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mbuild::buildkit::dial::{Dial, dialer};
use mbuild::buildkit::endpoint::Endpoint;
use mbuild::buildkit::{ConnectError, Connection};
use mbuild_proto::control::control_server::{Control, ControlServer};
use mbuild_proto::control::{
    BuildHistoryEvent, BuildHistoryEventType, BuildHistoryRecord, BuildHistoryRequest,
    BytesMessage, InfoRequest, InfoResponse, ListWorkersRequest, ListWorkersResponse, SolveRequest,
    SolveResponse, StatusRequest, StatusResponse,
};
use mbuild_proto::{pb, types};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::codegen::BoxStream;
use tonic::{Code, Response, Status, Streaming};
use tower::ServiceExt;

/// What the daemon does.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) on_solve: OnSolve,
    /// What it says while it builds.
    pub(crate) progress: Vec<StatusResponse>,
    /// How the stream of progress ends.
    pub(crate) progress_end: ProgressEnd,
    /// Whether it has the calls of daemons since v0.11.
    pub(crate) old: bool,
    /// Whether it is another service altogether, that knows none of the calls.
    pub(crate) stranger: bool,
    /// Whether it takes no sessions.
    pub(crate) sessionless: bool,
    /// How often bytes come on a session; `None` is never, after the first ones.
    pub(crate) session_ticks: Option<Duration>,
    /// The builds that run whenever it is asked for them, the last number for ever; empty is
    /// a daemon that keeps no record.
    pub(crate) running: Vec<usize>,
}

/// What the daemon does with a build.
#[derive(Clone)]
pub(crate) enum OnSolve {
    Succeed(BTreeMap<String, String>),
    Fail {
        code: Code,
        message: String,
        details: Bytes,
    },
    /// Cuts all connections.
    Die,
    /// Keeps the connections and does nothing any more.
    Freeze,
    /// Takes for ever.
    Wait,
}

impl Default for OnSolve {
    fn default() -> Self {
        Self::Succeed(BTreeMap::new())
    }
}

/// How the stream of progress ends.
#[derive(Clone, Copy, Default)]
pub(crate) enum ProgressEnd {
    #[default]
    Eof,
    /// Never; the stream stays open.
    Never,
    /// The daemon never heard of the build.
    NoSuchJob,
}

/// A running fake; dropping it ends it.
pub(crate) struct FakeBuildkitd {
    pub(crate) path: PathBuf,
    pub(crate) seen: Arc<Seen>,
    _folder: tempfile::TempDir,
    _stop: DropGuard,
}

/// What the daemon saw, and what can be done to it.
#[derive(Default)]
pub(crate) struct Seen {
    /// Requests to build.
    pub(crate) solves: Mutex<Vec<SolveRequest>>,
    /// Told when a build begins.
    pub(crate) solving: Notify,
    /// Told when a build is dropped by the client.
    pub(crate) cancelled: Notify,
    /// Cuts all connections.
    pub(crate) die: CancellationToken,
    freeze: CancellationToken,
    asked: AtomicUsize,
}

impl FakeBuildkitd {
    pub(crate) fn start(script: Script) -> Self {
        let seen = Arc::<Seen>::default();
        let daemon = Daemon {
            script,
            seen: Arc::clone(&seen),
        };
        Self::listen(seen, move |stream| serve(stream, daemon.clone()))
    }

    /// A peer that sends `greeting` and reads nothing; it keeps the connection.
    pub(crate) fn sending(greeting: &'static [u8]) -> Self {
        Self::listen(Arc::default(), move |mut stream| async move {
            stream.write_all(greeting).await.unwrap();
            std::future::pending::<()>().await;
        })
    }

    /// A peer that closes each connection at once.
    pub(crate) fn closing() -> Self {
        Self::listen(Arc::default(), |stream| async move { drop(stream) })
    }

    fn listen<F, S>(seen: Arc<Seen>, mut serve: S) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
        S: FnMut(UnixStream) -> F + Send + 'static,
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("buildkitd.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(stopped.clone().run_until_cancelled_owned(serve(stream)));
            }
        }));
        Self {
            path,
            seen,
            _folder: folder,
            _stop: stop.drop_guard(),
        }
    }

    pub(crate) fn dialer(&self) -> Box<dyn Dial> {
        dialer(&Endpoint::Unix(self.path.clone()), None)
    }

    /// Connects, or says why not.
    pub(crate) async fn try_connect(&self) -> Result<Connection, ConnectError> {
        Connection::open(Arc::from(self.dialer())).await
    }

    pub(crate) async fn connect(&self) -> Connection {
        self.try_connect().await.unwrap()
    }
}

/// Serves one connection until it is cut or frozen.
async fn serve(stream: UnixStream, daemon: Daemon) {
    let (die, freeze) = (daemon.seen.die.clone(), daemon.seen.freeze.clone());
    let stranger = daemon.script.stranger;
    let server = ControlServer::new(daemon);
    let dispatch = service_fn(move |request: Request<Incoming>| {
        let server = server.clone();
        async move {
            if stranger
                || !request
                    .uri()
                    .path()
                    .starts_with("/moby.buildkit.v1.Control/")
            {
                let status = Status::unimplemented("unknown service moby.buildkit.v1.Control");
                return Ok::<_, Infallible>(status.into_http());
            }
            server.oneshot(request).await
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(16 << 20)
        .serve_connection(TokioIo::new(stream), dispatch);
    tokio::pin!(connection);
    tokio::select! {
        _ = &mut connection => {}
        () = die.cancelled() => {}
        // The socket stays open, but nobody reads or writes it.
        () = freeze.cancelled() => std::future::pending().await,
    }
}

#[derive(Clone)]
struct Daemon {
    script: Script,
    seen: Arc<Seen>,
}

#[tonic::async_trait]
impl Control for Daemon {
    async fn list_workers(
        &self,
        _: tonic::Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let platform = pb::Platform {
            os: "linux".into(),
            architecture: "amd64".into(),
            ..pb::Platform::default()
        };
        let record = types::WorkerRecord {
            id: "fake".into(),
            platforms: vec![platform],
            ..types::WorkerRecord::default()
        };
        Ok(Response::new(ListWorkersResponse {
            record: vec![record],
        }))
    }

    async fn info(&self, _: tonic::Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        if self.script.old {
            return Err(Status::unimplemented("unknown method Info"));
        }
        let version = types::BuildkitVersion {
            version: "v0.0.0+fake".into(),
            ..types::BuildkitVersion::default()
        };
        Ok(Response::new(InfoResponse {
            buildkit_version: Some(version),
        }))
    }

    async fn solve(
        &self,
        request: tonic::Request<SolveRequest>,
    ) -> Result<Response<SolveResponse>, Status> {
        self.seen.solves.lock().unwrap().push(request.into_inner());
        self.seen.solving.notify_one();
        match self.script.on_solve.clone() {
            OnSolve::Succeed(exporter_response) => {
                return Ok(Response::new(SolveResponse { exporter_response }));
            }
            OnSolve::Fail {
                code,
                message,
                details,
            } => return Err(Status::with_details(code, message, details)),
            OnSolve::Die => self.seen.die.cancel(),
            OnSolve::Freeze => self.seen.freeze.cancel(),
            OnSolve::Wait => {}
        }
        let _dropped = OnDrop(Arc::clone(&self.seen));
        std::future::pending().await
    }

    async fn status(
        &self,
        _: tonic::Request<StatusRequest>,
    ) -> Result<Response<BoxStream<StatusResponse>>, Status> {
        let (sender, receiver) = mpsc::channel(16);
        let script = self.script.clone();
        tokio::spawn(async move {
            for message in script.progress {
                let _ = sender.send(Ok(message)).await;
            }
            match script.progress_end {
                ProgressEnd::Eof => {}
                ProgressEnd::Never => sender.closed().await,
                ProgressEnd::NoSuchJob => {
                    let wait = tokio::time::sleep(Duration::from_secs(6));
                    tokio::select! { () = wait => {}, () = sender.closed() => {} }
                    let _ = sender.send(Err(Status::not_found("no such job x"))).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn listen_build_history(
        &self,
        request: tonic::Request<BuildHistoryRequest>,
    ) -> Result<Response<BoxStream<BuildHistoryEvent>>, Status> {
        let Some(last) = self.script.running.last() else {
            return Err(Status::unimplemented("no history"));
        };
        let event = BuildHistoryEvent {
            r#type: BuildHistoryEventType::Started.into(),
            record: Some(BuildHistoryRecord::default()),
        };
        let count = match request.into_inner().active_only {
            true => {
                let asked = self.seen.asked.fetch_add(1, Ordering::Relaxed);
                *self.script.running.get(asked).unwrap_or(last)
            }
            false => 0,
        };
        let events = tokio_stream::iter(vec![Ok(event); count]);
        Ok(Response::new(Box::pin(events)))
    }

    async fn session(
        &self,
        request: tonic::Request<Streaming<BytesMessage>>,
    ) -> Result<Response<BoxStream<BytesMessage>>, Status> {
        if self.script.sessionless {
            return Err(Status::failed_precondition("no sessions today"));
        }
        let (sender, receiver) = mpsc::channel(16);
        let ticks = self.script.session_ticks;
        let mut inbound = request.into_inner();
        tokio::spawn(async move {
            let hello = BytesMessage {
                data: Bytes::from_static(b"hello"),
            };
            let _ = sender.send(Ok(hello)).await;
            loop {
                let tick = async {
                    match ticks {
                        Some(period) => tokio::time::sleep(period).await,
                        None => std::future::pending().await,
                    }
                };
                let message = tokio::select! {
                    message = inbound.message() => message,
                    () = tick => Ok(Some(BytesMessage { data: Bytes::from_static(b".") })),
                };
                // What comes is sent back, so that a test can see the pipe at work.
                match message {
                    Ok(Some(message)) => {
                        if sender.send(Ok(message)).await.is_err() {
                            break;
                        }
                    }
                    _ => break,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

struct OnDrop(Arc<Seen>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.cancelled.notify_one();
    }
}
