//! Bytes on the wire, and that the paths of the services are the daemon's.

use bytes::Bytes;
use prost::Message;
use tokio_stream::StreamExt;
use tonic::server::NamedService;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::filesync::auth_client::AuthClient;
use crate::filesync::auth_server::{Auth, AuthServer};
use crate::filesync::file_send_client::FileSendClient;
use crate::filesync::file_send_server::{FileSend, FileSendServer};
use crate::fsutil::packet::PacketType;
use crate::fsutil::{Packet, Stat};
use crate::{content, control, filesync, frontend, rpc};

#[test]
fn end_of_stats_is_an_empty_message() {
    let end = Packet {
        r#type: PacketType::Stat.into(),
        ..Packet::default()
    };
    assert!(end.encode_to_vec().is_empty());
    let decoded = Packet::decode(Bytes::new()).expect("empty is valid");
    assert_eq!(decoded, end);
}

#[test]
fn bytes_message_is_field_one() {
    let message = control::BytesMessage {
        data: Bytes::from_static(b"PRI"),
    };
    assert_eq!(message.encode_to_vec(), b"\x0a\x03PRI");
    let decoded = filesync::BytesMessage::decode(&b"\x0a\x03PRI"[..]).expect("valid");
    assert_eq!(decoded.data, message.data);
}

#[test]
fn packet_has_the_fields_of_fsutil() {
    let packet = Packet {
        r#type: PacketType::Data.into(),
        stat: Some(Stat {
            path: Bytes::from_static(b"a\xff"),
            mode: 0o644,
            mod_time: 1,
            linkname: Bytes::from_static(b"b"),
            xattrs: [("k".to_owned(), Bytes::from_static(b"v"))].into(),
            ..Stat::default()
        }),
        id: 7,
        data: Bytes::from_static(b"x"),
    };
    let stat = b"\x0a\x02a\xff\x10\xa4\x03\x30\x01\x3a\x01b\x52\x06\x0a\x01k\x12\x01v";
    let mut expected = vec![0x08, 2, 0x12, stat.len() as u8];
    expected.extend_from_slice(stat);
    expected.extend_from_slice(b"\x18\x07\x22\x01x");
    assert_eq!(packet.encode_to_vec(), expected);
    assert_eq!(Packet::decode(&expected[..]).expect("valid"), packet);
}

#[test]
fn text_in_another_encoding_decodes() {
    let vertex = control::Vertex::decode(&b"\x1a\x01\xff\x3a\x01\xfe"[..]).expect("valid");
    assert_eq!(
        (&vertex.name[..], &vertex.error[..]),
        (&b"\xff"[..], &b"\xfe"[..])
    );
    let status = control::VertexStatus::decode(&b"\x0a\x01\xff\x1a\x01\xfe"[..]).expect("valid");
    assert_eq!(
        (&status.id[..], &status.name[..]),
        (&b"\xff"[..], &b"\xfe"[..])
    );
}

#[test]
fn high_field_numbers() {
    let solve = control::SolveRequest {
        proxy_network: true,
        ..Default::default()
    };
    assert_eq!(solve.encode_to_vec(), b"\x88\x01\x01");
    let result = frontend::Result {
        metadata: [("k".to_owned(), Bytes::from_static(b"v"))].into(),
        ..Default::default()
    };
    assert_eq!(result.encode_to_vec(), b"\x52\x06\x0a\x01k\x12\x01v");
}

#[test]
fn status_details_keep_their_bytes() {
    let wire = b"\x08\x02\x12\x01m\x1a\x0c\x0a\x06x+json\x12\x02{}";
    let status = rpc::Status::decode(&wire[..]).expect("valid");
    assert_eq!(status.code, 2);
    assert_eq!(status.details[0].type_url, "x+json");
    assert_eq!(status.details[0].value, b"{}");
}

struct Nothing;

impl Auth for Nothing {}

impl content::content_server::Content for Nothing {}

/// Answers with what it was sent.
struct Echo;

#[tonic::async_trait]
impl FileSend for Echo {
    type DiffCopyStream = Streaming<Bytes>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<Streaming<Bytes>>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

#[tokio::test]
async fn raw_messages_pass_unchanged() {
    let packets = [&b"\x08\x03"[..], b"", b"\x0a\x03PRI", b"not protobuf"].map(Bytes::from_static);
    let mut client = FileSendClient::new(FileSendServer::new(Echo));
    let response = client
        .diff_copy(tokio_stream::iter(packets.clone()))
        .await
        .expect("served");
    let echoed: Result<Vec<Bytes>, Status> = response.into_inner().collect().await;
    assert_eq!(echoed.expect("no error"), packets);
}

#[tokio::test]
async fn unwritten_methods_are_unimplemented() {
    let mut client = AuthClient::new(AuthServer::new(Nothing));
    let status = client
        .credentials(filesync::CredentialsRequest::default())
        .await
        .expect_err("unwritten");
    assert_eq!(status.code(), Code::Unimplemented);
}

#[test]
fn services_have_their_wire_names() {
    assert_eq!(AuthServer::<Nothing>::NAME, "moby.filesync.v1.Auth");
    assert_eq!(FileSendServer::<Echo>::NAME, "moby.filesync.v1.FileSend");
    assert_eq!(
        content::content_server::ContentServer::<Nothing>::NAME,
        "containerd.services.content.v1.Content"
    );
}
