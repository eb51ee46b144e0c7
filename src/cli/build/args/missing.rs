//! Flags of buildx that mbuild has not yet.

use clap::Args;

/// Flags of buildx that are not there yet: each is refused by its own name, but for a value
/// that asks for what happens anyway.
#[derive(Debug, Clone, Default, Args)]
pub struct MissingArgs {
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    load: Option<String>,
    #[arg(long, hide = true)]
    cache_from: Vec<String>,
    #[arg(long, hide = true)]
    cache_to: Vec<String>,
}

impl MissingArgs {
    /// The first flag that asks for something that is not there; `None` if none does.
    pub(in crate::cli::build) fn asked(&self) -> Option<&'static str> {
        let wants = |flag: &Option<String>| {
            flag.as_deref()
                .is_some_and(|text| crate::attrs::parse_bool(text) != Some(false))
        };
        [
            (wants(&self.load), "--load"),
            (!self.cache_from.is_empty(), "--cache-from"),
            (!self.cache_to.is_empty(), "--cache-to"),
        ]
        .into_iter()
        .find_map(|(asked, name)| asked.then_some(name))
    }
}
