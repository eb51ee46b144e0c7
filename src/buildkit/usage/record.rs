//! One entry of a daemon's cache: [`UsageRecord`].

use jiff::Timestamp;
use mbuild_proto::control;

/// One entry of a daemon's cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageRecord {
    /// Its id, unique on its daemon.
    pub id: String,
    /// The entries that it is built on.
    pub parents: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When it was used last; `None` means never.
    pub last_used: Option<Timestamp>,
    /// How often it was used.
    pub usage_count: i64,
    /// Whether it can still change.
    pub mutable: bool,
    /// Whether something uses it, so that it cannot be pruned.
    pub in_use: bool,
    /// Whether an image has it too, so that pruning it frees nothing.
    pub shared: bool,
    /// Its size in bytes.
    pub size: u64,
    /// What it is, such as the step that made it.
    pub description: String,
    /// Its kind, such as `regular` or `source.local`.
    pub kind: String,
}

impl UsageRecord {
    pub(super) fn from_wire(wire: control::UsageRecord) -> Self {
        let time = |at: Option<prost_types::Timestamp>| {
            // What Go calls the zero time lies long before 1970.
            let at = at.filter(|at| at.seconds > 0)?;
            Timestamp::new(at.seconds, at.nanos).ok()
        };
        let mut parents = wire.parents;
        // Daemons before v0.10 know one parent.
        if parents.is_empty() && !wire.parent.is_empty() {
            parents.push(wire.parent);
        }
        Self {
            id: wire.id,
            parents,
            created: time(wire.created_at),
            last_used: time(wire.last_used_at),
            usage_count: wire.usage_count,
            mutable: wire.mutable,
            in_use: wire.in_use,
            shared: wire.shared,
            size: u64::try_from(wire.size).unwrap_or(0),
            description: String::from_utf8_lossy(&wire.description).into_owned(),
            kind: wire.record_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_daemons_only_parent_counts() {
        let wire = control::UsageRecord {
            parent: "p".into(),
            size: -1,
            ..Default::default()
        };
        let record = UsageRecord::from_wire(wire);
        assert_eq!((record.parents, record.size), (vec!["p".to_owned()], 0));
    }

    #[test]
    fn never_used_is_no_time() {
        let zero = prost_types::Timestamp {
            seconds: -62_135_596_800,
            nanos: 0,
        };
        let wire = control::UsageRecord {
            last_used_at: Some(zero),
            ..Default::default()
        };
        assert_eq!(UsageRecord::from_wire(wire).last_used, None);
    }
}
