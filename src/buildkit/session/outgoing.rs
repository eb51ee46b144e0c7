//! [`Outgoing`]: the packets of a transfer as the body of the call's answer.
//!
//! The packets are messages already, so no codec copies them; the call's status is the trailers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

/// The packets of a transfer, as the body of the call's answer; dropping it ends the transfer.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Whole messages, in order.
    batches: mpsc::Receiver<Bytes>,
    /// `None` after the call's status was given, which is the end.
    task: Option<AbortOnDropHandle<Result<(), Status>>>,
    /// Held for as long as the call lasts.
    _slot: Option<OwnedSemaphorePermit>,
}

impl Outgoing {
    /// Passes on what `task` sends, then its status.
    pub(super) fn new(
        batches: mpsc::Receiver<Bytes>,
        task: AbortOnDropHandle<Result<(), Status>>,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            batches,
            task: Some(task),
            _slot: slot,
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(batch) = ready!(self.batches.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(Frame::data(batch))));
        }
        let Some(task) = &mut self.task else {
            return Poll::Ready(None);
        };
        let result = ready!(Pin::new(task).poll(cx));
        self.task = None;
        let result = result.unwrap_or_else(|lost| Err(Status::internal(lost.to_string())));
        let status = result.err().unwrap_or_else(|| Status::ok(""));
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}
