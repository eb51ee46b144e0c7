//! What each output means for the units, and the merge step that makes one result of theirs.
//!
//! Pushing outputs push by digest; trees and files are staged by the client; nothing that a
//! unit does is visible under the names that the user gave.

use std::collections::{BTreeMap, BTreeSet};

use crate::platform::Platform;
use crate::reference::ImageRef;
use crate::request::{BuildRequest, OutputDest, OutputKind, OutputSpec};
use crate::unit::{ArchiveKind, BuildUnit, ExportKind, MergeStep, UnitExport};

use super::PlanError;
use super::annotations::Annotations;

/// The outputs of a request, planned for any platform.
pub(super) struct PlannedOutputs {
    pub(super) templates: Vec<Template>,
    pub(super) merge: Vec<MergeStep>,
    pub(super) warnings: Vec<String>,
}

/// An export before it is known for which platform.
pub(super) struct Template {
    export: UnitExport,
    annotations: Annotations,
}

/// Plans every output of `request` for a build of `platforms` platforms.
pub(super) fn plan_outputs(
    request: &BuildRequest,
    platforms: usize,
) -> Result<PlannedOutputs, PlanError> {
    refuse_shared_destinations(&request.outputs)?;
    let mut planned = PlannedOutputs {
        templates: Vec::new(),
        merge: Vec::new(),
        warnings: Vec::new(),
    };
    for (position, spec) in request.outputs.iter().enumerate() {
        let output = Output {
            position,
            spec,
            request,
            platforms,
        };
        let stored = matches!(spec.kind, OutputKind::Image) && !spec.pushes().unwrap_or(true);
        if stored && platforms > 1 {
            planned.warnings.push(
                "type=image without push: each node keeps the image of its own platform, and no \
                 index of them is made"
                    .to_owned(),
            );
        }
        let (template, step) =
            match &spec.kind {
                OutputKind::Cacheonly => continue,
                OutputKind::Other(_) => return Err(output.error(
                    "no such output: local, tar, oci, docker, image, registry and cacheonly exist",
                )),
                OutputKind::Local => output.local()?,
                OutputKind::Tar => output.archive(ArchiveKind::Tar)?,
                OutputKind::Oci => output.archive(ArchiveKind::Oci)?,
                OutputKind::Docker => output.archive(ArchiveKind::Docker)?,
                OutputKind::Image | OutputKind::Registry => output.image()?,
            };
        planned.templates.push(template);
        planned.merge.extend(step);
    }
    Ok(planned)
}

/// The exports of one platform's unit.
pub(super) fn exports_for(templates: &[Template], platform: &Platform) -> Vec<UnitExport> {
    templates
        .iter()
        .map(|template| {
            let mut export = template.export.clone();
            export
                .attrs
                .extend(template.annotations.attrs_for(platform));
            export
        })
        .collect()
}

/// Refuses two units of one node that would store their images under one name.
pub(super) fn refuse_shared_store(units: &[BuildUnit]) -> Result<(), PlanError> {
    let mut storing = BTreeSet::new();
    for unit in units {
        let stores = unit
            .exports
            .iter()
            .any(|export| export.kind == ExportKind::Store);
        if stores && !storing.insert(&unit.node) {
            return Err(PlanError::Output {
                kind: "image".to_owned(),
                problem: format!(
                    "node {} builds several platforms and would keep only the last under the \
                     name; push the image, or build one platform at a time",
                    unit.node
                ),
            });
        }
    }
    Ok(())
}

struct Output<'a> {
    position: usize,
    spec: &'a OutputSpec,
    request: &'a BuildRequest,
    platforms: usize,
}

type Planned = (Template, Option<MergeStep>);

