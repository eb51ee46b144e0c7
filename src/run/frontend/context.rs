//! Where a build's files come from, as attributes: mounts that the session serves, addresses,
//! and stores of content.

use crate::request::{
    BuildContext, BuildRequest, Dockerfile, NamedContext, NamedSource, RemoteContext,
};

use super::Surroundings;

/// The mount that the frontend reads the build's files from.
pub(in crate::run) const CONTEXT_MOUNT: &str = "context";
/// The mount that the frontend reads the Dockerfile from.
pub(in crate::run) const DOCKERFILE_MOUNT: &str = "dockerfile";
/// What a frontend has to know for named contexts; an old one may leave it to the image that
/// `# syntax=` names.
const NAMED_CONTEXTS: &str = "moby.buildkit.frontend.contexts+forward";
/// What a frontend has to know for queries in Git addresses.
const GIT_QUERIES: &str = "moby.buildkit.frontend.gitquerystring";

/// The mount of a directory that is a named context; the two that every build has keep their
/// names.
pub(in crate::run) fn named_mount(name: &str) -> String {
    match name {
        CONTEXT_MOUNT | DOCKERFILE_MOUNT => format!("_{name}"),
        name => name.to_owned(),
    }
}

/// Sets the attributes of the contexts and the Dockerfile.
pub(super) fn set(
    request: &BuildRequest,
    around: &Surroundings,
    set: &mut impl FnMut(&str, String),
) {
    match &request.dockerfile {
        Dockerfile::Local { name, .. } => set("filename", name.clone()),
        Dockerfile::InContext(path) => set("filename", path.clone()),
    }
    let fetched = match (&request.context, &around.upload) {
        (BuildContext::Archive(_), Some(id)) => Some(format!("http://buildkit-session/{id}")),
        (BuildContext::Remote(remote), _) => Some(remote.to_string()),
        _ => None,
    };
    if let Some(address) = fetched {
        set("context", address);
        if let Dockerfile::Local { .. } = request.dockerfile {
            // Without it the frontend looks for the Dockerfile in what it fetched.
            set("dockerfilekey", DOCKERFILE_MOUNT.to_owned());
        }
    }
    for context in &request.named_contexts {
        if let Some(value) = named(context, around) {
            set(&format!("context:{}", context.name), value);
        }
    }
    if let Some(session) = &around.context_session {
        let mounts = [CONTEXT_MOUNT, DOCKERFILE_MOUNT].map(str::to_owned);
        for mount in mounts.into_iter().chain(named_mounts(request)) {
            set(&format!("local-sessionid:{mount}"), session.clone());
        }
    }
    let needed = needed(request);
    if !needed.is_empty() {
        set("frontend.caps", needed.join(","));
    }
}

fn named(context: &NamedContext, around: &Surroundings) -> Option<String> {
    Some(match &context.source {
        NamedSource::Directory(_) => format!("local:{}", named_mount(&context.name)),
        NamedSource::Remote(remote) => remote.to_string(),
        NamedSource::Image(image) => format!("docker-image://{image}"),
        NamedSource::Layout { digest, .. } => {
            format!(
                "oci-layout://{}@{digest}",
                around.layouts.get(&context.name)?
            )
        }
    })
}

fn named_mounts(request: &BuildRequest) -> impl Iterator<Item = String> {
    request
        .named_contexts
        .iter()
        .filter(|context| matches!(context.source, NamedSource::Directory(_)))
        .map(|context| named_mount(&context.name))
}

/// What the frontend has to know, so that it does not take a context for something else.
fn needed(request: &BuildRequest) -> Vec<String> {
    let has_query =
        |remote: &RemoteContext| matches!(remote, RemoteContext::Git(git) if git.has_query());
    let mut needed = Vec::new();
    if !request.named_contexts.is_empty() {
        needed.push(NAMED_CONTEXTS.to_owned());
    }
    let mut named = request
        .named_contexts
        .iter()
        .filter_map(NamedContext::remote);
    match &request.context {
        // The frontend that is asked first fetches it.
        BuildContext::Remote(remote) if has_query(remote) => needed.push(GIT_QUERIES.to_owned()),
        _ if named.any(has_query) => needed.push(format!("{GIT_QUERIES}+forward")),
        _ => {}
    }
    needed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn local() -> Dockerfile {
        Dockerfile::Local {
            dir: "/src".into(),
            name: "Dockerfile".to_owned(),
        }
    }

    fn remote(text: &str) -> RemoteContext {
        RemoteContext::parse(text).unwrap()
    }

    fn named(name: &str, source: NamedSource) -> NamedContext {
        NamedContext {
            name: name.to_owned(),
            source,
        }
    }

    /// Each line of `expect`: `key=value`; the name of the Dockerfile is always there.
    #[track_caller]
    fn check(request: &BuildRequest, around: &Surroundings, expect: &[&str]) {
        let mut attrs = BTreeMap::new();
        set(request, around, &mut |key, value| {
            attrs.insert(key.to_owned(), value);
        });
        assert!(attrs.remove("filename").is_some());
        let got: Vec<_> = attrs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn what_daemons_fetch_is_an_address() {
        let around = Surroundings::default();
        let in_context = || Dockerfile::InContext("Dockerfile".to_owned());
        let git = BuildContext::Remote(remote(&format!("https://h/a.git#{COMMIT}:d")));
        check(
            &BuildRequest::new(git.clone(), in_context()),
            &around,
            &[&format!("context=https://h/a.git#{COMMIT}:d")],
        );
        check(
            &BuildRequest::new(git, local()),
            &around,
            &[
                &format!("context=https://h/a.git#{COMMIT}:d"),
                "dockerfilekey=dockerfile",
            ],
        );
        let query = BuildContext::Remote(remote("git@h:a?ref=m&keep-git-dir=1"));
        check(
            &BuildRequest::new(query, in_context()),
            &around,
            &[
                "context=git@h:a?ref=m&keep-git-dir=true",
                "frontend.caps=moby.buildkit.frontend.gitquerystring",
            ],
        );
    }

    #[test]
    fn named_contexts_are_mounts_addresses_and_stores() {
        let mut request = BuildRequest::new(BuildContext::Directory("/src".into()), local());
        let digest = crate::digest::Digest::of(b"x");
        request.named_contexts = vec![
            named("lib", NamedSource::Directory("/lib".into())),
            named("context", NamedSource::Directory("/other".into())),
            named("base", NamedSource::Image("r.io/b:1".parse().unwrap())),
            named(
                "kept",
                NamedSource::Layout {
                    dir: "/l".into(),
                    digest,
                },
            ),
            named(
                "git",
                NamedSource::Remote(remote("https://h/a.git?submodules=false")),
            ),
        ];
        let around = Surroundings {
            context_session: Some("s".to_owned()),
            layouts: [("kept".to_owned(), "id1".to_owned())].into(),
            ..Surroundings::default()
        };
        check(
            &request,
            &around,
            &[
                "context:base=docker-image://r.io/b:1",
                "context:context=local:_context",
                "context:git=https://h/a.git?submodules=false",
                &format!("context:kept=oci-layout://id1@{digest}"),
                "context:lib=local:lib",
                "frontend.caps=moby.buildkit.frontend.contexts+forward,\
                 moby.buildkit.frontend.gitquerystring+forward",
                "local-sessionid:_context=s",
                "local-sessionid:context=s",
                "local-sessionid:dockerfile=s",
                "local-sessionid:lib=s",
            ],
        );
    }
}
