//! What tests share: the other sides of our protocols, played or real.

pub(crate) mod fake_buildkitd;
pub(crate) mod real;
