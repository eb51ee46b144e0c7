//! Runs a credential helper: `docker-credential-NAME get`, the host on stdin, JSON on
//! stdout.
//!
//! It has [`HELPER_LIMIT`]; after that, and whenever the caller loses interest, the helper
//! and whatever it started are killed. Nothing it prints on success is shown.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Credential, CredentialError};
use crate::process_group::ProcessGroup;

/// How long a helper may take: a cloud's helper needs some seconds for its own network, and
/// one that waits for a person who isn't there must not hold a build. Daemons wait 60 s.
pub(super) const HELPER_LIMIT: Duration = Duration::from_secs(20);

/// The largest message of a failing helper that we repeat, in characters.
const MESSAGE_LIMIT: usize = 200;

/// What helpers print when they know nothing about the host; compared as docker does.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The user name that marks a secret as an identity token.
const TOKEN_USER: &str = "<token>";

/// One call of a helper.
#[derive(Debug, Clone, Copy)]
pub(super) struct HelperCall<'a> {
    /// The helper's name without `docker-credential-`.
    pub(super) name: &'a str,
    /// What it is asked for.
    pub(super) host: &'a str,
    /// Who names the helper, for messages.
    pub(super) place: &'a str,
    /// Where programs are found; `None` means the process's own `PATH`.
    pub(super) path: Option<&'a str>,
    /// How long it may take.
    pub(super) limit: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks the helper; [`Credential::Anonymous`] means it knows nothing about the host.
pub(super) async fn ask(call: HelperCall<'_>) -> Result<Credential, CredentialError> {
    let helper = format!("docker-credential-{}", call.name);
    if call.name.contains('/') {
        return Err(CredentialError::HelperName {
            place: call.place.to_owned(),
            helper: call.name.to_owned(),
        });
    }
    let start_error = |source| CredentialError::HelperStart {
        helper: helper.clone(),
        host: call.host.to_owned(),
        place: call.place.to_owned(),
        source: Arc::new(source),
    };
    let mut command = Command::new(&helper);
    if let Some(path) = call.path {
        command.env("PATH", path);
    }
    let mut child = command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .map_err(start_error)?;
    let mut group = ProcessGroup::of(&child);
    let stdin = child.stdin.take();
    let talk = async {
        if let Some(mut stdin) = stdin {
            // A helper may answer without reading its input; that is not our failure.
            let _ = stdin.write_all(call.host.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(call.limit, talk)
        .await
        .map_err(|_| CredentialError::HelperTimeout {
            helper: helper.clone(),
            host: call.host.to_owned(),
            limit: call.limit,
        })?
        .map_err(start_error)?;
    // It may have started an agent that is meant to stay.
    group.release();
    if output.status.success() {
        return parse(&output.stdout).ok_or(CredentialError::HelperAnswer {
            helper,
            host: call.host.to_owned(),
        });
    }
    let said = [output.stdout, output.stderr].map(|bytes| first_line(&bytes));
    if said[0].contains(NOT_FOUND) {
        return Ok(Credential::Anonymous);
    }
    let message = said.into_iter().find(|line| !line.is_empty());
    Err(CredentialError::HelperFailed {
        helper,
        host: call.host.to_owned(),
        message: message.unwrap_or_else(|| output.status.to_string()),
    })
}

fn parse(stdout: &[u8]) -> Option<Credential> {
    let answer: Answer = serde_json::from_slice(stdout).ok()?;
    Some(match (answer.username.as_str(), answer.secret.is_empty()) {
        ("", true) => Credential::Anonymous,
        (TOKEN_USER, _) => Credential::IdentityToken(answer.secret),
        _ => Credential::Basic {
            username: answer.username,
            secret: answer.secret,
        },
    })
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    line.chars()
        .filter(|c| !c.is_control())
        .take(MESSAGE_LIMIT)
        .collect()
}
