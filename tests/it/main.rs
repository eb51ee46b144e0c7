//! The one integration-test binary.

mod e2e_connection;
mod layers;
mod support;
mod vectors;
