//! `mbuild dial-stdio`: a raw tunnel from stdin and stdout to a node's daemon.
//!
//! Lets buildctl, or anything that speaks BuildKit's protocol, use a node as mbuild reaches
//! it. The bytes are not looked at.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::builder::{Builder, Finder, FoundBuilder, Node, Store, Wanted, probe};
use crate::buildkit::io::ByteStream;
use crate::config::Settings;
use crate::plan::{assign, to_ask};
use crate::platform::Platform;
use crate::request::{DEFAULT_WAIT, parse_platforms};

use super::app::App;
use super::builder::find_error;
use super::error::{CliError, CommandResult};
use super::exit::Exit;

/// Connect stdin and stdout to a node's daemon
#[derive(Debug, Clone, clap::Args)]
pub struct DialStdioArgs {
    /// Platform whose node is meant [default: the first node]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Node's name
    #[arg(long, value_name = "NAME", conflicts_with = "platform")]
    node: Option<String>,
    /// Accepted for buildx's sake: nothing is shown
    #[arg(long, value_name = "MODE", hide = true)]
    progress: Option<String>,
}

/// Tunnels until the daemon's side ends.
pub(super) async fn run(args: &DialStdioArgs, settings: &Settings, app: &App) -> CommandResult {
    let store = Store::new(&app.state_dir());
    let flag = app.global.builder.as_deref();
    let finder = Finder {
        env: &app.env,
        settings,
        store: &store,
        flag,
    };
    let FoundBuilder { builder, .. } = finder.find().await.map_err(find_error)?;
    let node = pick(args, &builder).await?;
    let daemon = dial(node, app).await?;
    tunnel(daemon, tokio::io::stdin(), tokio::io::stdout())
        .await
        .map_err(|error| CliError::new(Exit::Infrastructure, error))?;
    Ok(Exit::Done)
}

async fn pick<'a>(args: &DialStdioArgs, builder: &'a Builder) -> Result<&'a Node, CliError> {
    let nodes = &builder.nodes;
    let position = match (&args.platform, &args.node) {
        (Some(text), _) => {
            let platforms = parse_platforms(&[text], &Platform::host());
            for_platform(&platforms.map_err(CliError::usage)?, nodes).await?
        }
        (None, Some(name)) => nodes
            .iter()
            .position(|node| node.name() == name)
            .ok_or_else(|| {
                let known: Vec<_> = nodes.iter().map(Node::name).collect();
                CliError::usage(format!("builder `{}` has no node `{name}`", builder.name))
                    .hint(format!("its nodes are {}", known.join(", ")))
            })?,
        (None, None) => 0,
    };
    nodes
        .get(position)
        .ok_or_else(|| CliError::config("the builder has no nodes"))
}

/// Chooses as a build would, emulation included: a tunnel runs nothing.
async fn for_platform(platforms: &[Platform], nodes: &[Node]) -> Result<usize, CliError> {
    let mut infos: Vec<_> = nodes.iter().map(Node::info).collect();
    let asked = to_ask(platforms, &infos, true);
    let answers = probe(asked.iter().map(|&position| &nodes[position]), "").await;
    for (position, probed) in asked.into_iter().zip(answers) {
        infos[position] = probed.info;
    }
    let assigned = assign::assign(platforms, &infos, true).map_err(|error| {
        let exit = match error.is_unreachable() {
            true => Exit::Infrastructure,
            false => Exit::Config,
        };
        let hint = error.hint();
        hint.into_iter()
            .fold(CliError::new(exit, error), CliError::hint)
    })?;
    Ok(assigned.first().map_or(0, |assignment| assignment.node))
}

async fn dial(node: &Node, app: &App) -> Result<ByteStream, CliError> {
    let wanted = Wanted {
        key: "",
        wait: DEFAULT_WAIT,
        may_start: true,
        avoid: &[],
        tell: Box::new(|what| app.warn(&format!("waiting for {what}"))),
    };
    match node.stream(&wanted).await {
        Ok((stream, _)) => Ok(stream),
        Err(error) => {
            let hint = error.hint();
            let error = CliError::new(Exit::Infrastructure, error);
            Err(hint.into_iter().fold(error, CliError::hint))
        }
    }
}

/// Copies both ways. The end of `input` closes only that half: answers still come. The end
/// of the daemon's half is the end of all, since nobody is left to read.
async fn tunnel(
    daemon: ByteStream,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let (mut from_daemon, mut to_daemon) = tokio::io::split(daemon);
    let inward = async {
        tokio::io::copy(&mut input, &mut to_daemon).await?;
        to_daemon.shutdown().await
    };
    let outward = async {
        tokio::io::copy(&mut from_daemon, &mut output).await?;
        output.flush().await
    };
    tokio::pin!(inward, outward);
    tokio::select! {
        ended = &mut outward => ended,
        ended = &mut inward => match ended {
            Ok(()) => outward.await,
            // What the daemon still says may be why it no longer listens.
            Err(error) => outward.await.and(Err(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, duplex};

    #[tokio::test]
    async fn the_end_of_input_lets_answers_come() {
        let (daemon, mut far) = duplex(64);
        let far = tokio::spawn(async move {
            let mut got = String::new();
            far.read_to_string(&mut got).await.unwrap();
            far.write_all(format!("you said {got}").as_bytes())
                .await
                .unwrap();
        });
        let mut output = Vec::new();
        tunnel(Box::new(daemon), &b"hello"[..], &mut output)
            .await
            .unwrap();
        far.await.unwrap();
        assert_eq!(output, b"you said hello");
    }

    #[tokio::test]
    async fn the_end_of_the_daemon_is_the_end() {
        let (daemon, mut far) = duplex(64);
        far.write_all(b"bye").await.unwrap();
        drop(far);
        let (open, _kept) = duplex(64);
        let mut output = Vec::new();
        tunnel(Box::new(daemon), open, &mut output).await.unwrap();
        assert_eq!(output, b"bye");
    }

    #[tokio::test]
    async fn much_goes_both_ways_at_once() {
        let (daemon, far) = duplex(1024);
        let (mut far_in, mut far_out) = tokio::io::split(far);
        let echo = tokio::spawn(async move {
            tokio::io::copy(&mut far_in, &mut far_out).await.unwrap();
            far_out.shutdown().await.unwrap();
        });
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        let mut output = Vec::new();
        tunnel(Box::new(daemon), &sent[..], &mut output)
            .await
            .unwrap();
        echo.await.unwrap();
        assert!(output == sent, "the bytes are the same");
    }
}
