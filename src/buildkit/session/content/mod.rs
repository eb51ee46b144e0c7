//! Serves `containerd.services.content.v1.Content`: blobs of the client's layouts and local
//! caches, by the id of the store that a daemon was told.
//!
//! [`ContentStores`] says which stores there are; what is on disk is [`DirStore`]'s concern. A
//! daemon can neither list a store nor delete from it: it knows the digests it needs.

mod dir;
mod error;
mod ingest;
mod read;
mod write;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use mbuild_proto::content::content_server::{self, ContentServer};
use mbuild_proto::content::{
    AbortRequest, Info, InfoRequest, InfoResponse, ListStatusesRequest, ListStatusesResponse,
    ReadContentRequest, ReadContentResponse, Status as WriteStatus, StatusRequest, StatusResponse,
    UpdateRequest, UpdateResponse, WriteContentRequest, WriteContentResponse,
};
use tonic::codegen::BoxStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

pub use dir::{Blob, DirStore};
pub use error::StoreError;

use super::{MAX_MESSAGE, Services};
use crate::digest::Digest;

/// Names the store that a call is about.
const STORE_ID: &str = "buildkit-attachable-store-id";

/// The stores of a session by id: `oci:<name>` for the layout of a named context, `local:<name>`
/// for a local cache, where `name` is the attribute that the daemon was told.
pub type ContentStores = BTreeMap<String, Arc<DirStore>>;

impl Services {
    /// Serves these stores, besides those that were given before.
    #[must_use]
    pub fn content(mut self, stores: ContentStores) -> Self {
        self.stores.extend(stores);
        let stores = self.stores.clone();
        let server = ContentServer::new(Content { stores });
        let methods = &[
            "Info",
            "Update",
            "Read",
            "Status",
            "ListStatuses",
            "Write",
            "Abort",
        ];
        self.add(methods, server.max_decoding_message_size(MAX_MESSAGE))
    }
}

struct Content {
    stores: ContentStores,
}

impl Content {
    fn store(&self, metadata: &MetadataMap) -> Result<Arc<DirStore>, Status> {
        let id = metadata.get(STORE_ID).and_then(|id| id.to_str().ok());
        let id =
            id.ok_or_else(|| Status::invalid_argument(format!("a call without {STORE_ID}")))?;
        let store = self.stores.get(id).cloned();
        store.ok_or_else(|| Status::not_found(format!("store {id} was not given")))
    }
}

#[tonic::async_trait]
impl content_server::Content for Content {
    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let store = self.store(request.metadata())?;
        let digest = digest(&request.get_ref().digest)?;
        let blob = on_disk(move || store.info(digest)).await?;
        let info = Some(info(&blob));
        Ok(Response::new(InfoResponse { info }))
    }

    /// Labels are for a daemon's own garbage collection: a layout has no place for them.
    async fn update(
        &self,
        request: Request<UpdateRequest>,
    ) -> Result<Response<UpdateResponse>, Status> {
        let store = self.store(request.metadata())?;
        let asked = request.into_inner().info.unwrap_or_default();
        let digest = digest(&asked.digest)?;
        let blob = on_disk(move || store.info(digest)).await?;
        let info = Some(info(&blob));
        Ok(Response::new(UpdateResponse { info }))
    }

    async fn read(
        &self,
        request: Request<ReadContentRequest>,
    ) -> Result<Response<BoxStream<ReadContentResponse>>, Status> {
        let store = self.store(request.metadata())?;
        let asked = request.into_inner();
        let digest = digest(&asked.digest)?;
        let (file, blob) = on_disk(move || store.open(digest)).await?;
        let range = read::range(asked.offset, asked.size, blob.size)?;
        Ok(Response::new(Box::pin(read::chunks(digest, file, range))))
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let store = self.store(request.metadata())?;
        let status = store.status(&request.get_ref().r#ref)?;
        let status = Some(WriteStatus::from(status));
        Ok(Response::new(StatusResponse { status }))
    }

    async fn list_statuses(
        &self,
        request: Request<ListStatusesRequest>,
    ) -> Result<Response<ListStatusesResponse>, Status> {
        let store = self.store(request.metadata())?;
        if request.get_ref().filters.iter().any(|f| !f.is_empty()) {
            return Err(Status::unimplemented("writes are not filtered here"));
        }
        let statuses = store.statuses().into_iter().map(WriteStatus::from);
        let statuses = statuses.collect();
        Ok(Response::new(ListStatusesResponse { statuses }))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteContentRequest>>,
    ) -> Result<Response<BoxStream<WriteContentResponse>>, Status> {
        let store = self.store(request.metadata())?;
        Ok(Response::new(write::serve(store, request.into_inner())))
    }

    async fn abort(&self, request: Request<AbortRequest>) -> Result<Response<()>, Status> {
        let store = self.store(request.metadata())?;
        let name = request.into_inner().r#ref;
        on_disk(move || store.abort(&name)).await?;
        Ok(Response::new(()))
    }
}

/// Runs what blocks on the disk off the async threads.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Status::from),
        Err(error) => Err(Status::unknown(error.to_string())),
    }
}

fn digest(text: &str) -> Result<Digest, Status> {
    Digest::parse(text).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn info(blob: &Blob) -> Info {
    let at = Some(blob.modified.unwrap_or(SystemTime::UNIX_EPOCH).into());
    Info {
        digest: blob.digest.to_string(),
        size: wire(blob.size),
        created_at: at,
        updated_at: at,
        labels: BTreeMap::new(),
    }
}

/// A size on the wire, which has signed ones.
fn wire(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
