//! An image, pushed to registries or kept in the daemon's own store.

use std::collections::BTreeMap;

use crate::reference::ImageRef;
use crate::request::OutputKind;
use crate::unit::{ExportKind, MergeStep};

use super::super::PlanError;
use super::super::annotations::Annotations;
use super::{Output, Planned, PlannedOutputs};

impl Output<'_> {
    pub(super) fn image(&self, planned: &mut PlannedOutputs) -> Result<(), PlanError> {
        let mut attrs = self.spec.attrs.clone();
        let push = match attrs.remove("push") {
            // Present without a value means yes, as for the daemon.
            Some(value) => value.is_empty() || self.boolean("push", &value)?,
            None => self.spec.kind == OutputKind::Registry,
        };
        if !push {
            return self.keep(planned, attrs);
        }
        let annotations = Annotations::take(&mut attrs).map_err(|problem| self.error(&problem))?;
        let names = self.names(attrs.remove("name"))?;
        planned.warnings.extend(self.idle_notes(&annotations, true));
        planned.add(self.push(attrs, names, annotations)?);
        Ok(())
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
        self.refuse_index_notes(&annotations, self.platforms)?;
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
    pub(super) fn names(&self, own: Option<String>) -> Result<Vec<ImageRef>, PlanError> {
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
}

/// The names as the wire has them.
pub(super) fn join(names: &[ImageRef]) -> String {
    names
        .iter()
        .map(ImageRef::to_string)
        .collect::<Vec<_>>()
        .join(",")
}
