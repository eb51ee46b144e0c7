//! Settles what a name on the network means before any node is asked to build it, so that all
//! nodes build the same: a Git ref becomes a commit, an image's tag a digest, a file on the web
//! one of this machine.
//!
//! What cannot be settled is left to the daemons; with several platforms a warning says so.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::attrs::parse_bool;
use crate::buildkit::session::SecretSource;
use crate::causes::causes;
use crate::digest::Digest;
use crate::reference::ImageRef;
use crate::registry::{At, Registries};
use crate::remote::{Asking, Found, GitAskError, authorization, commit};
use crate::request::{BuildRequest, GitContext, NamedSource, RemoteContext};

use super::super::app::App;
use super::super::error::CliError;
use super::web;

/// How long a repository may take when several nodes depend on the answer.
const LIMIT: Duration = Duration::from_secs(30);
/// How long it may take for one platform, which loses nothing but the record.
const LIMIT_ALONE: Duration = Duration::from_secs(10);
/// How long a registry may take to say which image a tag is.
const REGISTRY_LIMIT: Duration = Duration::from_secs(15);

/// The build argument that keeps the directory `.git` of the build's own context.
const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// What is needed to ask.
pub(super) struct Around<'a> {
    pub(super) app: &'a App,
    pub(super) secrets: &'a BTreeMap<String, SecretSource>,
    pub(super) registries: &'a Registries,
}

/// A context that is not what it says.
#[derive(Debug, thiserror::Error)]
#[error("the context {shown}")]
struct Wrong {
    shown: String,
    source: GitAskError,
}

/// What was settled; kept until the build is over.
#[derive(Default)]
pub(super) struct Pinned {
    /// What was not, and left to the daemons: warnings.
    pub(super) doubts: Vec<String>,
    /// Files that the request now names.
    pub(super) _kept: Vec<TempDir>,
}

/// Puts commits, digests and files in place of names and addresses.
pub(super) async fn pin(
    request: &mut BuildRequest,
    around: &Around<'_>,
) -> Result<Pinned, CliError> {
    let is_several = request.platforms.len() > 1;
    let mut doubts = commits(request, is_several, around).await?;
    let fetched = web::contexts(request, around.app).await;
    doubts.extend(fetched.doubts);
    if is_several {
        doubts.extend(digests(request, around.registries).await);
    } else {
        // One daemon cannot differ from another.
        for doubt in doubts.drain(..) {
            tracing::info!("{doubt}");
        }
    }
    Ok(Pinned {
        doubts,
        _kept: fetched.dirs,
    })
}

/// Pins repositories, each of which is asked once; gives what stays in doubt.
async fn commits(
    request: &mut BuildRequest,
    is_several: bool,
    around: &Around<'_>,
) -> Result<Vec<String>, CliError> {
    let mut wanted: Vec<GitContext> = Vec::new();
    for (_, remote) in request.remotes_mut() {
        match remote {
            RemoteContext::Git(git) if !git.is_pinned() && !wanted.contains(git) => {
                wanted.push(git.clone());
            }
            _ => {}
        }
    }
    let keeps = request.frontend.build_args.get(KEEP_GIT_DIR);
    let keeps = keeps.and_then(|text| parse_bool(text)) == Some(true);
    let limit = if is_several { LIMIT } else { LIMIT_ALONE };
    let answers = join_all(wanted.iter().map(|git| ask(git, limit, around))).await;
    let (mut pinned, mut doubts) = (Vec::new(), Vec::new());
    for (git, answer) in wanted.into_iter().zip(answers) {
        let shown = RemoteContext::Git(git.clone()).shown();
        match answer {
            Ok(found) => {
                tracing::info!("{shown} is {}", found.commit);
                let exact = exact(&git, &found, keeps, is_several);
                pinned.push((git, exact));
            }
            Err(source) if source.is_certain() => {
                return Err(CliError::usage(Wrong { shown, source }));
            }
            Err(error) => doubts.push(format!(
                "every node asks by itself which commit {shown} is, since it is not known here: {}",
                causes(&error)
            )),
        }
    }
    for (_, remote) in request.remotes_mut() {
        let exact = pinned.iter().find(|(git, _)| match &*remote {
            RemoteContext::Git(asked) => asked == git,
            RemoteContext::Web(_) => false,
        });
        if let Some((_, exact)) = exact {
            *remote = RemoteContext::Git(exact.clone());
        }
    }
    Ok(doubts)
}

