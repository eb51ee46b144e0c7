//! A byte stream to a port of a pod, forwarded by its node.
//!
//! Opens the port-forward WebSocket, one per stream, and reads its channels. That it is open
//! says nothing about the port: a refusal comes later, as text.

use std::io;

use bytes::{Buf, Bytes};
use k8s_openapi::api::core::v1::Pod;
use kube::Resource as _;
use kube::core::Request;

use super::access::{Doing, KubeError};
use super::cluster::Cluster;
use super::ending::PodEnd;
use super::transport::PodAddress;
use super::websocket::{Channels, End, PodStream, Tuning};

/// How much of an error's text is kept.
const MAX_COMPLAINT: usize = 4 * 1024;
const DATA: u8 = 0;
const ERROR: u8 = 1;
/// The first message on either channel begins with the port's number.
const PORT_SIZE: usize = 2;

/// Asks for the port.
pub(super) async fn open(
    cluster: &Cluster,
    pod: &PodAddress,
    port: u16,
) -> Result<PodStream, KubeError> {
    let doing = Doing::new("get", "pods/portforward", &pod.namespace).named(&pod.pod);
    let request = Request::new(Pod::url_path(&(), Some(&pod.namespace)))
        .portforward(&pod.pod, &[port])
        .map_err(|error| KubeError::of(kube::Error::BuildRequest(error), doing.clone()))?;
    let connection = cluster.client.connect(request).await;
    let connection = connection.map_err(|error| KubeError::of(error, doing))?;
    let channels = ForwardChannels::new(pod.to_string(), port);
    Ok(PodStream::start(
        connection.into_stream(),
        channels,
        false,
        Tuning::default(),
    ))
}

/// The channels of a port-forward: 0 is the stream, 1 brings an error's text.
pub(super) struct ForwardChannels {
    pod: String,
    port: u16,
    /// How much of the port's number is still to come, by channel.
    ahead: [usize; 2],
    complaint: Vec<u8>,
}

impl ForwardChannels {
    pub(super) fn new(pod: String, port: u16) -> Self {
        Self {
            pod,
            port,
            ahead: [PORT_SIZE; 2],
            complaint: Vec::new(),
        }
    }
}

impl Channels for ForwardChannels {
    fn take(&mut self, channel: u8, mut payload: Bytes) -> Option<Bytes> {
        let ahead = self.ahead.get_mut(usize::from(channel))?;
        let skipped = payload.len().min(*ahead);
        payload.advance(skipped);
        *ahead -= skipped;
        match channel {
            DATA => Some(payload),
            ERROR => {
                let room = MAX_COMPLAINT - self.complaint.len().min(MAX_COMPLAINT);
                self.complaint.extend(payload.iter().take(room));
                None
            }
            _ => None,
        }
    }

    fn is_over(&self) -> bool {
        !self.complaint.is_empty()
    }

    fn verdict(&mut self, end: End) -> io::Result<()> {
        let said = String::from_utf8_lossy(&self.complaint);
        let end = match (said.trim(), end) {
            ("", End::Closed(None)) => return Ok(()),
            ("", end) => PodEnd::lost(&self.pod, end, ""),
            (reason, _) => PodEnd::Port {
                port: self.port,
                pod: self.pod.clone(),
                reason: plain(reason).to_owned(),
            },
        };
        Err(io::Error::other(end))
    }
}

/// The usual reason in few words: runtimes wrap it in names of their own namespaces.
fn plain(reason: &str) -> &str {
    if reason.contains("connection refused") {
        "nothing listens there (connection refused)"
    } else {
        reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels() -> ForwardChannels {
        ForwardChannels::new("ns/p".into(), 1234)
    }

    #[test]
    fn the_ports_number_is_no_data_however_it_is_cut() {
        let mut channels = channels();
        assert_eq!(channels.take(0, Bytes::from_static(&[0xd2])).unwrap(), "");
        let rest = Bytes::from_static(&[0x04, b'a']);
        assert_eq!(channels.take(0, rest).unwrap(), "a");
        assert_eq!(channels.take(0, Bytes::from_static(b"b")).unwrap(), "b");
        assert_eq!(channels.take(7, Bytes::from_static(b"?")), None);
    }

    #[test]
    fn a_closed_port_is_told_in_few_words() {
        let mut channels = channels();
        channels.take(1, Bytes::from_static(&[0xd2, 0x04]));
        assert!(!channels.is_over());
        channels.take(
            1,
            Bytes::from_static(b"uid : in \"x\": dial tcp4: connect: connection refused\n"),
        );
        assert!(channels.is_over());
        let error = channels.verdict(End::Closed(None)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "port 1234 of pod ns/p cannot be reached: nothing listens there (connection refused)"
        );
    }

    #[test]
    fn a_close_without_words_is_a_plain_end() {
        assert!(channels().verdict(End::Closed(None)).is_ok());
        let error = channels().verdict(End::Broken("reset".into())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the connection to pod ns/p was lost: reset"
        );
    }
}
