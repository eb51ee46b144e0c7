//! `pods/NAME/exec`: plays `buildctl dial-stdio` in a pod, and what marks it unready.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::ask::Ask;
use super::channels::{Plan, Sink, carry, close, send};
use super::cluster::Pod;
use super::fault::Act;
use super::metered::{End, Metered, Traffic};
use super::refusal::Refusal;
use super::socket::Socket;

/// The protocols that a real server knows, apart from older ones.
pub(super) const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
/// The file that makes a pod of `deploy/buildkit` unready.
const MARK: &str = "/tmp/draining";

/// A command in a pod.
pub(super) struct Exec {
    pub(super) pod: Arc<Pod>,
    pub(super) command: Vec<String>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) act: Option<Act>,
    pub(super) half_close: bool,
}

/// Refuses what a kubelet refuses: a container that does not run, or is not there.
pub(super) fn check(ask: &Ask, object: &Value) -> Result<(), Refusal> {
    let containers = object["spec"]["containers"].as_array().unwrap();
    let first = containers[0]["name"].as_str().unwrap();
    let name = ask.param("container").unwrap_or(first);
    if !containers.iter().any(|container| container["name"] == name) {
        let text = format!("container {name} is not valid for pod {}", ask.name);
        return Err(Refusal::new(400, text));
    }
    let statuses = &object["status"]["containerStatuses"];
    if statuses[0]["state"]["running"].is_null() {
        let text = format!("container not found (\"{name}\")");
        return Err(Refusal::of_kubelet(text));
    }
    Ok(())
}

impl Exec {
    /// Does it all on a socket.
    pub(super) async fn run(self, socket: Socket) {
        let (mut sink, mut source) = socket.split();
        let control = self.pod.control();
        let mut status = None;
        let work = async {
            if send(&mut sink, STDOUT, &[]).await.is_none() {
                return;
            }
            match self.far().await {
                Err(Failed { said, answer }) => {
                    let _ = send(&mut sink, STDERR, said.as_bytes()).await;
                    status = Some(answer);
                }
                Ok(far) => {
                    let far = Metered::new(far, &self.traffic, self.act.as_ref(), &control);
                    let plan = Plan {
                        to_pod: 0,
                        from_pod: STDOUT,
                        half_close: self.half_close,
                    };
                    carry(&mut sink, &mut source, far, plan).await;
                    status = Some(json!({"metadata": {}, "status": "Success"}));
                }
            }
        };
        let end = control.govern(work).await;
        match (end, status) {
            (End::Cut, _) => {}
            (End::Killed, _) => finish(&mut sink, &ended(137)).await,
            (End::Done, Some(status)) => finish(&mut sink, &status).await,
            (End::Done, None) => {}
        }
    }

    async fn far(&self) -> Result<mbuild::buildkit::io::ByteStream, Failed> {
        let command: Vec<_> = self.command.iter().map(String::as_str).collect();
        match &self.act {
            Some(Act::NoCommand(program)) => return Err(Failed::no_command(program)),
            Some(Act::Says(text)) => return Err(Failed::says(text)),
            _ => {}
        }
        match command[..] {
            ["buildctl", "dial-stdio"] | ["buildctl", "--addr", _, "dial-stdio"] => {}
            ["touch", MARK] => return Err(self.mark(true)),
            ["rm", "-f", MARK] => return Err(self.mark(false)),
            [program, ..] => return Err(Failed::no_command(program)),
            [] => return Err(Failed::no_command("")),
        }
        let dialled = self.pod.socket().await;
        dialled.map_err(|error| Failed::says(&format!("error: {error}\n")))
    }

    /// Plays the file that the readiness probe looks at.
    fn mark(&self, is_there: bool) -> Failed {
        self.pod.marked.store(is_there, Ordering::Relaxed);
        Failed {
            said: String::new(),
            answer: json!({"metadata": {}, "status": "Success"}),
        }
    }
}

/// A command that is over before it began.
struct Failed {
    said: String,
    answer: Value,
}

impl Failed {
    fn says(text: &str) -> Self {
        Self {
            said: text.into(),
            answer: ended(1),
        }
    }

    fn no_command(program: &str) -> Self {
        let message = format!(
            "Internal error occurred: error executing command in container: failed to exec in \
             container: failed to start exec \"1\": OCI runtime exec failed: exec failed: unable \
             to start container process: exec: \"{program}\": executable file not found in $PATH"
        );
        let answer = json!({
            "metadata": {}, "status": "Failure", "message": message, "reason": "InternalError",
            "details": {"causes": [{"message": message}]}, "code": 500,
        });
        Self {
            said: String::new(),
            answer,
        }
    }
}

fn ended(code: i32) -> Value {
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

async fn finish(sink: &mut Sink, status: &Value) {
    let _ = send(sink, STATUS, status.to_string().as_bytes()).await;
    close(sink).await;
}
