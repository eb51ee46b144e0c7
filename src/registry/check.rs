//! Whether a registry will take what a build makes: [`Repository::check_push`].

use http::Method;
use http::header::LOCATION;

use super::error::RegistryError;
use super::repository::Repository;
use crate::retry::{Backoff, retry};

impl Repository {
    /// Checks that the registry is there and lets us push, by beginning an upload and
    /// abandoning it. Says soon when the registry is down. That the upload is abandoned is told
    /// to the registry in the background.
    pub async fn check_push(&self) -> Result<(), RegistryError> {
        let operation = format!("push to {}", self.name);
        let mut call = self.call(&operation, Method::POST, "blobs/uploads/");
        call.scopes = self.push_scopes();
        let begin = || self.host.send(&call);
        let answer = retry(Backoff::CHECK, begin, RegistryError::verdict).await?;
        let upload = answer.headers().get(LOCATION);
        if let Some(upload) = upload.and_then(|upload| upload.to_str().ok()) {
            // Registries forget abandoned uploads by themselves: this is courtesy, for which
            // nobody waits.
            drop(tokio::spawn(self.clone().abandon(upload.to_owned())));
        }
        Ok(())
    }

    async fn abandon(self, upload: String) {
        let mut call = self.call("abandon an upload", Method::DELETE, "");
        call.path = upload;
        call.scopes = self.push_scopes();
        let _ = self.host.send(&call).await;
    }
}
