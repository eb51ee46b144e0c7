//! Flags of buildx that mbuild has not yet.

use clap::Args;

/// Flags of buildx that are not there yet: each is refused by its own name.
#[derive(Debug, Clone, Default, Args)]
pub struct MissingArgs {
    #[arg(long, hide = true)]
    cache_from: Vec<String>,
    #[arg(long, hide = true)]
    cache_to: Vec<String>,
}

impl MissingArgs {
    /// The first flag that asks for something that is not there; `None` if none does.
    pub(in crate::cli::build) fn asked(&self) -> Option<&'static str> {
        [
            (!self.cache_from.is_empty(), "--cache-from"),
            (!self.cache_to.is_empty(), "--cache-to"),
        ]
        .into_iter()
        .find_map(|(asked, name)| asked.then_some(name))
    }
}