impl Output<'_> {
    fn local(&self) -> Result<Planned, PlanError> {
        let mut attrs = self.spec.attrs.clone();
        let dest = match &self.spec.dest {
            None => return Err(self.error("dest is required: dest=DIRECTORY")),
            Some(OutputDest::Stdout) => {
                return Err(self.error("a directory cannot be written to stdout"));
            }
            Some(OutputDest::Path(dest)) => dest.clone(),
        };
        let mirror = match attrs.remove("mode").as_deref() {
            None | Some("copy") => false,
            Some("delete") => true,
            Some(mode) => {
                return Err(self.error(&format!("mode={mode} is neither copy nor delete")));
            }
        };
        self.only_keys(
            &attrs,
            &["platform-split", "attestation-prefix", "source-date-epoch"],
        )?;
        let split = match attrs.remove("platform-split") {
            None => self.platforms > 1,
            Some(value) => self.boolean("platform-split", &value)?,
        };
        attrs.insert("platform-split".to_owned(), split.to_string());
        let step = MergeStep::Local {
            output: self.position,
            dest,
            mirror,
            split,
        };
        Ok((self.template(ExportKind::Tree, attrs), Some(step)))
    }

    fn archive(&self, kind: ArchiveKind) -> Result<Planned, PlanError> {
        let mut attrs = self.spec.attrs.clone();
        if self.platforms > 1 {
            return Err(self.error(
                "only one platform fits in; use type=local, or name one platform with --platform",
            ));
        }
        if let Some(tar) = attrs.remove("tar")
            && !self.boolean("tar", &tar)?
        {
            return Err(self.error("tar=false is not supported"));
        }
        let dest = match (kind, &self.spec.dest) {
            (ArchiveKind::Docker, None) => {
                return Err(self.error("loading into a Docker engine is not supported; give dest="));
            }
            (_, None | Some(OutputDest::Stdout)) => None,
            (_, Some(OutputDest::Path(dest))) => Some(dest.clone()),
        };
        if kind != ArchiveKind::Tar && !self.request.tags.is_empty() {
            let names: Vec<_> = self.request.tags.iter().map(ImageRef::to_string).collect();
            attrs.insert("name".to_owned(), names.join(","));
        }
        let step = MergeStep::File {
            output: self.position,
            dest,
        };
        Ok((self.template(ExportKind::File(kind), attrs), Some(step)))
    }

    fn image(&self) -> Result<Planned, PlanError> {
        let mut attrs = self.spec.attrs.clone();
        let annotations = Annotations::take(&mut attrs).map_err(|problem| self.error(&problem))?;
        let push = match attrs.remove("push") {
            // Present without a value means yes, as for the daemon.
            Some(value) => value.is_empty() || self.boolean("push", &value)?,
            None => self.spec.kind == OutputKind::Registry,
        };
        let names = self.names(attrs.remove("name"))?;
        if push {
            return self.push(attrs, names, annotations);
        }
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(ImageRef::with_default_tag).collect();
            attrs.insert("name".to_owned(), join(&names));
        }
        let mut template = self.template(ExportKind::Store, attrs);
        template.annotations = annotations;
        Ok((template, None))
    }

    fn push(
        &self,
        mut attrs: BTreeMap<String, String>,
        names: Vec<ImageRef>,
        annotations: Annotations,
    ) -> Result<Planned, PlanError> {
        if names.is_empty() {
            return Err(self.error("a tag is needed to push: give -t NAME or name=NAME"));
        }
        if self.platforms == 1 && !annotations.index.is_empty() {
            return Err(self.error(
                "annotation-index needs an index, and one platform without attestations has none",
            ));
        }
        let by_digest = match attrs.remove("push-by-digest") {
            None => false,
            Some(value) => value.is_empty() || self.boolean("push-by-digest", &value)?,
        };
        let mut repositories: Vec<ImageRef> = Vec::new();
        for repository in names.iter().map(ImageRef::without_tag) {
            if !repositories.contains(&repository) {
                repositories.push(repository);
            }
        }
        let tags = match by_digest {
            true => Vec::new(),
            false => names.iter().map(ImageRef::with_default_tag).collect(),
        };
        attrs.insert("name".to_owned(), join(&repositories));
        attrs.insert("push".to_owned(), "true".to_owned());
        attrs.insert("push-by-digest".to_owned(), "true".to_owned());
        // Children of one index must be of one kind, whatever the daemon's own default is.
        attrs
            .entry("oci-mediatypes".to_owned())
            .or_insert_with(|| "true".to_owned());
        attrs
            .entry("store".to_owned())
            .or_insert_with(|| "false".to_owned());
        let step = MergeStep::Publish {
            output: self.position,
            repositories,
            tags,
            index_annotations: annotations.index.clone(),
            descriptor_annotations: annotations.descriptors.clone(),
        };
        let mut template = self.template(ExportKind::Push, attrs);
        template.annotations = annotations;
        Ok((template, Some(step)))
    }

    /// The names of an image: the request's tags, else the output's own.
    fn names(&self, own: Option<String>) -> Result<Vec<ImageRef>, PlanError> {
        if !self.request.tags.is_empty() {
            return Ok(self.request.tags.clone());
        }
        own.iter()
            .flat_map(|names| names.split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(|name| {
                name.parse()
                    .map_err(|error| self.error(&format!("name: {error}")))
            })
            .collect()
    }

    fn template(&self, kind: ExportKind, attrs: BTreeMap<String, String>) -> Template {
        let export = UnitExport {
            output: self.position,
            attrs,
            kind,
        };
        Template {
            export,
            annotations: Annotations::default(),
        }
    }

    /// Refuses keys that the daemon would pass over without a word.
    fn only_keys(
        &self,
        attrs: &BTreeMap<String, String>,
        allowed: &[&str],
    ) -> Result<(), PlanError> {
        match attrs.keys().find(|key| !allowed.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(self.error(&format!(
                "unknown key `{key}`, expected one of: dest, mode, {}",
                allowed.join(", ")
            ))),
        }
    }

    fn boolean(&self, key: &str, value: &str) -> Result<bool, PlanError> {
        crate::attrs::parse_bool(value)
            .ok_or_else(|| self.error(&format!("{key}={value} is neither true nor false")))
    }

    fn error(&self, problem: &str) -> PlanError {
        PlanError::Output {
            kind: self.spec.kind.name().to_owned(),
            problem: problem.to_owned(),
        }
    }
}

