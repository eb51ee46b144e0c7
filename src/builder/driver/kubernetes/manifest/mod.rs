//! The objects of a pool: [`objects`], made of the files of `deploy/buildkit` and of the
//! options, and [`render`], which prints them.
//!
//! Pure: the same options make the same bytes, and nothing is asked or sent.

mod adjust;
mod files;
mod merge;
mod pool;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use serde_json::Value;

pub use merge::MergeError;
pub use pool::{INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL};

use super::options::{OptionError, PoolOptions};

/// Why a pool's objects cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The options contradict each other.
    #[error(transparent)]
    Options(#[from] OptionError),
    /// The patch for the pods cannot be merged.
    #[error("driver option `podtemplate` cannot be merged")]
    PodTemplate(#[source] MergeError),
    /// A file that came with the program cannot be read; a test holds against it.
    #[error("a manifest in this program is broken: {0}")]
    Embedded(String),
}

/// The objects of a pool in the order in which they are best made, its namespace not included.
///
/// # Errors
///
/// When the options contradict each other or the pods' patch cannot be merged.
pub fn objects(options: &PoolOptions) -> Result<Vec<Value>, ManifestError> {
    options.check()?;
    let mut objects = pool::assemble(options)?;
    adjust::adjust(&mut objects, options)?;
    pool::own(&mut objects, options);
    Ok(objects)
}

/// The namespace as it has to be for a pool.
///
/// # Errors
///
/// None that options could cause.
pub fn namespace(options: &PoolOptions) -> Result<Value, ManifestError> {
    pool::namespace(options)
}

/// A pool's namespace and objects as YAML documents; the same options give the same bytes.
///
/// # Errors
///
/// As [`objects`].
pub fn render(options: &PoolOptions) -> Result<String, ManifestError> {
    let mut all = vec![namespace(options)?];
    all.extend(objects(options)?);
    let mut text = String::new();
    for (at, object) in all.iter().enumerate() {
        let yaml = serde_saphyr::to_string(object)
            .map_err(|error| ManifestError::Embedded(error.to_string()))?;
        let separator = if at > 0 { "---\n" } else { "" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{separator}{}", yaml.trim_end());
    }
    Ok(text)
}
