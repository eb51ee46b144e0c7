//! Blobs between a repository and this machine: [`Repository::fetch_blob`] and
//! [`Repository::push_blob`].
//!
//! A download that breaks goes on where it broke. Nothing here looks at the content: whoever
//! receives it checks the digest, and so does the registry.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, TryStreamExt};
use oci_client::client::BlobResponse;
use oci_client::errors::OciDistributionError;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

use super::blob_client::{broken, explain, unless_still, wire};
use super::blobs::STANDSTILL_LIMIT;
use super::connector::SILENCE_LIMIT;
use super::error::{Problem, RegistryError};
use super::repository::Repository;
use crate::oci::Descriptor;
use crate::retry::retry;

impl Repository {
    /// Sends the bytes of a blob into a channel, in order and each once.
    ///
    /// Ends quietly when nobody receives any more: the receiver knows why.
    pub async fn fetch_blob(
        &self,
        blob: &Descriptor,
        into: &Sender<Bytes>,
    ) -> Result<(), RegistryError> {
        let operation = format!("fetch the blob {} of {}", blob.digest, self.name);
        let sent = AtomicU64::new(0);
        loop {
            let before = sent.load(Ordering::Relaxed);
            let fetch = || self.fetch_from(&operation, blob, &sent, into);
            match retry(self.backoff, fetch, RegistryError::verdict).await {
                // A transfer of hours may break more often than a request may fail.
                Err(error) if error.is_temporary() && sent.load(Ordering::Relaxed) > before => {}
                outcome => return outcome,
            }
        }
    }

    async fn fetch_from(
        &self,
        operation: &str,
        blob: &Descriptor,
        sent: &AtomicU64,
        into: &Sender<Bytes>,
    ) -> Result<(), RegistryError> {
        let start = sent.load(Ordering::Relaxed);
        if start >= blob.size && start > 0 {
            // All came, though something was wrong with it, which the receiver will see.
            return Ok(());
        }
        let mut stream = self
            .within(
                SILENCE_LIMIT,
                operation,
                self.open_blob(operation, blob, start),
            )
            .await?;
        let next = async |stream: &mut BoxStream<'static, io::Result<Bytes>>| {
            stream
                .try_next()
                .await
                .map_err(|error| broken(self, operation, error))
        };
        while let Some(chunk) = self
            .within(SILENCE_LIMIT, operation, next(&mut stream))
            .await?
        {
            let length = chunk.len() as u64;
            if sent.load(Ordering::Relaxed) + length > blob.size {
                let message = format!("it is larger than {} bytes", blob.size);
                return Err(self.blob_error(operation, Problem::Digest, message));
            }
            if into.send(chunk).await.is_err() {
                return Ok(());
            }
            sent.fetch_add(length, Ordering::Relaxed);
        }
        if sent.load(Ordering::Relaxed) < blob.size {
            let message = "the blob ended early".to_owned();
            return Err(self.blob_error(operation, Problem::Broken, message));
        }
        Ok(())
    }

    /// Opens a blob at an offset, whether or not the registry knows ranges.
    async fn open_blob(
        &self,
        operation: &str,
        blob: &Descriptor,
        start: u64,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, RegistryError> {
        let client = self.pull_client().await?;
        let (from, layer) = (self.blob_reference(blob.digest), wire(blob));
        let failed = |error: OciDistributionError| explain(self, operation, error);
        if start == 0 {
            let opened = client.pull_blob_stream(&from, &layer).await;
            return Ok(opened.map_err(failed)?.stream);
        }
        let opened = client.pull_blob_stream_partial(&from, &layer, start, None);
        Ok(match opened.await.map_err(failed)? {
            BlobResponse::Partial(rest) => rest.stream,
            BlobResponse::Full(whole) => Box::pin(skip(whole.stream, start)),
        })
    }

    /// Uploads a blob of this machine; `open` gives its bytes from the start each time that it
    /// is called.
    pub async fn push_blob<S>(
        &self,
        blob: &Descriptor,
        open: impl Fn() -> S,
    ) -> Result<(), RegistryError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let operation = format!("upload the blob {} to {}", blob.digest, self.name);
        let scopes = self.push_scopes();
        let upload = || self.upload(&operation, &scopes, blob, open());
        retry(self.backoff, upload, RegistryError::verdict).await
    }

    /// Uploads a stream in one request.
    pub(super) async fn upload(
        &self,
        operation: &str,
        scopes: &[String],
        blob: &Descriptor,
        stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), RegistryError> {
        let client = self.push_client(scopes).await?;
        let moved = Arc::new(Notify::new());
        let noticed = Arc::clone(&moved);
        let stream = stream
            .inspect_ok(move |_| noticed.notify_one())
            .map_err(OciDistributionError::from);
        let (target, digest) = (self.blob_reference(blob.digest), blob.digest.to_string());
        let push = client.push_blob_stream(&target, stream, &digest, Some(blob.size));
        match unless_still(&moved, STANDSTILL_LIMIT, push).await {
            Some(pushed) => pushed
                .map(drop)
                .map_err(|error| explain(self, operation, error)),
            None => Err(self.blob_error(operation, Problem::Timeout, "it stands still".into())),
        }
    }
}

/// Leaves out the first bytes of a stream.
fn skip(
    stream: BoxStream<'static, io::Result<Bytes>>,
    mut bytes: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream.try_filter_map(move |mut chunk| {
        let cut = usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .min(chunk.len());
        bytes -= cut as u64;
        let rest = chunk.split_off(cut);
        std::future::ready(Ok((!rest.is_empty()).then_some(rest)))
    })
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn what_was_received_before_is_left_out() {
        let check = async |bytes: u64, expect: &str| {
            let chunks = ["ab", "cd", "e"].map(|text| Ok(Bytes::from(text)));
            let stream = futures_util::stream::iter(chunks).boxed();
            let rest: Vec<Bytes> = skip(stream, bytes).try_collect().await.unwrap();
            assert_eq!(rest.concat(), expect.as_bytes());
        };
        check(0, "abcde").await;
        check(3, "de").await;
        check(9, "").await;
    }
}
