//! Images that exist already: joined into one, looked into, copied; in registries and layouts.
//!
//! `create` is [`locate`], [`find`], [`make`] and [`publish()`], one after the other; `copy` is
//! [`copy()`]; `inspect` is [`Inspected`]. Nothing here builds, and nothing talks to a daemon.

mod copy;
mod error;
mod found;
mod inspect;
mod listed;
mod made;
mod place;
mod publish;
mod source;
mod store;
mod transfer;

pub use copy::{Copier, Referring, Tally};
pub use error::{CopyError, StoreError};
pub use found::{FindError, Found, attestations, find};
pub use inspect::{Image, InspectError, Inspected, Part};
pub use made::{Made, MakeError, Wanted, make};
pub use place::{LayoutPlace, Place, PlaceError};
pub use publish::{Outcome, TargetError, check_targets, copy, publish};
pub use source::{Located, Source, SourceError, SourceImage, locate};
pub use store::Store;
