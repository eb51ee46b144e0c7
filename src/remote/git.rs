//! Asks a repository which commit a ref is now, with the machine's own `git`.
//!
//! [`commit`] never asks the user for anything, and has a time limit: a repository that says
//! nothing must not hold a build that its daemons may do without us. Credentials are those that
//! `git` finds by itself, and the header that it is given.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::process_group::ProcessGroup;
use crate::request::git::{GitContext, Transport};

use super::refs;
pub use super::refs::Found;

/// How much of what a failing `git` says is repeated, in characters.
const MESSAGE_LIMIT: usize = 300;
/// What makes `ssh` fail rather than ask.
const BATCH: &str = "-o BatchMode=yes";

/// How the question is put.
#[derive(Debug)]
pub struct Asking<'a> {
    /// The user's environment, some of whose variables are added to.
    pub env: &'a BTreeMap<String, String>,
    /// The `Authorization` header to show; `None` leaves that to `git`.
    pub authorization: Option<String>,
    /// How long the repository may take to answer.
    pub limit: Duration,
}

/// Why it is not known which commit a ref is.
#[derive(Debug, thiserror::Error)]
pub enum GitAskError {
    /// There is no `git` on this machine.
    #[error("there is no git on this machine")]
    NoGit,
    /// `git` cannot be run.
    #[error("git cannot be run")]
    Start(#[source] io::Error),
    /// The repository did not answer in time.
    #[error("the repository did not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// `git` could not ask, and says why.
    #[error("{0}")]
    Failed(String),
    /// The repository has no such ref.
    #[error("the repository has no {0}")]
    NoRef(String),
    /// The ref is another commit than was promised.
    #[error("{reference} is {found}, and does not begin with the checksum {checksum}")]
    Checksum {
        /// The ref.
        reference: String,
        /// The commit that it is.
        found: String,
        /// What it was to begin with.
        checksum: String,
    },
}

impl GitAskError {
    /// Whether the repository has answered, so that daemons would hear the same.
    pub fn is_certain(&self) -> bool {
        matches!(self, Self::NoRef(_) | Self::Checksum { .. })
    }
}

/// Finds the commit that a context means now.
///
/// # Errors
///
/// When the repository could not be asked, or has no such ref.
pub async fn commit(context: &GitContext, asking: &Asking<'_>) -> Result<Found, GitAskError> {
    let reference = context.reference.as_deref();
    let mut command = Command::new("git");
    command.args(["ls-remote", "--quiet", "--", &context.url()]);
    command.args(refs::patterns(reference));
    quiet(&mut command, context, asking).await;
    let output = run(command, asking.limit).await?;
    if !output.status.success() {
        return Err(GitAskError::Failed(message(&output)));
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let name = reference.unwrap_or("HEAD");
    let found = refs::find(&lines, reference).ok_or_else(|| GitAskError::NoRef(name.to_owned()))?;
    check(&found, name, context.checksum.as_deref())?;
    Ok(found)
}

fn check(found: &Found, name: &str, checksum: Option<&str>) -> Result<(), GitAskError> {
    let Some(checksum) = checksum else {
        return Ok(());
    };
    let mut ids = [Some(&found.commit), found.tag.as_ref()]
        .into_iter()
        .flatten();
    if ids.any(|id| id.starts_with(checksum)) {
        return Ok(());
    }
    Err(GitAskError::Checksum {
        reference: name.to_owned(),
        found: found.commit.clone(),
        checksum: checksum.to_owned(),
    })
}

/// Sets everything that keeps `git` and `ssh` from asking a person, and the header.
async fn quiet(command: &mut Command, context: &GitContext, asking: &Asking<'_>) {
    let env = asking.env;
    command.env("GIT_TERMINAL_PROMPT", "0");
    command.env("GCM_INTERACTIVE", "never");
    command.env("GIT_ALLOW_PROTOCOL", "http:https:git:ssh");
    if !env.contains_key("GIT_ASKPASS") {
        // Set and empty, it also keeps the program for ssh's questions from being asked.
        command.env("GIT_ASKPASS", "");
    }
    if context.transport == Transport::Ssh && !env.contains_key("GIT_SSH") {
        let ssh = match env.get("GIT_SSH_COMMAND") {
            Some(ssh) => ssh.clone(),
            None => configured_ssh(asking.limit).await,
        };
        command.env("GIT_SSH_COMMAND", format!("{ssh} {BATCH}"));
    }
    if let Some(header) = &asking.authorization {
        // In the environment, where other users cannot see it, unlike on the command line.
        let count = env.get("GIT_CONFIG_COUNT");
        let count: usize = count.and_then(|text| text.parse().ok()).unwrap_or(0);
        let key = format!("http.{}.extraHeader", context.url());
        command.env("GIT_CONFIG_COUNT", (count + 1).to_string());
        command.env(format!("GIT_CONFIG_KEY_{count}"), key);
        let value = format!("Authorization: {header}");
        command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
    }
}

/// The program for ssh that `git` would run, which our variable would replace.
async fn configured_ssh(limit: Duration) -> String {
    let mut command = Command::new("git");
    command.args(["config", "--get", "core.sshCommand"]);
    let answer = run(command, limit).await.ok();
    let text = answer.and_then(|output| String::from_utf8(output.stdout).ok());
    let text = text.map(|text| text.trim().to_owned());
    text.filter(|text| !text.is_empty())
        .unwrap_or_else(|| "ssh".to_owned())
}

/// Whether files of a work tree differ from its commit, those that it ignores included.
///
/// # Errors
///
/// When `git` cannot tell.
pub async fn is_dirty(dir: &Path, limit: Duration) -> Result<bool, GitAskError> {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir);
    command.args(["status", "--porcelain", "--ignored"]);
    command.env("GIT_OPTIONAL_LOCKS", "0");
    let output = run(command, limit).await?;
    match output.status.success() {
        true => Ok(!output.stdout.is_empty()),
        false => Err(GitAskError::Failed(message(&output))),
    }
}

/// Runs a program to its end, or kills it with all that it started.
async fn run(mut command: Command, limit: Duration) -> Result<Output, GitAskError> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => GitAskError::NoGit,
            _ => GitAskError::Start(error),
        })?;
    let mut group = ProcessGroup::of(&child);
    let output = timeout(limit, child.wait_with_output())
        .await
        .map_err(|_| GitAskError::Late(limit))?
        .map_err(GitAskError::Start)?;
    group.release();
    Ok(output)
}

