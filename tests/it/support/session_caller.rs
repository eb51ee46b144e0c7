//! Plays the daemon in a session: an HTTP/2 client on a pipe whose other end is served.

use std::collections::BTreeMap;
use std::future::ready;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use mbuild::buildkit::io::Liveness;
use mbuild::buildkit::session::{Services, Session, SessionEnd};
use mbuild_proto::filesync::file_sync_client::FileSyncClient;
use mbuild_proto::fsutil::packet::PacketType;
use mbuild_proto::fsutil::{Packet, Stat};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

/// Longer than anything here takes; what takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A served session, seen from the daemon.
pub(crate) struct Caller {
    pub(crate) channel: Channel,
    pub(crate) served: JoinHandle<SessionEnd>,
    pub(crate) close: CancellationToken,
    pub(crate) liveness: Liveness,
}

impl Caller {
    /// Serves `services` and connects to them.
    pub(crate) async fn new(services: Services) -> Self {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let session = Session::new("", services).unwrap();
        let (close, liveness) = (CancellationToken::new(), Liveness::new());
        let served = tokio::spawn(session.serve(ours, liveness.clone(), close.clone()));
        let mut pipe = Some(TokioIo::new(theirs));
        let connector = tower::service_fn(move |_| {
            ready(
                pipe.take()
                    .ok_or_else(|| io::Error::other("there is only one connection")),
            )
        });
        let endpoint =
            Endpoint::from_static("http://localhost").http2_max_header_list_size(16 << 20);
        let channel = endpoint.connect_with_connector(connector).await.unwrap();
        Self {
            channel,
            served,
            close,
            liveness,
        }
    }

    /// How the session ended; panics when it doesn't.
    pub(crate) async fn end(self) -> SessionEnd {
        drop(self.channel);
        tokio::time::timeout(LIMIT, self.served)
            .await
            .expect("the session goes on")
            .unwrap()
    }
}

/// One call of `DiffCopy`, by hand.
pub(crate) struct DiffCopy {
    /// `None` after the sending side was closed.
    pub(crate) requests: Option<mpsc::UnboundedSender<Packet>>,
    pub(crate) packets: Streaming<Packet>,
}

impl DiffCopy {
    /// Asks for a directory, with further metadata.
    pub(crate) async fn open(
        channel: &Channel,
        dir: &str,
        metadata: &[(&'static str, &str)],
    ) -> Result<Self, Status> {
        let (requests, stream) = mpsc::unbounded_channel();
        let mut request = Request::new(UnboundedReceiverStream::new(stream));
        request
            .metadata_mut()
            .insert("dir-name", dir.parse().unwrap());
        for (key, value) in metadata {
            request.metadata_mut().append(*key, value.parse().unwrap());
        }
        let mut client = FileSyncClient::new(channel.clone()).max_decoding_message_size(16 << 20);
        let packets = client.diff_copy(request).await?.into_inner();
        Ok(Self {
            requests: Some(requests),
            packets,
        })
    }

    pub(crate) fn say(&self, r#type: PacketType, id: u32) {
        let packet = Packet {
            r#type: r#type.into(),
            id,
            ..Packet::default()
        };
        self.requests.as_ref().unwrap().send(packet).unwrap();
    }

    /// The next packet; panics when there is none in time.
    pub(crate) async fn next(&mut self) -> Result<Option<Packet>, Status> {
        tokio::time::timeout(LIMIT, self.packets.message())
            .await
            .expect("nothing comes")
    }

    /// Reads the whole list.
    pub(crate) async fn list(&mut self) -> Vec<Stat> {
        let mut stats = Vec::new();
        while let Some(stat) = self.next().await.unwrap().expect("no end of the list").stat {
            stats.push(stat);
        }
        stats
    }

    /// What the call fails with, whatever still comes before.
    pub(crate) async fn failure(mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the call succeeded"),
                Err(status) => return status,
            }
        }
    }
}

/// What a receiver has at the end: by path, what was listed and what came.
pub(crate) type Received = BTreeMap<String, (Stat, Vec<u8>)>;

/// Receives a directory the way daemons do: asks for each file as soon as it is listed.
pub(crate) async fn receive(
    channel: &Channel,
    dir: &str,
    metadata: &[(&'static str, &str)],
) -> Result<Received, Status> {
    let mut call = DiffCopy::open(channel, dir, metadata).await?;
    let mut entries: Vec<(Stat, Vec<u8>)> = Vec::new();
    let (mut listed, mut open) = (false, 0);
    while !listed || open > 0 {
        let packet = call.next().await?.expect("an early end");
        match (packet.r#type(), packet.stat) {
            (PacketType::Stat, None) => listed = true,
            (PacketType::Stat, Some(stat)) => {
                if stat.mode & 0x8f28_0000 == 0 && stat.linkname.is_empty() {
                    call.say(PacketType::Req, entries.len() as u32);
                    open += 1;
                }
                entries.push((stat, Vec::new()));
            }
            (PacketType::Data, _) if packet.data.is_empty() => open -= 1,
            (PacketType::Data, _) => entries[packet.id as usize].1.extend(&packet.data),
            (other, _) => panic!("{other:?} from a sender"),
        }
    }
    call.say(PacketType::Fin, 0);
    assert_eq!(
        call.next().await?.map(|packet| packet.r#type()),
        Some(PacketType::Fin)
    );
    assert_eq!(call.next().await?, None, "the call goes on after the end");
    Ok(entries
        .into_iter()
        .map(|(stat, data)| (text(&stat.path), (stat, data)))
        .collect())
}

/// A path as text.
pub(crate) fn text(path: &Bytes) -> String {
    String::from_utf8_lossy(path).into_owned()
}
