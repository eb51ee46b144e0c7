//! Puts the results of several units together, once all of them succeeded.
//!
//! `registry` publishes what the daemons pushed. Nothing here talks to a daemon.

pub mod registry;
