//! One connection to one daemon: [`Connection`], opened once, shared by a run's builds.
//!
//! It never reconnects: a session and its Solve must reach the same process, so what broke
//! stays broken and every later call says why. Retrying is for who owns the run.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, TryFutureExt};
use hyper_util::rt::TokioIo;
use mbuild_proto::content::content_client::ContentClient;
use mbuild_proto::control::BytesMessage;
use mbuild_proto::control::control_client::ControlClient;
use mbuild_proto::frontend::llb_bridge_client::LlbBridgeClient;
use tokio::sync::{OnceCell, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint as ChannelSettings};
use tonic::{Request, Status, Streaming};

use super::caps::Asked;
use super::connect_error::{ConnectError, OpenSessionError};
use super::dial::{Dial, Terms};
use super::gathered::Gathered;
use super::history;
use super::info::DaemonInfo;
use super::io::{ByteStream, Line};
use super::once::once;
use super::pipe::{self, SessionOpen, SessionPipe};
use super::watched::Watched;
use crate::causes::causes;

/// BuildKit's own limit for messages, both ways.
pub(super) const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// BuildKit's own limit for headers. A build's error comes in them: the Dockerfile, stacks
/// and all. With hyper's 16 KiB the error is lost, or even the connection.
const MAX_HEADER_LIST: u32 = 16 * 1024 * 1024;
/// What one call may receive ahead of its reader: exports and a session share one stream.
const STREAM_WINDOW: u32 = 16 * 1024 * 1024;
/// What all calls may receive, more than one stream so that a stalled session leaves room
/// for progress. It also sets how many small unread frames h2 bears.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// How long a daemon may stay silent while a session is open before it counts as dead. Its
/// health checks come every 5 s.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_secs(1);

/// A session's stream that is being opened.
pub struct Opening {
    /// Can be used at once. What is written goes out with the question, so that a session and
    /// the build that uses it cost one round trip together.
    pub stream: ByteStream,
    /// Completes when the daemon has answered, or has not in time, while the stream is read.
    pub outcome: oneshot::Receiver<Result<(), OpenSessionError>>,
}

/// A connection to a daemon; clones share it, and the last one dropped closes it.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    dialer: Arc<dyn Dial>,
    endpoint: String,
    channel: Channel,
    line: Line,
    info: DaemonInfo,
    running: Option<usize>,
    round_trip: Duration,
    capabilities: OnceCell<Asked>,
}

