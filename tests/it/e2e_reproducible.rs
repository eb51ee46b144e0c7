//! The same inputs give the same digests, whichever node builds, and whenever.

use crate::support::hub::{Document, Hub};
use crate::support::sandbox::Sandbox;
use crate::support::target::{Node, Target, cases};

/// Two daemons that build one platform, and one of them another.
const EPOCH: &str = "1700000000";

cases!(at_endpoints:
    two_nodes_of_one_architecture_give_the_same_image,
    the_merged_index_is_the_same_on_every_run,
);

/// A sandbox whose only builder builds with these nodes.
fn sandbox(target: &Target, nodes: &[Node]) -> Sandbox {
    let sandbox = Sandbox::with_config(target, &target.config_of(nodes));
    sandbox.write("ctx/file", "of the context");
    sandbox.dockerfile(
        "FROM BASE\nCOPY file /file\nRUN date >/now && mkdir /made && touch /made/file\n\
         RUN rm /now\n",
    );
    sandbox
}

fn built(sandbox: &Sandbox, target: &Target, line: &str, more: &str) -> (Document, Document) {
    let name = target.repository("reproducible");
    sandbox
        .mbuild(&format!(
            "{line} --no-cache -o type=image,push=true,name={name}:1{more} ctx"
        ))
        .env("SOURCE_DATE_EPOCH", EPOCH)
        .run()
        .exits(0);
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    let image = match index.is_index() {
        true => hub.image(&index, "linux/amd64"),
        false => index.clone(),
    };
    let config = hub.config(&image);
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    (index, image)
}

/// The step writes the time of the build into files and their dates; `rewrite-timestamp` takes it
/// out of the dates.
fn two_nodes_of_one_architecture_give_the_same_image(target: &Target) {
    let images = target.nodes.each_ref().map(|node| {
        let node = node.with_platforms(&["linux/amd64"]);
        let sandbox = sandbox(target, &[node]);
        sandbox
            .dockerfile("FROM BASE\nCOPY file /file\nRUN mkdir /made && echo made >/made/file\n");
        let line = "--platform linux/amd64";
        built(&sandbox, target, line, ",rewrite-timestamp=true").1
    });
    assert_eq!(images[0].digest, images[1].digest, "{images:#?}");
}

/// buildx: three pushes of one cached build give three different index digests.
fn the_merged_index_is_the_same_on_every_run(target: &Target) {
    let sandbox = sandbox(target, &target.nodes);
    sandbox.dockerfile("FROM BASE\nCOPY file /file\nRUN echo made >/made\n");
    let both = "--platform linux/amd64,linux/arm64";
    let other = "--platform linux/arm64,linux/amd64";
    let runs = [both, other].map(|line| built(&sandbox, target, line, ",rewrite-timestamp=true").0);
    assert!(runs[0].is_index());
    assert_eq!(runs[0].digest, runs[1].digest);
}