/// What daemons are told in place of a name that they would look up.
///
/// A tag's name is left in a `.git` that is kept, since programs look for it there: then daemons
/// are told the commit beside it, and fail if it is another one. `keeps` is the build argument
/// that keeps it with any address; only BuildKit 0.24 and later can be told more than a name, so
/// that one daemon, which cannot differ from another, gets the name alone.
fn exact(git: &GitContext, found: &Found, keeps: bool, is_several: bool) -> GitContext {
    match (found.is_tag, git.keeps_git_dir(), keeps) {
        (true, true, _) => git.promised(&found.commit),
        (true, false, true) if is_several => git.promised(&found.commit),
        (true, false, true) => git.clone(),
        _ => git.pinned(&found.commit),
    }
}

async fn ask(git: &GitContext, limit: Duration, around: &Around<'_>) -> Result<Found, GitAskError> {
    let asking = Asking {
        env: &around.app.env,
        authorization: authorization(&git.url(), |name| text(around.secrets.get(name)?)),
        limit,
    };
    commit(git, &asking).await
}

/// A secret's text; what is no text is left to the daemons.
fn text(secret: &SecretSource) -> Option<String> {
    let bytes = match secret {
        SecretSource::File(path) => std::fs::read(path).ok()?,
        SecretSource::Value(bytes) => bytes.to_vec(),
    };
    String::from_utf8(bytes).ok()
}

/// Pins the tags of images; gives what stays in doubt.
async fn digests(request: &mut BuildRequest, registries: &Registries) -> Vec<String> {
    let images = request.named_contexts.iter_mut();
    let images = images.filter_map(|context| match &mut context.source {
        // This name is no image's.
        NamedSource::Image(image) if image.familiar_name() == "scratch" => None,
        NamedSource::Image(image) if image.digest().is_none() => Some(image),
        _ => None,
    });
    let doubts = join_all(images.map(async |image| {
        match digest(image, registries).await {
            Ok(digest) => {
                tracing::info!("{image} is {digest}");
                *image = image.with_digest(digest);
                None
            }
            Err(why) => Some(format!(
                "every node asks by itself which image {image} is, since it is not known here: {why}"
            )),
        }
    }));
    doubts.await.into_iter().flatten().collect()
}

async fn digest(image: &ImageRef, registries: &Registries) -> Result<Digest, String> {
    let tagged = image.with_default_tag();
    let tag = At::Tag(tagged.tag().unwrap_or_default());
    let asked = async {
        registries
            .repository(&tagged)
            .await?
            .head_manifest(tag)
            .await
    };
    match timeout(REGISTRY_LIMIT, asked).await {
        Ok(Ok(Some(found))) => Ok(found.digest),
        Ok(Ok(None)) => Err("its registry has no such image".to_owned()),
        Ok(Err(error)) => Err(causes(&error)),
        Err(_) => Err(format!(
            "its registry did not answer within {} s",
            REGISTRY_LIMIT.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_tag_keeps_its_name_where_steps_can_see_it() {
        let check = |text: &str, is_tag: bool, keeps: bool, is_several: bool, expect: &str| {
            let git = GitContext::parse(text).unwrap().unwrap();
            let found = Found::new(COMMIT, is_tag);
            let exact = exact(&git, &found, keeps, is_several);
            assert_eq!(exact.to_string(), expect.replace("COMMIT", COMMIT));
        };
        let url = "https://h/a.git";
        let plain = format!("{url}#v1");
        let pinned = format!("{url}#COMMIT");
        let promised = format!("{url}?ref=v1&checksum=COMMIT");
        check(&plain, true, false, true, &pinned);
        check(&plain, true, true, true, &promised);
        check(&plain, true, true, false, &plain);
        check(&plain, false, true, true, &pinned);
        let kept = format!("{url}?ref=v1&keep-git-dir=1");
        let promised = format!("{promised}&keep-git-dir=true");
        check(&kept, true, false, false, &promised);
        let pinned = format!("{url}?ref=COMMIT&keep-git-dir=true");
        check(&kept, false, false, true, &pinned);
    }
}
