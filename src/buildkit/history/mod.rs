//! Builds that a daemon has on record: what it did and does, told, replayed and forgotten.
//!
//! [`list()`] gives [`BuildRecord`]s. A build of several units has a record for each, on whatever
//! daemon built it; [`BuildId`] is what their references have in common.

mod blob;
mod build_id;
mod exported;
mod failure;
mod json;
mod list;
mod load;
mod record;

pub use blob::{BLOB_LIMIT, read_blob};
pub use build_id::BuildId;
pub use exported::exported;
pub use failure::failure;
pub use list::{Listing, finalize, forget, list};
pub(super) use load::running_builds;
pub use load::{Activity, Load, activity, load};
pub use record::{Blob, BuildRecord, RecordError, ResultInfo, Steps};
