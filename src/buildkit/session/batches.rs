//! Hands a call's messages to a thread that may block: [`batches`], and the [`Batches`] it reads.
//!
//! A task takes whatever comes while the thread is busy and hands it over at once, so that the
//! faster the daemon is, the fewer threads are woken for each message. What is in a message is
//! not its concern.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

/// Bytes handed over at once; a larger message is a batch of its own. One batch is collected and
/// one waits; what else is on its way waits in HTTP/2's window.
const MAX_BATCH: usize = 256 << 10;
/// What a message takes in the batch beside its bytes, so that empty ones have a limit as well.
const MESSAGE: usize = mem::size_of::<Bytes>();

/// A call's messages, for a thread that may block; dropping it ends the call.
#[derive(Debug)]
pub(super) struct Batches {
    batches: mpsc::Receiver<Batch>,
    _task: AbortOnDropHandle<()>,
}

/// What is handed over: messages, of which none are the stream's orderly end.
type Batch = Result<Vec<Bytes>, Status>;

/// Starts to read `stream` on a task, which adds the messages' lengths to `received`.
pub(super) fn batches<S>(stream: S, received: Arc<AtomicU64>) -> Batches
where
    S: Stream<Item = Result<Bytes, Status>> + Send + Unpin + 'static,
{
    let (sender, batches) = mpsc::channel(1);
    let task = AbortOnDropHandle::new(tokio::spawn(pass_on(stream, sender, received)));
    Batches {
        batches,
        _task: task,
    }
}

impl Batches {
    /// Waits for the next messages; none come after an orderly end only.
    ///
    /// # Errors
    ///
    /// Fails when the stream did, after all messages before that, and when the task was ended.
    pub(super) fn next(&mut self) -> Result<Vec<Bytes>, Status> {
        self.batches.blocking_recv().unwrap_or_else(gone)
    }

    /// Returns what [`Batches::next`] would, if it need not wait.
    pub(super) fn ready(&mut self) -> Option<Result<Vec<Bytes>, Status>> {
        match self.batches.try_recv() {
            Ok(batch) => Some(batch),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(gone()),
        }
    }
}

fn gone() -> Batch {
    Err(Status::cancelled("the session has ended"))
}

async fn pass_on<S>(mut stream: S, sender: mpsc::Sender<Batch>, received: Arc<AtomicU64>)
where
    S: Stream<Item = Result<Bytes, Status>> + Unpin,
{
    let mut batch = Vec::new();
    let mut size = 0;
    let end = loop {
        tokio::select! {
            biased;
            message = stream.next(), if size < MAX_BATCH => match message {
                Some(Ok(message)) => {
                    received.fetch_add(message.len() as u64, Ordering::Relaxed);
                    size += message.len() + MESSAGE;
                    batch.push(message);
                }
                Some(Err(status)) => break Err(status),
                None => break Ok(Vec::new()),
            },
            room = sender.reserve(), if !batch.is_empty() => {
                let Ok(room) = room else { return };
                room.send(Ok(mem::take(&mut batch)));
                size = 0;
            }
        }
    };
    if batch.is_empty() || sender.send(Ok(batch)).await.is_ok() {
        // Fails only if the thread has ended, and then nobody asks.
        let _ = sender.send(end).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;
    use tokio::task::{spawn_blocking, yield_now};
    use tokio::time::timeout;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    type Message = Result<Bytes, Status>;

    /// Reads on a thread until the end, and returns the batches' lengths and how it ended.
    async fn read(mut batches: Batches) -> (Vec<usize>, Result<(), String>) {
        let reading = spawn_blocking(move || {
            let mut lengths = Vec::new();
            loop {
                match batches.next() {
                    Ok(batch) if batch.is_empty() => return (lengths, Ok(())),
                    Ok(batch) => lengths.push(batch.len()),
                    Err(status) => return (lengths, Err(status.message().to_owned())),
                }
            }
        });
        let limit = Duration::from_secs(10);
        timeout(limit, reading).await.expect("no end").unwrap()
    }

    async fn check(messages: Vec<Message>, expect: (&[usize], Result<(), &str>)) {
        let stream = stream::iter(messages);
        let (lengths, end) = read(batches(stream, Arc::default())).await;
        let (expected, how) = expect;
        assert_eq!((&lengths[..], end), (expected, how.map_err(str::to_owned)));
    }

    fn message(length: usize) -> Message {
        Ok(vec![0; length].into())
    }

    #[tokio::test]
    async fn what_is_there_is_handed_over_at_once_up_to_a_limit() {
        check(vec![], (&[], Ok(()))).await;
        check(vec![message(0)], (&[1], Ok(()))).await;
        check((0..100).map(message).collect(), (&[100], Ok(()))).await;
        let large = vec![message(MAX_BATCH), message(1), message(1)];
        check(large, (&[1, 2], Ok(()))).await;
        let huge = vec![message(1), message(16 << 20), message(16 << 20)];
        check(huge, (&[2, 1], Ok(()))).await;
        let most = MAX_BATCH / MESSAGE;
        let empty = (0..most + 1).map(|_| message(0)).collect();
        check(empty, (&[most, 1], Ok(()))).await;
    }

    #[tokio::test]
    async fn a_failure_comes_after_what_came_before_it() {
        let broken = || Err(Status::unavailable("broken"));
        check(vec![broken()], (&[], Err("broken"))).await;
        let after = vec![message(1), message(2), broken(), message(3)];
        check(after, (&[2], Err("broken"))).await;
    }

    #[tokio::test]
    async fn a_message_alone_does_not_wait_for_others() {
        let (sender, stream) = mpsc::channel::<Message>(1);
        let received = Arc::new(AtomicU64::new(0));
        let mut batches = batches(ReceiverStream::new(stream), Arc::clone(&received));
        for round in 1..=3 {
            sender.send(message(7)).await.unwrap();
            let next = spawn_blocking(move || (batches.next().unwrap(), batches));
            let (batch, rest) = timeout(Duration::from_secs(10), next)
                .await
                .expect("it waits")
                .unwrap();
            batches = rest;
            assert_eq!(batch.len(), 1);
            assert!(batches.ready().is_none());
            assert_eq!(received.load(Ordering::Relaxed), 7 * round);
        }
    }

    #[tokio::test]
    async fn a_thread_that_is_slow_stops_the_stream() {
        let (sender, stream) = mpsc::channel::<Message>(1);
        let batches = batches(ReceiverStream::new(stream), Arc::default());
        let mut taken = 0;
        let fill = async {
            loop {
                sender.send(message(32 << 10)).await.unwrap();
                taken += 1;
            }
        };
        timeout(Duration::from_millis(200), fill).await.unwrap_err();
        // A batch that waits, one that is collected, and what the channel and its end hold.
        assert!(
            taken * (32 << 10) <= 2 * MAX_BATCH + 2 * (32 << 10),
            "{taken}"
        );
        drop(batches);
        while !sender.is_closed() {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_task_that_was_ended_is_no_orderly_end() {
        let batches = batches(stream::pending(), Arc::default());
        batches._task.abort();
        let (lengths, end) = read(batches).await;
        assert_eq!(
            (lengths, end),
            (vec![], Err("the session has ended".into()))
        );
    }
}
