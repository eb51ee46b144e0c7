//! Daemons in the pods of a Kubernetes cluster.
//!
//! Finds them, says why one is not ready, chooses one and opens a byte stream to it. All that
//! knows the Kubernetes API is below this module.

pub mod manifest;
pub mod options;
