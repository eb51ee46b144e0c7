//! Daemons in the pods of a Kubernetes cluster.
//!
//! Finds them, says why one is not ready, chooses one and opens a byte stream to it. All that
//! knows the Kubernetes API is below this module.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "the driver that uses all this comes next"
)]

pub mod access;
pub mod apply;
mod attempt;
pub mod cluster;
mod ending;
mod exec;
mod forward;
mod kinds;
mod kubeconfig;
pub mod manifest;
pub mod options;
mod pulse;
mod ready;
pub mod remove;
mod rights;
mod transport;
mod websocket;
