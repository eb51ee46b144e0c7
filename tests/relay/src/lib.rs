//! A slow line on one machine: a [`Relay`] passes bytes on, later and at a limited rate.
//!
//! Kernels that cannot shape traffic are common where tests run, so the line is made here, of
//! two sockets. It delays every byte alike and loses none. It does not act as TCP would on such
//! a line: windows open at once, and connecting costs no round trip.

mod address;
mod line;
mod pump;
mod relay;
mod tally;

pub use address::{Address, AddressError};
pub use line::{Line, Link, LinkError, parse_rate, parse_time};
pub use relay::Relay;
pub use tally::{Direction, Sight, Tally};
