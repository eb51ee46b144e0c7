//! Plans a build of eight platforms on eight nodes, with tags, outputs and caches.

use std::collections::BTreeMap;

use mbuild_hot::node::{ImageStore, NodeInfo, Reported};
use mbuild_hot::plan::plan;
use mbuild_hot::platform::Platform;
use mbuild_hot::request::{BuildContext, BuildRequest, CacheSpec, Dockerfile, OutputSpec};

use super::{Failure, Work};

/// The platforms that are built.
pub(super) const PLATFORMS: [&str; 8] = [
    "linux/386",
    "linux/amd64",
    "linux/arm/v6",
    "linux/arm/v7",
    "linux/arm64",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
];
const TAGS: [&str; 4] = [
    "registry.example.com/team/app:latest",
    "registry.example.com/team/app:1.2.3",
    "mirror.example.com/team/app:latest",
    "mirror.example.com/team/app:1.2.3",
];
const OUTPUTS: [&str; 5] = [
    "type=registry",
    "type=image,name=registry.example.com/team/other:1,push=true,annotation.a=b",
    "type=local,dest=out",
    "type=oci,dest=image.tar",
    "type=tar,dest=files.tar",
];
/// How often it is done in one run: once is too little to count.
const TIMES: usize = 4;

/// Plans, and returns how many exports all units have.
pub(super) fn prepare() -> Result<Work, Failure> {
    let request = request()?;
    let nodes = nodes()?;
    let engines = BTreeMap::new();
    Ok(Box::new(move || {
        let mut exports = 0;
        for _ in 0..TIMES {
            let planned = plan(&request, &nodes, &engines)?;
            exports += planned
                .units
                .iter()
                .map(|unit| unit.exports.len())
                .sum::<usize>();
        }
        Ok(exports)
    }))
}

fn request() -> Result<BuildRequest, Failure> {
    let dockerfile = Dockerfile::InContext("Dockerfile".to_owned());
    let mut request = BuildRequest::new(BuildContext::Empty, dockerfile);
    for name in PLATFORMS {
        request.platforms.push(name.parse()?);
    }
    for tag in TAGS {
        request.tags.push(tag.parse()?);
    }
    for output in OUTPUTS {
        request.outputs.extend(OutputSpec::parse(output)?);
    }
    let cache = "type=registry,ref=registry.example.com/cache:{os}-{arch}{variant},mode=max";
    request.cache_to = CacheSpec::parse("--cache-to", cache)?;
    request.cache_from = CacheSpec::parse("--cache-from", cache)?;
    Ok(request)
}

/// A node for each platform, which emulates the others.
fn nodes() -> Result<Vec<NodeInfo>, Failure> {
    let all = PLATFORMS
        .iter()
        .map(|name| name.parse())
        .collect::<Result<Vec<Platform>, _>>()?;
    let node = |position: usize| {
        let mut platforms = all.clone();
        platforms.rotate_left(position);
        NodeInfo {
            name: format!("node-{position}"),
            configured: Vec::new(),
            reported: Reported::Platforms(platforms),
            store: ImageStore::None,
            slots: None,
            running: 0,
        }
    };
    Ok((0..all.len()).map(node).collect())
}
