//! A listening relay: [`Relay`], which ends with all its connections when it is dropped.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::address::{Address, Listener, Reader, Writer};
use crate::line::Line;
use crate::pump::{Pump, pump};
use crate::tally::{Direction, Tally};

/// Passes connections on over a slow line.
#[derive(Debug)]
pub struct Relay {
    address: Address,
    tally: Arc<Tally>,
    stalled: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens, and connects to `to` for every connection that comes. `watched` keeps the
    /// time of every chunk, which costs memory.
    ///
    /// # Errors
    ///
    /// When it cannot listen there.
    pub async fn start(
        listen: &Address,
        to: Address,
        line: Line,
        watched: bool,
    ) -> io::Result<Self> {
        let listener = Listener::bind(listen).await?;
        let address = listener.address()?;
        let tally = Arc::new(Tally::new(watched));
        let (stalled, cuts) = (watch::Sender::new(false), watch::Sender::new(0));
        let server = Server {
            listener,
            to,
            line,
            tally: Arc::clone(&tally),
            stalled: stalled.subscribe(),
            cuts: cuts.subscribe(),
        };
        Ok(Self {
            address,
            tally,
            stalled,
            cuts,
            task: tokio::spawn(server.serve()),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What has gone over it.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Lets nothing arrive on either side, or everything again; connections stay open.
    pub fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    /// Closes all connections at once; what is on its way is lost. New ones can be made.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Server {
    listener: Listener,
    to: Address,
    line: Line,
    tally: Arc<Tally>,
    stalled: watch::Receiver<bool>,
    cuts: watch::Receiver<u64>,
}

impl Server {
    async fn serve(mut self) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((reader, writer)) => {
                        let connection = self.connection(reader, writer);
                        connections.spawn(connection);
                    }
                    Err(_) => tokio::task::yield_now().await,
                },
                Some(_) = connections.join_next() => {}
                cut = self.cuts.changed() => match cut {
                    Ok(()) => connections.shutdown().await,
                    Err(_) => return,
                },
            }
        }
    }

    /// Makes the future of a connection, which owns both of its streams.
    fn connection(
        &self,
        reader: Reader,
        writer: Writer,
    ) -> impl Future<Output = ()> + Send + use<> {
        let connection = self.tally.connected();
        let [up, down] = self.line.paces();
        let half = |direction, pace| Pump {
            connection,
            direction,
            line: self.line.clone(),
            pace,
            tally: Arc::clone(&self.tally),
            stalled: self.stalled.clone(),
        };
        let (up, down) = (half(Direction::Up, up), half(Direction::Down, down));
        let to = self.to.clone();
        async move {
            // Where nothing listens, the one who connected sees the stream end.
            if let Ok((from_daemon, to_daemon)) = to.connect().await {
                tokio::join!(pump(up, reader, to_daemon), pump(down, from_daemon, writer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::line::Link;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn link(rate: Option<u64>, rtt_ms: u64) -> Link {
        Link {
            rate,
            rtt: Duration::from_millis(rtt_ms),
        }
    }

    /// A relay that listens on a port, and what it leads to.
    async fn relayed(link: Link) -> (Relay, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = Address::Tcp(listener.local_addr().unwrap().to_string());
        let any = Address::Tcp("127.0.0.1:0".into());
        let relay = Relay::start(&any, to, Line::shared(link), true);
        (relay.await.unwrap(), listener)
    }

    /// A connection: its near end and its far end.
    async fn connect(relay: &Relay, listener: &TcpListener) -> (TcpStream, TcpStream) {
        let Address::Tcp(place) = relay.address() else {
            panic!("{}", relay.address())
        };
        let (near, far) = tokio::join!(TcpStream::connect(place), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    async fn connected(link: Link) -> (Relay, TcpStream, TcpStream) {
        let (relay, listener) = relayed(link).await;
        let (near, far) = connect(&relay, &listener).await;
        (relay, near, far)
    }

    fn pattern(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at * 31 + at / 251) as u8).collect()
    }

    async fn send_all(mut writer: impl AsyncWrite + Unpin, data: &[u8]) {
        writer.write_all(data).await.unwrap();
        writer.shutdown().await.unwrap();
    }

    async fn read_all(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
        let mut all = Vec::new();
        let read = timeout(PATIENCE, reader.read_to_end(&mut all)).await;
        read.unwrap().unwrap();
        all
    }

    #[tokio::test]
    async fn an_answer_takes_a_round_trip() {
        let (relay, mut near, mut far) = connected(link(None, 60)).await;
        let start = Instant::now();
        near.write_all(b"question").await.unwrap();
        let mut bytes = [0; 8];
        far.read_exact(&mut bytes).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(30));
        far.write_all(b"answered").await.unwrap();
        near.read_exact(&mut bytes).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(60));
        assert_eq!((&bytes, relay.tally().rounds()), (b"answered", 1));
        let sights = relay.tally().take_sights();
        let ways: Vec<_> = sights.iter().map(|sight| sight.direction).collect();
        assert_eq!(ways, [Direction::Up, Direction::Down]);
    }

    #[tokio::test]
    async fn bytes_come_whole_and_in_order_at_the_rate_and_no_faster() {
        let (relay, near, far) = connected(link(Some(40_000_000), 20)).await;
        let data = pattern(1_000_000);
        let start = Instant::now();
        let (got, ()) = tokio::join!(read_all(far), send_all(near, &data));
        assert!(start.elapsed() >= Duration::from_millis(205));
        assert!(got == data);
        assert_eq!(relay.tally().bytes(Direction::Up), 1_000_000);
    }

    #[tokio::test]
    async fn connections_share_a_line() {
        let (relay, listener) = relayed(link(Some(40_000_000), 0)).await;
        let (near, far) = connect(&relay, &listener).await;
        let (other_near, other_far) = connect(&relay, &listener).await;
        let data = pattern(500_000);
        let start = Instant::now();
        let (got, other, (), ()) = tokio::join!(
            read_all(far),
            read_all(other_far),
            send_all(near, &data),
            send_all(other_near, &data),
        );
        assert!(start.elapsed() >= Duration::from_millis(190));
        assert!(got == data && other == data);
    }

    #[tokio::test]
    async fn one_side_may_end_while_the_other_goes_on() {
        let (_relay, mut near, mut far) = connected(link(None, 10)).await;
        near.write_all(b"all").await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(read_all(&mut far).await, b"all");
        tokio::join!(send_all(far, b"still here"), async {
            assert_eq!(read_all(near).await, b"still here");
        });
    }

    #[tokio::test]
    async fn a_slow_reader_stops_the_sender() {
        let (relay, mut near, _far) = connected(link(None, 0)).await;
        let data = pattern(1 << 20);
        let endless = async {
            loop {
                near.write_all(&data).await.unwrap();
            }
        };
        timeout(Duration::from_secs(2), endless).await.unwrap_err();
        let passed = relay.tally().bytes(Direction::Up);
        let kernel = 64 << 20;
        assert!(
            passed < link(None, 0).capacity() as u64 + kernel,
            "{passed}"
        );
    }

    #[tokio::test]
    async fn nothing_arrives_while_it_is_stalled() {
        let (relay, mut near, mut far) = connected(link(None, 0)).await;
        relay.stall(true);
        near.write_all(b"x").await.unwrap();
        let early = timeout(Duration::from_millis(200), far.read_u8()).await;
        early.unwrap_err();
        relay.stall(false);
        let late = timeout(PATIENCE, far.read_u8()).await.unwrap();
        assert_eq!(late.unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_cut_ends_both_sides() {
        let (relay, mut near, mut far) = connected(link(None, 0)).await;
        relay.cut();
        let mut byte = [0];
        for end in [&mut near, &mut far] {
            let read = timeout(PATIENCE, end.read(&mut byte)).await.unwrap();
            assert!(matches!(read, Ok(0) | Err(_)));
        }
    }

    #[tokio::test]
    async fn where_nothing_listens_the_stream_ends() {
        let any = Address::Tcp("127.0.0.1:0".into());
        let to = Address::Unix("/nonexistent/socket".into());
        let line = Line::each(link(None, 0));
        let relay = Relay::start(&any, to, line, false).await.unwrap();
        let Address::Tcp(place) = relay.address() else {
            panic!("{}", relay.address())
        };
        let near = TcpStream::connect(place).await.unwrap();
        assert_eq!(read_all(near).await, b"");
    }

    #[tokio::test]
    async fn sockets_of_the_file_system_are_relayed_and_removed() {
        let dir = std::env::temp_dir().join(format!("relay-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (front, back) = (dir.join("front"), dir.join("back"));
        let listener = UnixListener::bind(&back).unwrap();
        let line = Line::each(link(None, 0));
        let relay = Relay::start(
            &Address::Unix(front.clone()),
            Address::Unix(back),
            line,
            false,
        )
        .await
        .unwrap();
        let (near, far) = tokio::join!(UnixStream::connect(&front), listener.accept());
        let (near, (far, _)) = (near.unwrap(), far.unwrap());
        tokio::join!(send_all(near, b"hello"), async {
            assert_eq!(read_all(far).await, b"hello");
        });
        drop(relay);
        timeout(PATIENCE, async {
            while front.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
