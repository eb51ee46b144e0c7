//! Which annotations can be written on an output's image, and what the rest comes to: an error
//! where the daemon would refuse too, a warning where there is no place for them.

use super::super::PlanError;
use super::super::annotations::Annotations;
use super::Output;

impl Output<'_> {
    /// Whether the images of `platforms` platforms have an index above them.
    pub(super) fn has_index(&self, platforms: usize) -> bool {
        platforms > 1 || !self.request.attestations.is_empty()
    }

    /// Refuses annotations of an index where there will be none.
    pub(super) fn refuse_index_notes(
        &self,
        annotations: &Annotations,
        platforms: usize,
    ) -> Result<(), PlanError> {
        let wanted = [
            ("annotation-index", annotations.index.is_empty()),
            (
                "annotation-index-descriptor",
                annotations.index_descriptor.is_empty(),
            ),
        ];
        let wanted = wanted.iter().find(|(_, none)| !none);
        match wanted.filter(|_| !self.has_index(platforms)) {
            None => Ok(()),
            Some((name, _)) => Err(self.error(&format!(
                "{name} needs an index, and one platform without attestations has none"
            ))),
        }
    }

    /// Says which annotations come to nothing.
    pub(super) fn idle_notes(&self, annotations: &Annotations, pushed: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |text: &str| {
            warnings.push(format!("--output type={}: {text}", self.spec.kind.name()));
        };
        if pushed && !annotations.index_descriptor.is_empty() {
            warn(
                "annotation-index-descriptor is written nowhere, for only the list of an image \
                 layout (type=oci) describes an index",
            );
        }
        if pushed && !annotations.descriptors.is_empty() && !self.has_index(self.platforms) {
            warn(
                "annotation-manifest-descriptor is written nowhere, for one platform without \
                 attestations has no index that describes it",
            );
        }
        let built: Vec<_> = self.request.platforms.iter().collect();
        for platform in annotations.platforms() {
            let is_built = built.iter().any(|built| built.normalized() == platform);
            if !built.is_empty() && !is_built {
                warn(&format!(
                    "an annotation is for {platform}, which is not built"
                ));
            }
        }
        warnings
    }
}
