//! A daemon behind a program that carries bytes: `ssh host buildctl dial-stdio`,
//! `docker exec NAME buildctl dial-stdio`.
//!
//! The program's own words are the only diagnosis when it fails, so the end of its stderr
//! becomes the error that ends the stream.

mod stream;

use std::process::Stdio;

use async_trait::async_trait;
use tokio::process::Command;

use super::{ByteStream, COMMAND_DEADLINE, Dial, DialError, Terms};
use crate::buildkit::endpoint::SshTarget;
use stream::CommandStream;

/// Seconds that ssh itself waits for a host, less than [`COMMAND_DEADLINE`] so that its
/// message arrives.
const SSH_CONNECT_TIMEOUT: &str = "ConnectTimeout=20";

/// Dials by running a program whose stdin and stdout are the stream.
#[derive(Debug, Clone)]
pub struct CommandDialer {
    program: String,
    args: Vec<String>,
    endpoint: String,
}

impl CommandDialer {
    /// Runs `program` with `args`; `endpoint` is the daemon's name in messages.
    pub fn new(program: impl Into<String>, args: Vec<String>, endpoint: String) -> Self {
        Self {
            program: program.into(),
            args,
            endpoint,
        }
    }

    /// Reaches buildkitd on another machine.
    pub fn ssh_buildctl(target: &SshTarget, endpoint: String) -> Self {
        let mut args = ssh_args(target);
        args.push("buildctl".into());
        if let Some(socket) = &target.socket {
            args.extend(["--addr".into(), shell_word(&format!("unix://{socket}"))]);
        }
        args.push("dial-stdio".into());
        Self::new("ssh", args, endpoint)
    }

    /// Reaches a Docker engine's socket on another machine.
    pub fn ssh_docker(target: &SshTarget, endpoint: String) -> Self {
        let mut args = ssh_args(target);
        args.push("docker".into());
        if let Some(socket) = &target.socket {
            args.extend(["--host".into(), shell_word(&format!("unix://{socket}"))]);
        }
        args.extend(["system".into(), "dial-stdio".into()]);
        Self::new("ssh", args, endpoint)
    }

    /// Reaches buildkitd in a container of the local Docker engine.
    pub fn docker_exec(container: &str, endpoint: String) -> Self {
        let args = ["exec", "-i", container, "buildctl", "dial-stdio"];
        Self::new("docker", args.map(str::to_owned).to_vec(), endpoint)
    }
}

/// Up to and including the host. `BatchMode`: no question could be answered, since the
/// program must not take part in the terminal's signals.
fn ssh_args(target: &SshTarget) -> Vec<String> {
    let mut args: Vec<String> = ["-T", "-o", "BatchMode=yes", "-o", SSH_CONNECT_TIMEOUT]
        .map(str::to_owned)
        .to_vec();
    if let Some(user) = &target.user {
        args.extend(["-l".into(), user.clone()]);
    }
    if let Some(port) = target.port {
        args.extend(["-p".into(), port.to_string()]);
    }
    args.extend(["--".into(), target.host.clone()]);
    args
}

/// Quotes what the remote shell would take apart: ssh joins its arguments with spaces.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[async_trait]
impl Dial for CommandDialer {
    async fn dial(&self) -> Result<ByteStream, DialError> {
        let failed = |source| DialError::Spawn {
            program: self.program.clone(),
            endpoint: self.endpoint.clone(),
            source,
        };
        let child = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C must not cut the line on which the daemon is told to cancel.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let stream = CommandStream::new(self.program.clone(), child).map_err(failed)?;
        Ok(Box::new(stream))
    }

    fn describe(&self) -> String {
        self.endpoint.clone()
    }

    fn terms(&self) -> Terms {
        Terms {
            patience: COMMAND_DEADLINE,
            ..Terms::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn shell(script: &str) -> CommandDialer {
        CommandDialer::new("sh", vec!["-c".into(), script.into()], "ssh://x".into())
    }

    fn target(text: &str) -> SshTarget {
        match text.parse().unwrap() {
            crate::buildkit::endpoint::Endpoint::Ssh(target) => target,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ssh_gets_login_port_and_socket() {
        let dialer = CommandDialer::ssh_buildctl(&target("ssh://me@h:22/run/b k.sock"), "e".into());
        assert_eq!(
            dialer.args.join(" "),
            "-T -o BatchMode=yes -o ConnectTimeout=20 -l me -p 22 -- h \
             buildctl --addr 'unix:///run/b k.sock' dial-stdio"
        );
        let dialer = CommandDialer::ssh_docker(&target("ssh://h"), "e".into());
        assert!(
            dialer
                .args
                .join(" ")
                .ends_with("-- h docker system dial-stdio")
        );
    }

    #[tokio::test]
    async fn stdin_and_stdout_are_the_stream_and_shutdown_is_a_half_close() {
        let mut stream = shell("cat; echo bye").dial().await.unwrap();
        stream.write_all(b"hello ").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello bye\n");
    }

    #[tokio::test]
    async fn what_the_program_said_ends_the_stream() {
        let mut stream = shell("echo no route >&2; echo sorry >&2; exit 255")
            .dial()
            .await
            .unwrap();
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh` ended with exit code 255: no route; sorry"
        );
    }

    #[tokio::test]
    async fn a_write_to_a_program_that_is_gone_says_why_it_went() {
        let mut stream = shell("echo refused >&2; exit 1").dial().await.unwrap();
        let error = loop {
            if let Err(error) = stream.write_all(&[0; 1024]).await {
                break error;
            }
        };
        assert_eq!(error.to_string(), "`sh` ended with exit code 1: refused");
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_complaint_is_kept() {
        let script = "for i in $(seq 2000); do echo line $i >&2; done; exit 1";
        let mut stream = shell(script).dial().await.unwrap();
        let error = stream.read_u8().await.unwrap_err().to_string();
        assert!(error.ends_with("line 1999; line 2000"), "{error}");
        assert!(error.len() < 8 * 1024);
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let dialer = CommandDialer::new("mbuild-no-such-program", vec![], "ssh://x".into());
        let Err(error) = dialer.dial().await else {
            panic!("there is no such program")
        };
        assert_eq!(
            error.to_string(),
            "cannot run `mbuild-no-such-program`, which ssh://x needs"
        );
        assert!(
            error
                .hint()
                .unwrap()
                .starts_with("install `mbuild-no-such-program`")
        );
    }
}
