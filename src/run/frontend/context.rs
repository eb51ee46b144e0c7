//! Where a build's files come from, as attributes: mounts that the session serves, or a URL.

use crate::request::{BuildContext, BuildRequest, Dockerfile};

use super::Surroundings;

/// The mount that the frontend reads the build's files from.
pub(in crate::run) const CONTEXT_MOUNT: &str = "context";
/// The mount that the frontend reads the Dockerfile from.
pub(in crate::run) const DOCKERFILE_MOUNT: &str = "dockerfile";

/// Sets the attributes of the context and the Dockerfile.
pub(super) fn set(
    request: &BuildRequest,
    around: &Surroundings,
    set: &mut impl FnMut(&str, String),
) {
    match &request.dockerfile {
        Dockerfile::Local { name, .. } => set("filename", name.clone()),
        Dockerfile::InContext(path) => set("filename", path.clone()),
    }
    if let (BuildContext::Archive(_), Some(id)) = (&request.context, &around.upload) {
        set("context", format!("http://buildkit-session/{id}"));
    }
    if let Some(session) = &around.context_session {
        for mount in [CONTEXT_MOUNT, DOCKERFILE_MOUNT] {
            set(&format!("local-sessionid:{mount}"), session.clone());
        }
    }
}
