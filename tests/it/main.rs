//! The one integration-test binary.

mod buildkit_faults;
mod e2e_connection;
mod layers;
mod support;
mod vectors;
