//! mbuild: a client of BuildKit that builds each platform on a node of its own kind.
//!
//! Not a public API: no stability is promised. The library exists so that the binary is
//! ten lines and the tests can call inside.

pub mod attrs;
pub mod digest;
pub mod ignore;
pub mod platform;
pub mod reference;

pub mod config;

pub mod retry;

pub mod buildkit;
pub mod credentials;
pub mod oci;
pub mod request;
