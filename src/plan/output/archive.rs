//! One file: a tar of the files, an image layout, an image that Docker loads.

use std::collections::BTreeMap;

use crate::reference::ImageRef;
use crate::request::OutputDest;
use crate::unit::{ArchiveKind, ExportKind, ImageNotes, ImageTo, MergeStep};

use super::super::PlanError;
use super::super::annotations::Annotations;
use super::image::join;
use super::{Output, Planned, Template};

impl Output<'_> {
    /// The files as a tar; several platforms have a directory each.
    pub(super) fn tar(&self) -> Result<Planned, PlanError> {
        let attrs = self.spec.attrs.clone();
        let dest = match &self.spec.dest {
            None | Some(OutputDest::Stdout) => None,
            Some(OutputDest::Path(dest)) => Some(dest.clone()),
        };
        let output = self.position;
        let step = match self.platforms {
            1 => MergeStep::File { output, dest },
            _ => MergeStep::Tars { output, dest },
        };
        let template = self.template(ExportKind::File(ArchiveKind::Tar), attrs);
        Ok((template, Some(step)))
    }

    /// The image as an archive, or with `tar=false` as a layout directory.
    pub(super) fn archive(&self, kind: ArchiveKind) -> Result<Planned, PlanError> {
        let mut attrs = self.spec.attrs.clone();
        if kind == ArchiveKind::Docker && self.platforms > 1 {
            return Err(self.error(
                "an archive of this type holds one platform; type=oci holds all of them, and \
                 `docker load` reads it where the engine has the containerd image store",
            ));
        }
        let tar = match attrs.remove("tar") {
            Some(tar) => self.boolean("tar", &tar)?,
            None => true,
        };
        let to = match (&self.spec.dest, tar) {
            (Some(OutputDest::Path(dest)), true) => ImageTo::File(Some(dest.clone())),
            (Some(OutputDest::Path(dest)), false) => ImageTo::Layout(dest.clone()),
            (None | Some(OutputDest::Stdout), true) => ImageTo::File(None),
            (None | Some(OutputDest::Stdout), false) => {
                return Err(self.error("tar=false makes a directory: dest=DIRECTORY is required"));
            }
        };
        let (template, notes) = self.image_archive(kind, attrs)?;
        let step = MergeStep::Image {
            output: self.position,
            node: None,
            notes,
            to,
        };
        Ok((template, Some(step)))
    }

    /// An image that comes to the client as an archive, and what the client writes on it.
    pub(super) fn image_archive(
        &self,
        kind: ArchiveKind,
        mut attrs: BTreeMap<String, String>,
    ) -> Result<(Template, ImageNotes), PlanError> {
        let annotations = Annotations::take(&mut attrs).map_err(|problem| self.error(&problem))?;
        self.refuse_index_notes(&annotations, self.platforms)?;
        let names = self.names(attrs.remove("name"))?;
        let names: Vec<_> = names.iter().map(ImageRef::with_default_tag).collect();
        if !names.is_empty() {
            // Also where the client names the whole: attestations speak of these names.
            attrs.insert("name".to_owned(), join(&names));
        }
        let notes = ImageNotes {
            names,
            index: annotations.index.clone(),
            index_descriptor: annotations.index_descriptor.clone(),
            descriptors: annotations.descriptors.clone(),
        };
        let mut template = self.template(ExportKind::File(kind), attrs);
        template.annotations = annotations;
        Ok((template, notes))
    }
}
