//! What a build came to: each unit's end, and what was delivered.

use std::path::PathBuf;

use crate::merge::registry::Published;
use crate::oci::Descriptor;
use crate::reference::ImageRef;
use crate::unit::{BuildUnit, UnitOutput};

use super::error::{DeliverError, UnitError};

/// What a build came to.
#[derive(Debug)]
pub struct BuildOutcome {
    /// Every unit of the plan, in its order.
    pub units: Vec<UnitReport>,
    /// What was delivered, in the order of the plan's merge steps.
    pub delivered: Vec<Result<Delivered, DeliverError>>,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// How one unit ended.
#[derive(Debug)]
pub struct UnitReport {
    /// The unit as it was planned.
    pub unit: BuildUnit,
    /// The daemon behind its node; `None` when the node is one daemon, or none was reached.
    pub instance: Option<String>,
    /// The id of its Solve; empty when it was never sent.
    pub reference: String,
    /// What the daemon answered, or why there is no answer.
    pub result: Result<UnitOutput, UnitError>,
}

/// What was delivered for one output.
#[derive(Debug)]
pub enum Delivered {
    /// An index or a manifest, under the names listed.
    Published(Box<Published>),
    /// Files in a directory.
    Tree(PathBuf),
    /// A file; `None` means stdout.
    File(Option<PathBuf>),
    /// An image in an archive, a layout or a Docker engine.
    Image(Box<DeliveredImage>),
}

/// An image that was delivered, but not to a registry.
#[derive(Debug)]
pub struct DeliveredImage {
    /// What its names stand for.
    pub root: Descriptor,
    /// The images and attestations below it; the root itself when it is a manifest.
    pub entries: Vec<Descriptor>,
    /// Its names.
    pub names: Vec<ImageRef>,
}

impl BuildOutcome {
    pub(super) fn of_units(units: Vec<UnitReport>, interrupted: bool) -> Self {
        BuildOutcome {
            units,
            delivered: Vec::new(),
            interrupted,
        }
    }

    /// Whether every unit succeeded, so that results may be delivered.
    pub fn is_built(&self) -> bool {
        !self.interrupted && self.units.iter().all(|unit| unit.result.is_ok())
    }

    /// The units that failed by themselves, not because another did.
    pub fn failures(&self) -> impl Iterator<Item = (&BuildUnit, &UnitError)> {
        self.units.iter().filter_map(|report| match &report.result {
            Err(error) if !error.is_cancelled() => Some((&report.unit, error)),
            _ => None,
        })
    }

    /// The first image that was delivered otherwise; `None` if none was.
    pub fn image(&self) -> Option<&DeliveredImage> {
        self.delivered.iter().find_map(|delivered| match delivered {
            Ok(Delivered::Image(image)) => Some(&**image),
            _ => None,
        })
    }

    /// The first image that was published; `None` if none was.
    pub fn published(&self) -> Option<&Published> {
        self.delivered.iter().find_map(|delivered| match delivered {
            Ok(Delivered::Published(published)) => Some(&**published),
            _ => None,
        })
    }
}
