//! The user's annotations on the entries of an index. Pure.

use crate::oci::{Child, Descriptor, Root};
use crate::platform::Platform;
use crate::unit::DescriptorAnnotation;

/// Adds the user's annotations to a child's images; attestations have none.
pub fn annotate(mut child: Child, annotations: &[DescriptorAnnotation]) -> Child {
    let images: Vec<&mut Descriptor> = match &mut child.root {
        Root::Manifest(descriptor) => vec![descriptor],
        Root::Index(index) => index.manifests.iter_mut().collect(),
    };
    for image in images.into_iter().filter(|image| image.attests().is_none()) {
        let platform = image.known_platform();
        for annotation in annotations {
            let wanted = annotation.platform.as_ref().map(Platform::normalized);
            if wanted.is_none() || wanted == platform {
                image
                    .annotations
                    .insert(annotation.key.clone(), annotation.value.clone());
            }
        }
    }
    child
}
