//! One direction of one connection: [`pump`] reads, lets the line's time pass, and writes.
//!
//! Reading stops where the line is full, so that the sender feels it. An end of the stream is
//! delayed like a byte; an error ends the direction as well.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::address::{Reader, Writer};
use crate::line::{Line, Pace};
use crate::tally::{Direction, Tally};

/// The most that is read at once.
const CHUNK: usize = 64 * 1024;
/// Room below which a buffer is replaced rather than filled up.
const LITTLE: usize = CHUNK / 4;

/// One direction.
pub(crate) struct Pump {
    pub(crate) connection: usize,
    pub(crate) direction: Direction,
    pub(crate) line: Line,
    pub(crate) pace: Arc<Pace>,
    pub(crate) tally: Arc<Tally>,
    /// Whether nothing arrives for now.
    pub(crate) stalled: watch::Receiver<bool>,
}

/// What is on its way; without bytes it is the end.
struct Chunk {
    data: Bytes,
    arrival: Instant,
    round: u64,
    /// The room it takes on the line until it has arrived.
    _room: OwnedSemaphorePermit,
}

/// Passes bytes on until the stream ends on either side.
pub(crate) async fn pump(pump: Pump, reader: Reader, writer: Writer) {
    let (sender, receiver) = mpsc::unbounded_channel();
    // What is on its way arrives even if nothing more is sent. Who takes nothing any more
    // ends the reading as well.
    tokio::join!(
        async {
            let closed = sender.clone();
            tokio::select! {
                _ = pump.read(reader, sender) => {}
                () = closed.closed() => {}
            }
        },
        async {
            // A reader that went away is no fault of the line's.
            drop(pump.write(writer, receiver).await);
        }
    );
}

impl Pump {
    async fn read(
        &self,
        mut reader: Reader,
        chunks: mpsc::UnboundedSender<Chunk>,
    ) -> io::Result<()> {
        let capacity = self.line.link().capacity().min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(capacity));
        let mut buffer = BytesMut::new();
        loop {
            while let Some(until) = self.pace.full_until(Instant::now()) {
                sleep_until(until).await;
            }
            if buffer.capacity() < LITTLE {
                buffer = BytesMut::with_capacity(CHUNK);
            }
            let bytes = reader.read_buf(&mut buffer).await.unwrap_or(0);
            let arrival = self.pace.take(bytes, Instant::now());
            let round = self.tally.entered(self.connection, self.direction, bytes);
            let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
            let room = Arc::clone(&room).acquire_many_owned(permits).await;
            let chunk = Chunk {
                data: buffer.split().freeze(),
                arrival,
                round,
                _room: room.map_err(io::Error::other)?,
            };
            if chunks.send(chunk).is_err() || bytes == 0 {
                return Ok(());
            }
        }
    }

    async fn write(
        &self,
        mut writer: Writer,
        mut chunks: mpsc::UnboundedReceiver<Chunk>,
    ) -> io::Result<()> {
        let mut stalled = self.stalled.clone();
        while let Some(chunk) = chunks.recv().await {
            sleep_until(chunk.arrival).await;
            stalled
                .wait_for(|stalled| !stalled)
                .await
                .map_err(io::Error::other)?;
            self.tally.arrived(self.direction, chunk.round);
            match chunk.data.is_empty() {
                true => return writer.shutdown().await,
                false => writer.write_all(&chunk.data).await?,
            }
        }
        Ok(())
    }
}