/// The last thing that a failing `git` says of itself, without passwords in addresses.
fn message(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let own = lines.iter().find(|line| line.starts_with("fatal: "));
    let line = own.or_else(|| lines.iter().rev().find(|line| !line.is_empty()));
    let Some(line) = line else {
        return format!("git ended with {}", output.status);
    };
    let line = line.strip_prefix("fatal: ").unwrap_or(line);
    let line = line.chars().filter(|c| !c.is_control());
    format!(
        "git: {}",
        without_passwords(&line.take(MESSAGE_LIMIT).collect::<String>())
    )
}

fn without_passwords(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.find("://") {
        Some(_) => crate::request::remote::without_password(word),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_told_without_passwords() {
        let text = "fatal: unable to access 'https://u:p@h/x.git/': no";
        let shown = without_passwords(text);
        assert!(!shown.contains("u:p"), "{shown}");
        assert!(shown.contains("u@h/x.git/"), "{shown}");
    }

    #[test]
    fn a_checksum_is_of_the_commit_or_of_the_tag() {
        let found = Found {
            commit: "abc1".to_owned(),
            is_tag: true,
            tag: Some("def2".to_owned()),
        };
        assert!(check(&found, "v1", None).is_ok());
        assert!(check(&found, "v1", Some("abc")).is_ok());
        assert!(check(&found, "v1", Some("def2")).is_ok());
        let error = check(&found, "v1", Some("bc")).unwrap_err();
        assert!(error.is_certain(), "{error}");
    }
}
