//! What mbuild costs, in time and in instructions.
//!
//! [`loops`] has the code that every file of a context, every packet and every line of progress
//! goes through, each with an input that is always the same. `cargo bench` times them, and the
//! script `instructions` counts them; [`counts`] decides whether a count is still good.

pub mod counts;
pub mod loops;
