//! Freeing a daemon's cache: [`PruneSpec`].

use std::time::Duration;

use mbuild_proto::control::PruneRequest;

use super::record::UsageRecord;
use super::{NO_USAGE, RESPONSE_LIMIT};
use crate::buildkit::Connection;
use crate::buildkit::ask::AskError;
use crate::buildkit::caps::CapabilitiesError;

/// The capability behind the two limits that came with BuildKit 0.17.
const FREE_SPACE: &str = "gc.freespacefilter";
const NO_FREE_SPACE: &str = "is older than BuildKit 0.17 and knows no limit for used or free space (--max-used-space, \
     --min-free-space)";

/// What to prune, and what to keep of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneSpec {
    /// What entries have to be like, in the daemon's words; all of each text must fit.
    pub filters: Vec<String>,
    /// Whether internal entries and those of frontends go too.
    pub all: bool,
    /// What was used since then stays; zero means nothing does.
    pub keep: Duration,
    /// How many bytes may always stay; zero means none.
    pub reserved: u64,
    /// How many bytes may stay at most; zero means no limit.
    pub max_used: u64,
    /// How many bytes of the disk are to be free; zero means no such goal.
    pub min_free: u64,
}

/// Prunes; each entry that went is reported as it goes.
///
/// # Errors
///
/// When the daemon is gone, too old for a limit, or refuses.
pub async fn prune(
    connection: &Connection,
    spec: &PruneSpec,
    mut report: impl FnMut(UsageRecord),
) -> Result<(), AskError> {
    if spec.max_used > 0 || spec.min_free > 0 {
        check_limits(connection).await?;
    }
    let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let request = PruneRequest {
        filter: spec.filters.clone(),
        all: spec.all,
        keep_duration: i64::try_from(spec.keep.as_nanos()).unwrap_or(i64::MAX),
        reserved_space: bytes(spec.reserved),
        max_used_space: bytes(spec.max_used),
        min_free_space: bytes(spec.min_free),
    };
    let work = async {
        let mut control = connection
            .control()
            .max_decoding_message_size(RESPONSE_LIMIT);
        let mut records = control.prune(request).await?.into_inner();
        while let Some(record) = records.message().await? {
            report(UsageRecord::from_wire(record));
        }
        Ok(())
    };
    connection.answer(NO_USAGE, work).await
}

/// A daemon that does not know the limits would prune everything.
async fn check_limits(connection: &Connection) -> Result<(), AskError> {
    let endpoint = connection.endpoint().to_owned();
    match connection.capabilities().await {
        Ok(capabilities) if capabilities.has(FREE_SPACE) => Ok(()),
        Ok(_) => Err(AskError::Lacks {
            endpoint,
            lack: NO_FREE_SPACE,
        }),
        Err(CapabilitiesError::Lost { endpoint, reason }) => {
            Err(AskError::Lost { endpoint, reason })
        }
        Err(CapabilitiesError::Silent { endpoint }) => Err(AskError::Silent { endpoint }),
        Err(CapabilitiesError::Refused { endpoint, reason }) => {
            Err(AskError::Refused { endpoint, reason })
        }
    }
}
