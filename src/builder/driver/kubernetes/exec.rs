//! Programs in a pod's container: [`open`] gives a byte stream through `buildctl dial-stdio`,
//! [`run`] waits for one that says nothing.
//!
//! Opens the exec WebSocket and reads its channels: what the program says on stderr and the
//! final status become the error that ends the stream.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use kube::Resource as _;
use kube::api::AttachParams;
use kube::core::{Request, Status};

use super::access::{Doing, KubeError};
use super::attempt::{DialFailure, of_io};
use super::cluster::Cluster;
use super::ending::PodEnd;
use super::transport::PodAddress;
use super::websocket::{Channels, End, PodStream, Tuning};

/// What is run; it looks for the daemon's socket where the image's environment says.
const COMMAND: [&str; 2] = ["buildctl", "dial-stdio"];
const PROGRAM: &str = "buildctl dial-stdio";
/// How long a program may take that has next to nothing to do.
const RUN_LIMIT: Duration = Duration::from_secs(30);
/// How much of the program's stderr is kept: its last lines.
const STDERR_TAIL: usize = 4 * 1024;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// Runs the program; the stream begins when the API server has taken the request.
pub(super) async fn open(cluster: &Cluster, pod: &PodAddress) -> Result<PodStream, KubeError> {
    start(cluster, pod, &COMMAND, PROGRAM).await
}

/// Runs a program to its end.
pub(super) async fn run(
    cluster: &Cluster,
    pod: &PodAddress,
    command: &[&'static str],
) -> Result<(), DialFailure> {
    let program = command.first().copied().unwrap_or_default();
    let work = async {
        let mut stream = start(cluster, pod, command, program).await?;
        let ended = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        ended.map(drop).map_err(of_io)
    };
    match tokio::time::timeout(RUN_LIMIT, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(DialFailure::Silent(RUN_LIMIT)),
    }
}

async fn start(
    cluster: &Cluster,
    pod: &PodAddress,
    command: &[&'static str],
    program: &'static str,
) -> Result<PodStream, KubeError> {
    let doing = Doing::new("get", "pods/exec", &pod.namespace).named(&pod.pod);
    let params = AttachParams {
        container: pod.container.clone(),
        stdin: true,
        stdout: true,
        stderr: true,
        tty: false,
        ..AttachParams::default()
    };
    let request = Request::new(Pod::url_path(&(), Some(&pod.namespace)))
        .exec(&pod.pod, command.iter().copied(), &params)
        .map_err(|error| KubeError::of(kube::Error::BuildRequest(error), doing.clone()))?;
    let connection = cluster.client.connect(request).await;
    let connection = connection.map_err(|error| KubeError::of(error, doing))?;
    let half_close = connection.supports_stream_close();
    let channels = ExecChannels::new(pod.to_string(), program);
    Ok(PodStream::start(
        connection.into_stream(),
        channels,
        half_close,
        Tuning::default(),
    ))
}

/// The channels of an exec: 1 is the stream, 2 is stderr, 3 brings the final status.
pub(super) struct ExecChannels {
    pod: String,
    program: &'static str,
    stderr: VecDeque<u8>,
    status: Vec<u8>,
}

impl ExecChannels {
    pub(super) fn new(pod: String, program: &'static str) -> Self {
        Self {
            pod,
            program,
            stderr: VecDeque::new(),
            status: Vec::new(),
        }
    }

    /// The end of stderr, on one line.
    fn said(&mut self) -> String {
        let text = String::from_utf8_lossy(self.stderr.make_contiguous()).into_owned();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join("; ")
    }

    fn failure(&mut self, status: &Status) -> PodEnd {
        let (program, pod, said) = (self.program, self.pod.clone(), self.said());
        let missing = |text: &str| text.contains("executable file not found");
        if missing(&status.message) || missing(&said) {
            let program = program.split(' ').next().unwrap_or(program);
            return PodEnd::NoProgram { program, pod };
        }
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let mut codes = causes.filter(|cause| cause.reason == "ExitCode");
        match codes.next().and_then(|cause| cause.message.parse().ok()) {
            Some(code) => PodEnd::Exit {
                program,
                pod,
                code,
                said,
            },
            None => PodEnd::Failed {
                program,
                pod,
                reason: status.message.clone(),
            },
        }
    }
}

impl Channels for ExecChannels {
    fn take(&mut self, channel: u8, payload: Bytes) -> Option<Bytes> {
        match channel {
            STDOUT => return Some(payload),
            STDERR => {
                self.stderr.extend(&payload);
                let excess = self.stderr.len().saturating_sub(STDERR_TAIL);
                self.stderr.drain(..excess);
            }
            STATUS => self.status.extend_from_slice(&payload),
            _ => {}
        }
        None
    }

    fn is_over(&self) -> bool {
        !self.status.is_empty()
    }

    fn verdict(&mut self, end: End) -> io::Result<()> {
        let end = match serde_json::from_slice::<Status>(&self.status) {
            Ok(status) if status.is_success() => return Ok(()),
            Ok(status) => self.failure(&status),
            Err(_) => {
                let said = self.said();
                PodEnd::lost(&self.pod, end, &said)
            }
        };
        Err(io::Error::other(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(frames: &[(u8, &[u8])]) -> Option<PodEnd> {
        let mut channels = ExecChannels::new("ns/p".into(), PROGRAM);
        for (channel, payload) in frames {
            channels.take(*channel, Bytes::copy_from_slice(payload));
        }
        let error = channels.verdict(End::Closed(None)).err()?;
        error.get_ref()?.downcast_ref().cloned()
    }

    #[test]
    fn an_exit_code_comes_with_what_the_program_said() {
        let end = end(&[
            (2, b"error: dial unix /run/buildkit/buildkitd.sock: "),
            (2, b"connect: no such file or directory\n\n"),
            (
                3,
                br#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"1"}]}}"#,
            ),
        ]);
        assert_eq!(
            end.unwrap().to_string(),
            "`buildctl dial-stdio` ended in pod ns/p with exit code 1: error: dial unix \
             /run/buildkit/buildkitd.sock: connect: no such file or directory"
        );
    }

    #[test]
    fn an_image_without_buildctl_is_told_apart() {
        let end = end(&[(
            3,
            br#"{"status":"Failure","message":"error executing command in container: OCI runtime exec failed: exec: \"buildctl\": executable file not found in $PATH","reason":"InternalError","code":500}"#,
        )]);
        let end = end.unwrap();
        assert!(end.is_final());
        assert_eq!(
            end.to_string(),
            "the container in pod ns/p has no `buildctl`"
        );
    }

    #[test]
    fn success_is_a_plain_end_and_no_status_is_a_loss() {
        assert_eq!(end(&[(3, br#"{"status":"Success"}"#)]), None);
        let lost = end(&[(2, b"killed")]).unwrap().to_string();
        assert_eq!(
            lost,
            "the connection to pod ns/p was lost: the API server closed it: killed"
        );
    }

    #[test]
    fn only_the_end_of_a_long_complaint_is_kept() {
        let mut channels = ExecChannels::new("ns/p".into(), PROGRAM);
        for _ in 0..100 {
            channels.take(2, Bytes::from(vec![b'x'; 1000]));
        }
        assert_eq!(channels.stderr.len(), STDERR_TAIL);
    }
}
