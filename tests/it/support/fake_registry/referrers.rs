//! The list of what refers to an image.

use http::Response;
use serde_json::{Value, json};

use super::Shared;
use super::serve::{Body, plain, refuse, with};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Shared {
    pub(super) fn list_referrers(&self, repo: &str, subject: &str) -> Response<Body> {
        if !self.setup.referrers {
            return refuse(404, "NOT_FOUND");
        }
        let state = self.state.lock().unwrap();
        let manifests = state.repos.get(repo).into_iter().flat_map(|r| &r.manifests);
        let list: Vec<Value> = manifests
            .filter_map(|(digest, (media_type, bytes))| {
                let document: Value = serde_json::from_slice(bytes).unwrap();
                (document["subject"]["digest"] == subject).then(|| {
                    json!({"mediaType": media_type, "digest": digest, "size": bytes.len(),
                        "artifactType": document["artifactType"]})
                })
            })
            .collect();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": list});
        with(
            plain(200, index.to_string()),
            &[("content-type", INDEX.to_owned())],
        )
    }
}
