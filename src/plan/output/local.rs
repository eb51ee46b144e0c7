//! A directory of files.

use crate::request::OutputDest;
use crate::unit::{ExportKind, MergeStep};

use super::super::PlanError;
use super::{Output, Planned};

impl Output<'_> {
    pub(super) fn local(&self) -> Result<Planned, PlanError> {
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
        let mut template = self.template(ExportKind::Tree, attrs);
        // Statements of all platforms would have one name in the one directory.
        let attested = !self.request.attestations.is_empty();
        template.prefixed = attested && !split && self.platforms > 1;
        Ok((template, Some(step)))
    }
}
