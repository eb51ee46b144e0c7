//! The BuildKit client: what one daemon is asked, and what it is served in return.
//!
//! Knows the wire and nothing of requests, plans or builders.

pub mod session;