fn refuse_shared_destinations(outputs: &[OutputSpec]) -> Result<(), PlanError> {
    let mut taken: Vec<&OutputDest> = Vec::new();
    for spec in outputs {
        let dest = match (&spec.kind, &spec.dest) {
            (OutputKind::Tar | OutputKind::Oci, None) => &OutputDest::Stdout,
            (_, None) => continue,
            (_, Some(dest)) => dest,
        };
        // Paths are compared part by part, so a slash at the end makes no difference.
        if taken.contains(&dest) {
            let problem = match dest {
                OutputDest::Stdout => "two outputs would be written to stdout".to_owned(),
                OutputDest::Path(path) => {
                    format!("two outputs would be written to {}", path.display())
                }
            };
            return Err(PlanError::Output {
                kind: spec.kind.name().to_owned(),
                problem,
            });
        }
        taken.push(dest);
    }
    Ok(())
}

fn join(names: &[ImageRef]) -> String {
    names
        .iter()
        .map(ImageRef::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{BuildContext, Dockerfile, FrontendOptions};

    fn request(outputs: &[&str], tags: &[&str]) -> BuildRequest {
        BuildRequest {
            context: BuildContext::Empty,
            dockerfile: Dockerfile::InContext("Dockerfile".to_owned()),
            platforms: Vec::new(),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            outputs: outputs
                .iter()
                .map(|text| OutputSpec::parse(text).unwrap().unwrap())
                .collect(),
            frontend: FrontendOptions::default(),
            entitlements: BTreeSet::new(),
            secrets: Vec::new(),
            context_key: None,
            allow_emulation: false,
            keep_going: false,
            wait: crate::request::DEFAULT_WAIT,
            retries: 0,
        }
    }

    /// What a unit for linux/arm64 exports, an exporter a line, and the merge steps.
    fn check(outputs: &[&str], tags: &[&str], platforms: usize, expect: &[&str]) {
        let planned = plan_outputs(&request(outputs, tags), platforms).unwrap();
        let exports = exports_for(&planned.templates, &"linux/arm64".parse().unwrap());
        let mut got: Vec<String> = exports
            .iter()
            .map(|export| {
                let attrs = export
                    .attrs
                    .iter()
                    .map(|(key, value)| format!(" {key}={value}"));
                format!("{:?}{}", export.kind, attrs.collect::<String>())
            })
            .collect();
        got.extend(planned.merge.iter().map(|step| match step {
            MergeStep::Publish { tags, .. } => format!("publish {}", join(tags)),
            MergeStep::Local {
                dest,
                mirror,
                split,
                ..
            } => {
                format!("local {} mirror={mirror} split={split}", dest.display())
            }
            MergeStep::File { dest, .. } => format!("file {dest:?}"),
        }));
        assert_eq!(got, expect);
    }

    fn refused(outputs: &[&str], tags: &[&str], platforms: usize, expect: &str) {
        let error = plan_outputs(&request(outputs, tags), platforms)
            .err()
            .unwrap();
        assert_eq!(error.to_string(), expect);
    }

    const PUSH: &str = "oci-mediatypes=true push=true push-by-digest=true store=false";

    #[test]
    fn every_pushing_output_pushes_by_digest_and_gets_the_whole_index() {
        check(
            &[
                "type=registry,name=r.io/a:1",
                "type=image,push=true,\"name=r.io/b:1,r.io/b:2\"",
            ],
            &[],
            2,
            &[
                &format!("Push name=r.io/a {PUSH}"),
                &format!("Push name=r.io/b {PUSH}"),
                "publish r.io/a:1",
                "publish r.io/b:1,r.io/b:2",
            ],
        );
    }

    #[test]
    fn tags_replace_the_names_of_outputs_and_repositories_count_once() {
        check(
            &["type=image,push=true,name=r.io/other"],
            &["r.io/a:1", "r.io/a:2", "r.io/b"],
            1,
            &[
                &format!("Push name=r.io/a,r.io/b {PUSH}"),
                "publish r.io/a:1,r.io/a:2,r.io/b:latest",
            ],
        );
    }

    #[test]
    fn what_is_pushed_by_digest_alone_moves_no_name() {
        check(
            &["type=image,push=true,push-by-digest=true,name=r.io/a"],
            &[],
            2,
            &[&format!("Push name=r.io/a {PUSH}"), "publish "],
        );
    }

    #[test]
    fn an_image_that_is_not_pushed_stays_with_its_daemon() {
        check(
            &["type=image"],
            &["r.io/a"],
            1,
            &["Store name=r.io/a:latest"],
        );
        check(
            &["type=registry,push=false"],
            &["r.io/a:1"],
            1,
            &["Store name=r.io/a:1"],
        );
    }

    #[test]
    fn several_platforms_are_split_unless_the_user_says_otherwise() {
        check(
            &["out"],
            &[],
            1,
            &[
                "Tree platform-split=false",
                "local out mirror=false split=false",
            ],
        );
        check(
            &["out"],
            &[],
            2,
            &[
                "Tree platform-split=true",
                "local out mirror=false split=true",
            ],
        );
        check(
            &["type=local,dest=out,platform-split=false,mode=delete"],
            &[],
            2,
            &[
                "Tree platform-split=false",
                "local out mirror=true split=false",
            ],
        );
    }

    #[test]
    fn annotations_go_to_the_manifest_the_index_or_nowhere() {
        check(
            &[
                "type=registry,name=r.io/a,annotation.x=1,annotation-manifest[linux/amd64].y=2,annotation-index.z=3",
            ],
            &[],
            2,
            &[
                &format!("Push annotation-manifest.x=1 name=r.io/a {PUSH}"),
                "publish r.io/a:latest",
            ],
        );
    }

    #[test]
    fn what_cannot_be_is_refused_before_anything_starts() {
        refused(
            &["type=registry"],
            &[],
            1,
            "--output type=registry: a tag is needed to push: give -t NAME or name=NAME",
        );
        refused(
            &["type=tar"],
            &[],
            2,
            "--output type=tar: only one platform fits in; use type=local, or name one platform with --platform",
        );
        refused(
            &["type=local,dest=o,mode=move"],
            &[],
            1,
            "--output type=local: mode=move is neither copy nor delete",
        );
        refused(
            &["type=tar", "type=oci,dest=-"],
            &[],
            1,
            "--output type=oci: two outputs would be written to stdout",
        );
        refused(
            &["o", "type=tar,dest=o/"],
            &[],
            1,
            "--output type=tar: two outputs would be written to o/",
        );
        refused(
            &["type=floppy"],
            &[],
            1,
            "--output type=floppy: no such output: local, tar, oci, docker, image, registry and cacheonly exist",
        );
        refused(
            &["type=registry,name=r.io/A"],
            &[],
            1,
            "--output type=registry: name: repository `A` in image name `r.io/A` must be lower-case",
        );
    }
}
