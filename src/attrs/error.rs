//! What can be wrong with a flag's value.
//!
//! Every message starts with the flag, so that it can stand alone on the command line and in a
//! configuration file's diagnostics.

use crate::platform::PlatformError;
use crate::reference::ReferenceError;

/// Why a text cannot be split into fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// There is nothing to split.
    #[error("there are no fields")]
    Empty,
    /// A quote stands inside a field that does not begin with one.
    #[error("quote in an unquoted field at byte {0}; quote the whole field: \"key=value\"")]
    BareQuote(usize),
    /// A quoted field does not end, or goes on after its closing quote.
    #[error("stray or missing quote at byte {0}; within quotes a quote is written twice")]
    Quote(usize),
}

/// Why a flag's value is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// The value cannot be split at its commas.
    #[error("{flag}: cannot read the fields of `{value}`")]
    Fields {
        /// The flag, with its dashes.
        flag: &'static str,
        /// The whole value.
        value: String,
        /// What is wrong with its quotes.
        source: FieldError,
    },
    /// A field has no `=`.
    #[error("{flag}: field `{field}` is not of the form key=value")]
    NotAPair {
        /// The flag, with its dashes.
        flag: &'static str,
        /// The field.
        field: String,
    },
    /// A key that is needed is missing or empty.
    #[error("{flag}: `{value}` has no `{key}`")]
    MissingKey {
        /// The flag, with its dashes.
        flag: &'static str,
        /// The key that is missing.
        key: &'static str,
        /// The whole value.
        value: String,
    },
    /// A key is not one that the flag knows.
    #[error("{flag}: unknown key `{key}`, expected one of: {}", allowed.join(", "))]
    UnknownKey {
        /// The flag, with its dashes.
        flag: &'static str,
        /// The key.
        key: String,
        /// The keys that are known.
        allowed: &'static [&'static str],
    },
    /// The value of a key is not of the kind that it has to be.
    #[error("{flag}: `{key}` is `{value}`, which is not {expected}")]
    Value {
        /// The flag, with its dashes.
        flag: &'static str,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What the value has to be, to be read after "is not".
        expected: &'static str,
    },
    /// The whole value does not have the form that the flag wants.
    #[error("{flag}: `{value}` is not {expected}")]
    Form {
        /// The flag, with its dashes.
        flag: &'static str,
        /// The whole value.
        value: String,
        /// What the value has to be, to be read after "is not".
        expected: &'static str,
    },
    /// A platform within the value is malformed.
    #[error("{flag}: bad platform in `{value}`")]
    Platform {
        /// The flag, with its dashes.
        flag: &'static str,
        /// The whole value.
        value: String,
        /// What is wrong with the platform.
        source: PlatformError,
    },
    /// An image name within the value is malformed.
    #[error("{flag}: bad name in `{value}`")]
    Reference {
        /// The flag, with its dashes.
        flag: &'static str,
        /// The whole value.
        value: String,
        /// What is wrong with the name.
        source: ReferenceError,
    },
}
