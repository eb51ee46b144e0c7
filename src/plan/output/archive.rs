//! One file: a tar of the files, an image layout, an image that Docker loads.

use crate::reference::ImageRef;
use crate::request::OutputDest;
use crate::unit::{ArchiveKind, ExportKind, MergeStep};

use super::super::PlanError;
use super::{Output, Planned};

impl Output<'_> {
    pub(super) fn archive(&self, kind: ArchiveKind) -> Result<Planned, PlanError> {
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
}
