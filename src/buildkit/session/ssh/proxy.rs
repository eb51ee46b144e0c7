//! One connection of a step to an agent, message by message: [`answers`].
//!
//! What a step asks is answered in its order. Only lists and signatures are passed on: a build
//! must not be able to add, remove or lock the user's keys.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use mbuild_proto::sshforward::BytesMessage;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::Status;

use super::keys;
use super::message::{self, FAILURE, REQUEST_IDENTITIES, SIGN_REQUEST};
use crate::ssh::PrivateKey;

/// How long an agent may take to answer: a person may have to confirm, or to find the token
/// and touch it.
const ANSWER_LIMIT: Duration = Duration::from_secs(600);

/// Who answers.
pub(super) enum Upstream<S = UnixStream> {
    /// An agent.
    Socket(S),
    /// Keys of ours.
    Keys(Arc<[PrivateKey]>),
}

/// Answers everything that the step asks, until it stops asking or the agent ends.
pub(super) fn answers<R, S>(
    said: R,
    upstream: Upstream<S>,
) -> impl Stream<Item = Result<BytesMessage, Status>> + Send
where
    R: AsyncRead + Unpin + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    stream::unfold(Some((said, upstream)), |open| async {
        let (mut said, mut upstream) = open?;
        let request = match message::read(&mut said).await {
            Ok(request) => request?,
            // The step broke off, or said what no agent would take: both end the connection.
            Err(error) => {
                let status = Status::invalid_argument(format!("ssh agent: {error}"));
                return Some((Err(status), None));
            }
        };
        match upstream.answer(&request).await {
            Ok(answer) => {
                let data = message::framed(&answer).into();
                Some((Ok(BytesMessage { data }), Some((said, upstream))))
            }
            // The agent is gone; the step sees its connection end.
            Err(error) => {
                tracing::info!("ssh agent: {error}");
                None
            }
        }
    })
}

impl<S: AsyncRead + AsyncWrite + Unpin> Upstream<S> {
    async fn answer(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Upstream::Keys(keys) => Ok(keys::answer(keys, request)),
            Upstream::Socket(_) if !is_passed_on(request) => Ok(vec![FAILURE]),
            Upstream::Socket(socket) => {
                let asking = async {
                    socket.write_all(&message::framed(request)).await?;
                    message::read(socket).await
                };
                let answer = timeout(ANSWER_LIMIT, asking).await??;
                answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}

fn is_passed_on(request: &[u8]) -> bool {
    matches!(request.first(), Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;
    use message::framed;

    /// What a step hears that says this to an agent.
    async fn hear(said: &[u8], agent: DuplexStream) -> Vec<Result<Vec<u8>, tonic::Code>> {
        answers(said, Upstream::Socket(agent))
            .map(|answer| match answer {
                Ok(message) => Ok(message.data.to_vec()),
                Err(status) => Err(status.code()),
            })
            .collect()
            .await
    }

    /// An agent that answers everything with its own words, and then tells what it heard.
    fn echo(mut socket: DuplexStream) -> tokio::task::JoinHandle<Vec<Vec<u8>>> {
        tokio::spawn(async move {
            let mut heard = Vec::new();
            while let Ok(Some(message)) = message::read(&mut socket).await {
                socket.write_all(&framed(&message)).await.unwrap();
                heard.push(message);
            }
            heard
        })
    }

    #[tokio::test]
    async fn lists_and_signatures_pass_and_nothing_else_does() {
        let (near, far) = duplex(1 << 20);
        let agent = echo(far);
        let large = vec![SIGN_REQUEST; message::LIMIT];
        let kinds: [&[u8]; 11] = [
            &[REQUEST_IDENTITIES],
            &[17, 1],
            &[18],
            &[19],
            &[20],
            &[21],
            &[22],
            &[23],
            &[25],
            &[27],
            &large,
        ];
        let said: Vec<u8> = kinds.iter().flat_map(|message| framed(message)).collect();
        let heard = hear(&said, near).await;
        let expect: Vec<_> = kinds
            .iter()
            .map(|message| match message[0] {
                11 | 13 => Ok(framed(message)),
                _ => Ok(framed(&[FAILURE])),
            })
            .collect();
        assert!(heard == expect);
        assert!(agent.await.unwrap() == [kinds[0], kinds[10]]);
    }

    #[tokio::test]
    async fn a_message_that_is_too_large_ends_the_connection() {
        let (near, mut far) = duplex(64);
        let heard = hear(&[0, 4, 0, 1, SIGN_REQUEST], near).await;
        assert_eq!(heard, [Err(tonic::Code::InvalidArgument)]);
        let mut passed = Vec::new();
        far.read_to_end(&mut passed).await.unwrap();
        assert!(passed.is_empty());
    }

    #[tokio::test]
    async fn an_agent_that_dies_ends_the_connection() {
        for says in [&b""[..], &[0, 0], &[0, 0, 0, 5, 12], &[0xff; 4]] {
            let (near, mut far) = duplex(64);
            let dies = async move {
                far.write_all(says).await.unwrap();
                far.read_u8().await.unwrap();
            };
            let said = framed(&[REQUEST_IDENTITIES]);
            let (heard, ()) = tokio::join!(hear(&said, near), dies);
            assert_eq!(heard, [], "{says:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_never_answers_is_given_up() {
        let (near, _far) = duplex(64);
        assert_eq!(hear(&framed(&[REQUEST_IDENTITIES]), near).await, []);
    }
}
