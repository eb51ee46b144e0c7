//! The `mbuild` command.

fn main() {}
