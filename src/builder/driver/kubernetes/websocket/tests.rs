//! The pump against a peer that speaks WebSocket over memory.

use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::super::exec::ExecChannels;
use super::super::forward::ForwardChannels;
use super::*;

type Peer = WebSocketStream<DuplexStream>;

const SUCCESS: &[u8] = br#"{"status":"Success"}"#;

/// A stream and its peer, with `pipe` bytes of room between them.
async fn pair(
    channels: impl Channels,
    half_close: bool,
    tuning: Tuning,
    pipe: usize,
) -> (PodStream, Peer) {
    let (near, far) = tokio::io::duplex(pipe);
    let near = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    let far = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
    (PodStream::start(near, channels, half_close, tuning), far)
}

fn exec() -> ExecChannels {
    ExecChannels::new("ns/p".into(), "buildctl dial-stdio")
}

async fn exec_pair() -> (PodStream, Peer) {
    pair(exec(), true, Tuning::default(), 64 * 1024).await
}

fn frame(channel: u8, payload: &[u8]) -> Message {
    Message::Binary([&[channel], payload].concat().into())
}

/// What the pod gets: the next frame that is no ping.
async fn received(peer: &mut Peer) -> Vec<u8> {
    loop {
        match peer.next().await {
            Some(Ok(Message::Binary(bytes))) => return bytes.to_vec(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Echoes each frame like `cat` in a pod; ends with a status.
fn cat(mut peer: Peer) -> JoinHandle<()> {
    tokio::spawn(async move {
        peer.send(frame(1, b"")).await.unwrap();
        loop {
            let bytes = received(&mut peer).await;
            if bytes == CLOSE_INTO_POD {
                break;
            }
            assert_eq!(bytes[0], 0);
            peer.send(frame(1, &bytes[1..])).await.unwrap();
        }
        peer.send(frame(3, SUCCESS)).await.unwrap();
        peer.close(None).await.unwrap();
    })
}

/// Bytes that show where they belong.
fn pattern(start: usize, count: usize) -> Vec<u8> {
    let bytes = (start..start + count).map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8);
    bytes.collect()
}

async fn send(mut writer: WriteHalf<PodStream>, total: usize, chunk: usize) {
    for start in (0..total).step_by(chunk) {
        let bytes = pattern(start, chunk.min(total - start));
        writer.write_all(&bytes).await.unwrap();
    }
    writer.shutdown().await.unwrap();
}

async fn expect(reader: &mut (impl AsyncRead + Unpin), total: usize) {
    let mut bytes = vec![0; 100_000];
    let mut at = 0;
    while at < total {
        let count = reader.read(&mut bytes).await.unwrap();
        assert!(count > 0, "ended after {at} bytes");
        assert_eq!(bytes[..count], pattern(at, count));
        at += count;
    }
    assert_eq!(reader.read(&mut bytes).await.unwrap(), 0);
}

/// Sends bytes through `cat` and back, with both directions full all the time.
async fn check_round_trip(total: usize, chunk: usize, pipe: usize, tuning: Tuning) {
    let (stream, peer) = pair(exec(), true, tuning, pipe).await;
    let echo = cat(peer);
    let (mut reader, writer) = tokio::io::split(stream);
    let work = async { tokio::join!(send(writer, total, chunk), expect(&mut reader, total)) };
    let limit = Duration::from_secs(120);
    tokio::time::timeout(limit, work)
        .await
        .expect("no deadlock");
    echo.await.unwrap();
}

#[tokio::test]
async fn both_directions_flow_at_any_size_of_buffers() {
    let tuning = |frame, unsent| Tuning {
        frame,
        unsent,
        ..Tuning::default()
    };
    check_round_trip(20_000, 1000, 1, tuning(7, 3)).await;
    check_round_trip(300_000, 5000, 64, tuning(1000, 10)).await;
    check_round_trip(4_000_000, 16_393, 4096, Tuning::default()).await;
    check_round_trip(8_000_000, 1_000_000, 100_000, tuning(1 << 20, 1 << 20)).await;
}

#[tokio::test]
async fn a_reader_that_waits_does_not_hold_up_the_writer() {
    let (mut stream, mut peer) = exec_pair().await;
    let flood = async {
        let (mut sink, mut source) = (&mut peer).split();
        let blow = async { while sink.send(frame(1, &[0; 4096])).await.is_ok() {} };
        let take = async {
            let mut taken = 0;
            while taken < 4_000_000 {
                let Some(Ok(message)) = source.next().await else {
                    panic!("the stream is open")
                };
                taken += message.len() - 1;
            }
        };
        tokio::select! {
            () = blow => panic!("the stream is open"),
            () = take => {}
        }
    };
    let write = async { stream.write_all(&vec![1; 4_000_000]).await.unwrap() };
    let both = async { tokio::join!(flood, write) };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, both)
        .await
        .expect("no deadlock");
}

#[tokio::test]
async fn what_gathers_goes_in_one_frame() {
    let (mut stream, mut peer) = exec_pair().await;
    stream.write_all(b"hello ").await.unwrap();
    stream.write_all(b"pod").await.unwrap();
    assert_eq!(received(&mut peer).await, b"\0hello pod");
}

#[tokio::test]
async fn shutdown_closes_one_direction_only() {
    let (mut stream, mut peer) = exec_pair().await;
    stream.write_all(b"x").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(received(&mut peer).await, b"\0x");
    assert_eq!(received(&mut peer).await, CLOSE_INTO_POD);
    peer.send(frame(1, b"late answer")).await.unwrap();
    peer.send(frame(3, SUCCESS)).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "late answer");
}

#[tokio::test]
async fn without_half_close_shutdown_closes_all() {
    let channels = ForwardChannels::new("ns/p".into(), 1234);
    let (mut stream, mut peer) = pair(channels, false, Tuning::default(), 4096).await;
    peer.send(frame(0, &[0xd2, 0x04])).await.unwrap();
    peer.send(frame(1, &[0xd2, 0x04])).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(received(&mut peer).await, b"\0x");
    assert!(matches!(peer.next().await, Some(Ok(Message::Close(_)))));
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn dropping_the_stream_sends_what_was_written_and_ends_it() {
    let (mut stream, mut peer) = exec_pair().await;
    stream.write_all(b"last").await.unwrap();
    drop(stream);
    assert_eq!(received(&mut peer).await, b"\0last");
    assert!(matches!(peer.next().await, Some(Ok(Message::Close(_)))));
    // The socket itself is gone, too: nothing is left that carries bytes.
    assert!(peer.next().await.is_none_or(|message| message.is_err()));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_stream_whose_peer_takes_nothing_ends_it_all_the_same() {
    let (mut stream, peer) = pair(exec(), true, Tuning::default(), 16).await;
    stream.write_all(&[0; 1000]).await.unwrap();
    drop(stream);
    tokio::time::sleep(FAREWELL * 2).await;
    let mut raw = peer.into_inner();
    let mut sent = Vec::new();
    raw.read_to_end(&mut sent).await.unwrap();
    assert!(sent.len() < 1000);
}

#[tokio::test]
async fn the_programs_last_words_end_the_stream() {
    let (mut stream, mut peer) = exec_pair().await;
    peer.send(frame(2, b"no socket\n")).await.unwrap();
    let status = br#"{"status":"Failure","message":"m","details":{"causes":[{"reason":"ExitCode","message":"1"}]}}"#;
    peer.send(frame(3, status)).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`buildctl dial-stdio` ended in pod ns/p with exit code 1: no socket"
    );
    let error = stream.write_all(&[0; 100]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_cut_is_told_and_nothing_hangs() {
    let (mut stream, mut peer) = exec_pair().await;
    peer.send(frame(1, b"x")).await.unwrap();
    drop(peer);
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the connection to pod ns/p was lost: the API server closed it"
    );
}

#[tokio::test(start_paused = true)]
async fn garbage_ends_the_stream() {
    let (near, mut far) = tokio::io::duplex(64);
    let near = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    let mut stream = PodStream::start(near, exec(), true, Tuning::default());
    far.write_all(b"HTTP/1.1 500 what?\r\n").await.unwrap();
    stream.read_u8().await.unwrap_err();
}

#[tokio::test]
async fn big_frames_are_taken() {
    let (mut stream, mut peer) = exec_pair().await;
    let bytes = pattern(0, 15_000_000);
    let sending = tokio::spawn(async move {
        peer.send(frame(1, &bytes)).await.unwrap();
        peer.send(frame(3, SUCCESS)).await.unwrap();
        peer
    });
    expect(&mut stream, 15_000_000).await;
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_asked_and_then_given_up() {
    let (mut stream, mut peer) = exec_pair().await;
    let start = tokio::time::Instant::now();
    // Nobody polls the peer, so no pong comes.
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the connection to pod ns/p was lost: nothing came for 41 s"
    );
    assert!(start.elapsed() < Duration::from_secs(45));
    assert!(matches!(peer.next().await, Some(Ok(Message::Ping(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_may_be_silent_for_hours() {
    let (mut stream, mut peer) = exec_pair().await;
    let answering = tokio::spawn(async move {
        let until = tokio::time::sleep(Duration::from_secs(7200));
        let answer = async {
            // Reading is what answers pings.
            while let Some(Ok(Message::Ping(_))) = peer.next().await {}
        };
        tokio::select! {
            () = answer => panic!("nothing but pings is sent"),
            () = until => {}
        }
        peer.send(frame(1, b"x")).await.unwrap();
        peer
    });
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    answering.abort();
}
