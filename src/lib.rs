//! mbuild: a client of BuildKit that builds each platform on a node of its own kind.
//!
//! Not a public API: no stability is promised. The library exists so that the binary is
//! ten lines and the tests can call inside.

pub mod attrs;
pub mod builder;
pub mod buildkit;
pub mod causes;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod digest;
pub mod engine;
pub mod event;
pub mod ignore;
pub mod manifest;
pub mod merge;
pub mod node;
pub mod oci;
pub mod plan;
pub mod platform;
pub mod process_group;
pub mod progress;
pub mod receive;
pub mod reference;
pub mod registry;
pub mod remote;
pub mod request;
pub mod retry;
pub mod run;
pub mod ssh;
pub mod tree;
pub mod unit;