impl Connection {
    /// Dials and asks the daemon who it is: what comes back has spoken BuildKit's protocol.
    ///
    /// # Errors
    ///
    /// When nothing is reached, or what is reached is not BuildKit, within the dialer's
    /// patience for each of the two.
    pub async fn open(dialer: Arc<dyn Dial>) -> Result<Self, ConnectError> {
        let stream = dialer.dial().await?;
        let endpoint = dialer.describe();
        let Terms {
            origin,
            patience: limit,
            docker,
        } = dialer.terms();
        let line = Line::default();
        let answer = greet(stream, &origin, line.clone());
        let Greeted {
            channel,
            mut info,
            running,
            round_trip,
        } = match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => return Err(ConnectError::from_answer(endpoint, &status, &line)),
            Err(_) => return Err(ConnectError::from_silence(endpoint, limit, &line)),
        };
        info.docker |= docker;
        let inner = Inner {
            dialer,
            endpoint,
            channel,
            line,
            info,
            running,
            round_trip,
            capabilities: OnceCell::new(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// What the daemon said of itself when the connection was opened.
    pub fn info(&self) -> &DaemonInfo {
        &self.inner.info
    }

    /// How many builds it ran when the connection was opened; `None` where it does not say.
    ///
    /// It is asked along with everything else: who wants to know waits for no answer more.
    pub fn running(&self) -> Option<usize> {
        self.inner.running
    }

    /// How long it took to say who it is: a round trip, and what the daemon needed for it.
    pub fn round_trip(&self) -> Duration {
        self.inner.round_trip
    }

    /// The endpoint as the user knows it.
    pub fn endpoint(&self) -> &str {
        &self.inner.endpoint
    }

    /// Traffic and signs of life, sessions included.
    pub fn line(&self) -> &Line {
        &self.inner.line
    }

    /// Opens a session's byte stream. The daemon speaks first on it, as the HTTP/2 client.
    ///
    /// Where the stream is a call on this connection, the question is on its way when this
    /// returns, ahead of every later call's: a daemon waits some seconds for a session that a
    /// build names. A stream of its own may take longer than that to open, and is open then.
    ///
    /// # Errors
    ///
    /// When the stream of its own cannot be opened. All else is the opening's outcome.
    pub async fn open_session(&self, open: &SessionOpen) -> Result<Opening, OpenSessionError> {
        let (tell, outcome) = oneshot::channel();
        if let Some(stream) = self.inner.dialer.dial_session(open).await? {
            drop(tell.send(Ok(())));
            let stream = Box::new(Gathered::new(Watched::new(
                stream,
                self.inner.line.sibling(),
            )));
            return Ok(Opening { stream, outcome });
        }
        let (sender, receiver) = pipe::outbound();
        let mut request = Request::new(ReceiverStream::new(receiver));
        for (name, value) in open.headers() {
            let value: MetadataValue<Ascii> = value
                .parse()
                .map_err(|_| OpenSessionError::Header(value.to_owned()))?;
            request.metadata_mut().append(name, value);
        }
        let connection = self.clone();
        let mut call = Box::pin(async move {
            let answer = connection.ask_session(request).await;
            let (told, answer) = match answer {
                Ok(answer) => (Ok(()), Ok(answer)),
                Err(error) => {
                    let status = Status::unavailable(error.to_string());
                    (Err(error), Err(status))
                }
            };
            drop(tell.send(told));
            answer
        });
        // Polled once, the question is in the connection's queue.
        let answer = match call.as_mut().now_or_never() {
            Some(answer) => std::future::ready(answer).left_future(),
            None => call.right_future(),
        };
        let stream = SessionPipe::new(answer.try_flatten_stream(), sender);
        let stream = Box::new(stream);
        Ok(Opening { stream, outcome })
    }

    async fn ask_session(
        &self,
        request: Request<ReceiverStream<BytesMessage>>,
    ) -> Result<Streaming<BytesMessage>, OpenSessionError> {
        let limit = self.inner.dialer.terms().patience;
        let endpoint = self.inner.endpoint.clone();
        let mut client = self.control();
        match tokio::time::timeout(limit, client.session(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(match self.loss(&status) {
                Some(reason) => OpenSessionError::Lost { endpoint, reason },
                None => OpenSessionError::Refused {
                    endpoint,
                    reason: status.message().to_owned(),
                },
            }),
            Err(_) => Err(OpenSessionError::Silent { endpoint, limit }),
        }
    }

    /// Completes once the daemon has been silent for [`SILENCE_LIMIT`] from now on. Means
    /// something only while a session is open on this connection.
    pub fn silence(&self) -> impl Future<Output = ()> + Send + use<> {
        silence(self.inner.line.clone(), SILENCE_LIMIT)
    }

    /// Why the transport failed, if `status` is no answer of the daemon's.
    ///
    /// A transport's fault comes with the code of a build's failure, `Unknown`; but only
    /// faults made on this side have a source.
    pub(super) fn loss(&self, status: &Status) -> Option<String> {
        loss(status, &self.inner.line)
    }

    pub(super) fn control(&self) -> ControlClient<Channel> {
        control(self.inner.channel.clone())
    }

    pub(super) fn content(&self) -> ContentClient<Channel> {
        ContentClient::new(self.inner.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub(super) fn bridge(&self) -> LlbBridgeClient<Channel> {
        LlbBridgeClient::new(self.inner.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    pub(super) fn capability_cell(&self) -> &OnceCell<Asked> {
        &self.inner.capabilities
    }
}

fn control(channel: Channel) -> ControlClient<Channel> {
    ControlClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

/// What is known after the first answers.
struct Greeted {
    channel: Channel,
    info: DaemonInfo,
    running: Option<usize>,
    round_trip: Duration,
}

/// Starts HTTP/2 on the stream and asks the first questions, all at once.
async fn greet(stream: ByteStream, origin: &str, line: Line) -> Result<Greeted, Status> {
    let origin = origin
        .parse()
        .map_err(|_| Status::internal(format!("bad origin {origin}")))?;
    let stream = TokioIo::new(Gathered::new(Watched::new(stream, line.clone())));
    let channel = ChannelSettings::from_static("http://localhost")
        .origin(origin)
        .http2_max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_with_connector(once(stream, line))
        .await
        .map_err(|error| Status::from_error(Box::new(error)))?;
    let asked = Instant::now();
    let introduced = DaemonInfo::ask(control(channel.clone()));
    let ((info, round_trip), running) = tokio::try_join!(
        introduced.map_ok(|info| (info, asked.elapsed())),
        history::running_builds(control(channel.clone())).map(Ok),
    )?;
    Ok(Greeted {
        channel,
        info,
        running,
        round_trip,
    })
}

/// See [`Connection::loss`].
pub(super) fn loss(status: &Status, line: &Line) -> Option<String> {
    let source = std::error::Error::source(status);
    let cause = source.map(causes);
    // A proxy's, or a daemon's on its way out. BuildKit's own errors always have details.
    let draining = status.code() == tonic::Code::Unavailable && status.details().is_empty();
    match (line.end(), cause) {
        (Some(end), Some(_)) => Some(end),
        (_, Some(cause)) => Some(cause),
        (_, None) => draining.then(|| status.message().to_owned()),
    }
}

/// Counts silent seconds one by one: after this process was stopped for a while, data may
/// wait that nobody has read yet, and the pause counts as one.
async fn silence(line: Line, limit: Duration) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut heard = line.liveness.signs();
    let mut silent = Duration::ZERO;
    while silent < limit {
        ticks.tick().await;
        let signs = line.liveness.signs();
        silent = if signs == heard {
            silent + TICK
        } else {
            Duration::ZERO
        };
        heard = signs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_now_on() {
        let line = Line::default();
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        silence(line, SILENCE_LIMIT).await;
        assert_eq!(start.elapsed(), SILENCE_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_starts_the_count_again() {
        let line = Line::default();
        let start = Instant::now();
        let speaker = line.clone();
        let speak = async {
            for _ in 0..6 {
                tokio::time::sleep(Duration::from_secs(5)).await;
                speaker.liveness.touch();
            }
        };
        tokio::join!(silence(line, SILENCE_LIMIT), speak);
        let elapsed = start.elapsed();
        let expected = Duration::from_secs(30) + SILENCE_LIMIT;
        assert!(
            elapsed >= expected && elapsed <= expected + TICK,
            "{elapsed:?}"
        );
    }
}
