//! An image that stays with Docker engines: kept by the node that built it, or loaded.
//!
//! A classic store holds one platform under a name. Containerd's holds an index: where several
//! platforms belong into one engine, their archives are made one and loaded into it.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::ImageStore;
use crate::reference::ImageRef;
use crate::unit::{ArchiveKind, ExportKind, ImageTo, MergeStep};

use super::super::PlanError;
use super::super::annotations::Annotations;
use super::image::join;
use super::{Output, PlannedOutputs};

/// What only an exporter into a store knows.
const STORE_ONLY: [&str; 6] = [
    "store",
    "unpack",
    "name-canonical",
    "dangling-name-prefix",
    "danging-name-empty-only",
    "registry.insecure",
];

impl Output<'_> {
    /// Whether the image goes into a Docker engine rather than to a file.
    pub(super) fn loads(&self) -> bool {
        self.spec.dest.is_none() && !matches!(self.spec.writes_directory(), Ok(true))
    }

    /// `type=docker` without a destination, and `--load`.
    pub(super) fn load(&self, planned: &mut PlannedOutputs) -> Result<(), PlanError> {
        let Some(engine) = self.engine else {
            return Err(self.error("it is not known which Docker engine is meant; give dest=FILE"));
        };
        let mut attrs = self.spec.attrs.clone();
        attrs.remove("tar");
        attrs.remove("context");
        let is_there = |node: &String| self.placed.iter().all(|placed| placed.name == *node);
        if self.platforms == 1 && engine.node.as_ref().is_some_and(is_there) {
            return self.keep(planned, attrs);
        }
        let kind = match engine.store {
            ImageStore::Containerd => ArchiveKind::Oci,
            _ if self.platforms > 1 => {
                return Err(PlanError::ClassicStore {
                    engine: engine.name.clone(),
                    platforms: self.platforms,
                });
            }
            _ if self.has_index(1) => {
                return Err(self.error(&format!(
                    "the Docker engine at {} has the classic image store, which has no place for \
                     attestations",
                    engine.name
                )));
            }
            _ => ArchiveKind::Docker,
        };
        let (template, notes) = self.image_archive(kind, attrs)?;
        let step = MergeStep::Image {
            output: self.position,
            node: None,
            notes,
            to: ImageTo::NamedEngine,
        };
        planned.add((template, Some(step)));
        Ok(())
    }

    /// `type=image` without push, and what is done when no output is given.
    pub(super) fn keep(
        &self,
        planned: &mut PlannedOutputs,
        attrs: BTreeMap<String, String>,
    ) -> Result<(), PlanError> {
        let mut units: BTreeMap<&str, (ImageStore, usize)> = BTreeMap::new();
        for node in self.placed {
            units.entry(&node.name).or_insert((node.store, 0)).1 += 1;
        }
        if self.request.outputs_by_default {
            units.retain(|name, (store, _)| {
                if !store.is_engine() {
                    planned.warnings.push(format!(
                        "no output was given: {name} is no Docker engine and keeps the result in \
                         its cache only"
                    ));
                }
                store.is_engine()
            });
        }
        if units.len() > 1 {
            planned.warnings.push(format!(
                "{}: each node keeps the image of its own platform, and no index of them is made",
                match self.request.outputs_by_default {
                    true => "no output was given",
                    false => "type=image without push",
                }
            ));
        }
        let mut alone = BTreeSet::new();
        for (name, (store, count)) in units {
            match (store, count) {
                (_, 1) => drop(alone.insert(name.to_owned())),
                (ImageStore::Containerd, _) => self.keep_index(planned, name, attrs.clone())?,
                (ImageStore::Classic, platforms) => {
                    return Err(PlanError::ClassicStore {
                        engine: name.to_owned(),
                        platforms,
                    });
                }
                (ImageStore::None | ImageStore::Engine, _) => {
                    return Err(self.error(&format!(
                        "node {name} builds several platforms and would keep only the last under \
                         the name; push the image, or build one platform at a time",
                    )));
                }
            }
        }
        if !alone.is_empty() {
            self.keep_alone(planned, alone, attrs)?;
        }
        Ok(())
    }

    fn keep_alone(
        &self,
        planned: &mut PlannedOutputs,
        nodes: BTreeSet<String>,
        mut attrs: BTreeMap<String, String>,
    ) -> Result<(), PlanError> {
        let annotations = Annotations::take(&mut attrs).map_err(|problem| self.error(&problem))?;
        // Each node's image is one of its own.
        self.refuse_index_notes(&annotations, 1)?;
        planned
            .warnings
            .extend(self.idle_notes(&annotations, false));
        let names = self.names(attrs.remove("name"))?;
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(ImageRef::with_default_tag).collect();
            attrs.insert("name".to_owned(), join(&names));
        }
        let mut template = self.template(ExportKind::Store, attrs);
        template.annotations = annotations;
        template.nodes = Some(nodes);
        planned.add((template, None));
        Ok(())
    }

    /// Several platforms of one engine: its units' archives, loaded as one image.
    fn keep_index(
        &self,
        planned: &mut PlannedOutputs,
        node: &str,
        mut attrs: BTreeMap<String, String>,
    ) -> Result<(), PlanError> {
        attrs.retain(|key, _| !STORE_ONLY.contains(&key.as_str()));
        let (mut template, notes) = self.image_archive(ArchiveKind::Oci, attrs)?;
        template.nodes = Some(BTreeSet::from([node.to_owned()]));
        let step = MergeStep::Image {
            output: self.position,
            node: Some(node.to_owned()),
            notes,
            to: ImageTo::Node(node.to_owned()),
        };
        planned.add((template, Some(step)));
        Ok(())
    }
}
